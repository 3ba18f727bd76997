/* SPDX-License-Identifier: MIT */
/* file_calls: the calls that take a path, and what stat says. */
#include "umlike.h"

#define MODE_BITS 07777u

/* A call that is older than the one with a directory's descriptor, in terms of that one. */
#define OLDER(name, newer, ...)                                                                                        \
    HANDLER(name)                                                                                                      \
    {                                                                                                                  \
        registers newer_r = {__VA_ARGS__};                                                                             \
        return sys_##newer(p, &newer_r);                                                                               \
    }
#define OLDER_AT(name, newer) OLDER(name, newer, .rdi = AT_FDCWD, .rsi = r->rdi, .rdx = r->rsi, .r10 = r->rdx)

/* ---------------------------------------------------------------- open */

static int create(struct process *p, struct path *path, uint32_t mode)
{
    if (!path->dir->nlink && path->dir != root)
        return -ENOENT; /* removed, and somebody's working directory still */
    if (path->dir->dir.synthetic)
        return -EACCES;
    struct inode *inode = inode_new(S_IFREG | (mode & MODE_BITS & ~p->umask), &regular_ops);
    int error = inode ? dir_add(path->dir, path->name, path->length, inode) : -ENOMEM;
    if (error && inode)
        inode_put(inode);
    else
        path->inode = inode;
    return error;
}

HANDLER(openat)
{
    int dirfd = (int)r->rdi;
    uint32_t flags = (uint32_t)r->rdx, mode = (uint32_t)r->r10;
    unsigned walk = (flags & O_CREAT ? WALK_CREATE : 0) | (flags & O_NOFOLLOW ? 0 : WALK_FOLLOW);
    struct path path;
    struct file *f;
    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
        walk &= ~(unsigned)WALK_FOLLOW;
    int error = path_in(p, dirfd, r->rsi, walk, &path);
    if (error)
        return error;
    if (path.inode && (flags & O_CREAT) && (flags & O_EXCL))
        error = -EEXIST;
    else if (!path.inode)
        error = path.slash ? -EISDIR : create(p, &path, mode);
    if (!error && (flags & O_DIRECTORY) && !is_type(path.inode, S_IFDIR))
        error = -ENOTDIR;
    if (!error)
        error = open_inode(p, path.inode, flags, &f);
    path_done(&path);
    return error ? error : fd_install(p, f, 0, flags & O_CLOEXEC);
}

OLDER_AT(open, openat)

OLDER(creat, openat, .rdi = AT_FDCWD, .rsi = r->rdi, .rdx = O_CREAT | O_WRONLY | O_TRUNC, .r10 = r->rsi)

/* ---------------------------------------------------------------- stat */

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){(int64_t)(ns / 1000000000), (int64_t)(ns % 1000000000)};
}

static int64_t stat_out(struct process *p, const struct inode *inode, uint64_t at)
{
    struct stat st = {.dev = 1,
        .ino = inode->number,
        .nlink = inode->nlink + is_type(inode, S_IFDIR),
        .mode = inode->mode,
        .uid = inode->uid,
        .gid = inode->gid,
        .rdev = inode->device,
        .size = (int64_t)inode->size,
        .blksize = PAGE,
        .blocks = (int64_t)(page_up(inode->size) / 512),
        .atime = timespec_of(inode->atime),
        .mtime = timespec_of(inode->mtime),
        .ctime = timespec_of(inode->ctime)};
    return copy_out(p, at, &st, sizeof st);
}

/* What the calls with a dirfd and AT_ flags have in common: a path, or with AT_EMPTY_PATH the descriptor itself. */
static int find(struct process *p, int dirfd, uint64_t name, uint64_t flags, struct path *path)
{
    unsigned walk = flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW;
    char first;
    path->dir = path->inode = NULL;
    if (!(flags & AT_EMPTY_PATH) || (name && (copy_in(p, &first, name, 1) || first)))
        return path_in(p, dirfd, name, walk, path);
    struct file *f = dirfd == AT_FDCWD ? NULL : file_get(p, (uint32_t)dirfd);
    if (dirfd != AT_FDCWD && !f)
        return -EBADF;
    path->inode = inode_hold(f ? f->inode : p->cwd);
    return 0;
}

HANDLER(newfstatat)
{
    struct path path;
    int error = find(p, (int)r->rdi, r->rsi, r->r10, &path);
    if (error)
        return error;
    int64_t result = stat_out(p, path.inode, r->rdx);
    path_done(&path);
    return result;
}

OLDER(stat, newfstatat, .rdi = AT_FDCWD, .rsi = r->rdi, .rdx = r->rsi)

OLDER(lstat, newfstatat, .rdi = AT_FDCWD, .rsi = r->rdi, .rdx = r->rsi, .r10 = AT_SYMLINK_NOFOLLOW)

HANDLER(fstat)
{
    struct file *f = file_get(p, r->rdi);
    return f ? stat_out(p, f->inode, r->rsi) : -EBADF;
}

HANDLER(statfs)
{
    uint64_t limit = polder_memory_limit() / PAGE, used = polder_memory_used() / PAGE;
    struct statfs st = {.type = 0x01021994, /* TMPFS_MAGIC */
        .bsize = PAGE,
        .blocks = limit,
        .bfree = limit - used,
        .bavail = limit - used,
        .namelen = NAME_MAX,
        .frsize = PAGE};
    return copy_out(p, r->rsi, &st, sizeof st);
}

HANDLER(faccessat)
{
    uint64_t flags = r->orig_rax == 439 ? r->r10 : 0; /* only the newest has flags */
    struct path path;
    int error = find(p, (int)r->rdi, r->rsi, flags, &path);
    if (error)
        return error;
    /* root may all, but execute what nobody may. */
    bool denied = (r->rdx & 1) && is_type(path.inode, S_IFREG) && !(path.inode->mode & 0111);
    path_done(&path);
    return denied ? -EACCES : 0;
}

OLDER(access, faccessat, .rdi = AT_FDCWD, .rsi = r->rdi, .rdx = r->rsi)

/* ---------------------------------------------------------------- the working directory */

static void set_cwd(struct process *p, struct inode *inode)
{
    inode_put(p->cwd);
    p->cwd = inode_hold(inode);
}

HANDLER(chdir)
{
    struct path path;
    int error = path_in(p, AT_FDCWD, r->rdi, WALK_FOLLOW, &path);
    if (error)
        return error;
    if (is_type(path.inode, S_IFDIR))
        set_cwd(p, path.inode);
    else
        error = -ENOTDIR;
    path_done(&path);
    return error;
}

HANDLER(fchdir)
{
    struct file *f = file_get(p, r->rdi);
    if (!f)
        return -EBADF;
    if (!is_type(f->inode, S_IFDIR))
        return -ENOTDIR;
    set_cwd(p, f->inode);
    return 0;
}

HANDLER(getcwd)
{
    char buf[PATH_MAX];
    int64_t length = path_of(p->cwd, buf, sizeof buf);
    if (length < 0)
        return length;
    if ((uint64_t)length + 1 > r->rsi)
        return -ERANGE;
    int error = copy_out(p, r->rdi, buf, (size_t)length + 1);
    return error ? error : length + 1;
}

HANDLER(umask)
{
    uint32_t old = p->umask;
    p->umask = (uint32_t)r->rdi & 0777;
    return old;
}

/* ---------------------------------------------------------------- making and removing names */

/* A place for a new name: nothing is there, and the directory takes it. */
static int find_free(struct process *p, int dirfd, uint64_t name, bool dir, struct path *path)
{
    int error = path_in(p, dirfd, name, WALK_CREATE, path);
    if (error)
        return error;
    if (path->inode)
        error = -EEXIST;
    else if (path->slash && !dir)
        error = -ENOENT;
    else if (path->dir->dir.synthetic)
        error = -EACCES;
    else if (!path->dir->nlink && path->dir != root)
        error = -ENOENT;
    if (error)
        path_done(path);
    return error;
}

/* Gives an inode, which may be NULL for want of memory, the name that find_free has found. */
static int64_t name_it(struct path *path, struct inode *inode)
{
    int error = inode ? dir_add(path->dir, path->name, path->length, inode) : -ENOMEM;
    if (inode)
        inode_put(inode);
    path_done(path);
    return error;
}

HANDLER(mkdirat)
{
    uint32_t mode = (uint32_t)r->rdx;
    struct path path;
    int error = find_free(p, (int)r->rdi, r->rsi, true, &path);
    return error ? error : name_it(&path, inode_new(S_IFDIR | (mode & MODE_BITS & ~p->umask), NULL));
}

OLDER_AT(mkdir, mkdirat)

HANDLER(symlinkat)
{
    char text[PATH_MAX];
    struct path path;
    int64_t length = string_in(p, text, r->rdi, sizeof text);
    if (length <= 0)
        return length ? length : -ENOENT;
    int error = find_free(p, (int)r->rsi, r->rdx, false, &path);
    return error ? error : name_it(&path, inode_new_link(text, (size_t)length));
}

OLDER(symlink, symlinkat, .rdi = r->rdi, .rsi = AT_FDCWD, .rdx = r->rsi)

HANDLER(linkat)
{
    struct path old, new;
    int error = path_in(p, (int)r->rdi, r->rsi, r->r8 & AT_SYMLINK_FOLLOW ? WALK_FOLLOW : 0, &old);
    if (error)
        return error;
    if (is_type(old.inode, S_IFDIR))
        error = -EPERM;
    else if (!old.inode->nlink)
        error = -EXDEV; /* of /proc */
    error = error ? error : find_free(p, (int)r->rdx, r->r10, false, &new);
    int64_t result = error ? error : name_it(&new, inode_hold(old.inode));
    path_done(&old);
    return result;
}

OLDER(link, linkat, .rdi = AT_FDCWD, .rsi = r->rdi, .rdx = AT_FDCWD, .r10 = r->rsi)

/* Whether the name at the end of a path can be taken away. */
static int removable(const struct path *path, bool dir)
{
    if (!path->length)
        return dir ? -EINVAL : -EISDIR;
    if (!path->inode->nlink)
        return -EPERM; /* of /proc */
    if (dir && !is_type(path->inode, S_IFDIR))
        return -ENOTDIR;
    if (!dir && is_type(path->inode, S_IFDIR))
        return -EISDIR;
    if (dir && (path->inode->dir.first || path->inode->dir.synthetic))
        return path->inode->dir.first ? -ENOTEMPTY : -EBUSY;
    return 0;
}

HANDLER(unlinkat)
{
    bool dir = r->rdx & AT_REMOVEDIR;
    struct path path;
    int error = path_in(p, (int)r->rdi, r->rsi, 0, &path);
    if (error)
        return error;
    error = removable(&path, dir);
    if (!error)
        dir_remove(dir_find(path.dir, path.name, path.length));
    path_done(&path);
    return error;
}

OLDER(unlink, unlinkat, .rdi = AT_FDCWD, .rsi = r->rdi)

OLDER(rmdir, unlinkat, .rdi = AT_FDCWD, .rsi = r->rdi, .rdx = AT_REMOVEDIR)

static bool is_below(const struct inode *inode, const struct inode *dir)
{
    while (inode != dir && inode->entry)
        inode = inode->entry->dir;
    return inode == dir;
}

static int rename_to(struct path *old, struct path *new)
{
    bool dir = is_type(old->inode, S_IFDIR);
    if (!old->length || !new->length)
        return -EBUSY;
    if (!old->inode->nlink || new->dir->dir.synthetic)
        return -EACCES;
    if (dir && is_below(new->dir, old->inode))
        return -EINVAL;
    if (!dir && (new->slash || old->slash))
        return -ENOTDIR;
    if (new->inode == old->inode)
        return 0;
    if (new->inode && is_below(old->dir, new->inode))
        return -ENOTEMPTY;
    if (new->inode) {
        if (dir && !is_type(new->inode, S_IFDIR))
            return -ENOTDIR;
        int error = removable(new, dir);
        if (error)
            return error;
    }
    struct entry *from = dir_find(old->dir, old->name, old->length);
    struct entry *replaced = new->inode ? dir_find(new->dir, new->name, new->length) : NULL;
    /* First the new name, which may fail; where two are equal for a moment, the one that was there is meant. */
    int error = dir_add(new->dir, new->name, new->length, old->inode);
    if (error)
        return error;
    if (replaced)
        dir_remove(replaced);
    dir_remove(from);
    return 0;
}

HANDLER(renameat)
{
    struct path old, new;
    int error = path_in(p, (int)r->rdi, r->rsi, 0, &old);
    if (error)
        return error;
    error = path_in(p, (int)r->rdx, r->r10, WALK_CREATE, &new);
    if (!error) {
        error = rename_to(&old, &new);
        path_done(&new);
    }
    path_done(&old);
    return error;
}

OLDER(rename, renameat, .rdi = AT_FDCWD, .rsi = r->rdi, .rdx = AT_FDCWD, .r10 = r->rsi)

HANDLER(readlinkat)
{
    uint64_t size = r->r10;
    char text[PATH_MAX];
    struct path path;
    int error = path_in(p, (int)r->rdi, r->rsi, 0, &path);
    if (error)
        return error;
    int64_t length = -EINVAL;
    if (is_type(path.inode, S_IFLNK) && path.inode->link.to)
        length = path_of(path.inode->link.to, text, sizeof text);
    else if (is_type(path.inode, S_IFLNK))
        length = (int64_t)string_copy(text, path.inode->link.target, sizeof text);
    path_done(&path);
    if (length < 0 || size == 0)
        return length < 0 ? length : -EINVAL;
    length = (int64_t)min_u64((uint64_t)length, size);
    error = copy_out(p, r->rdx, text, (size_t)length);
    return error ? error : length;
}

OLDER_AT(readlink, readlinkat)

/* ---------------------------------------------------------------- changing what an inode says of itself */

static void change_mode(struct inode *inode, uint32_t mode)
{
    inode->mode = (inode->mode & S_IFMT) | (mode & MODE_BITS);
    inode->ctime = time_wall();
}

HANDLER(fchmodat)
{
    struct path path;
    int error = path_in(p, (int)r->rdi, r->rsi, WALK_FOLLOW, &path);
    if (error)
        return error;
    change_mode(path.inode, (uint32_t)r->rdx);
    path_done(&path);
    return 0;
}

OLDER_AT(chmod, fchmodat)

HANDLER(fchmod)
{
    struct file *f = file_get(p, r->rdi);
    if (!f)
        return -EBADF;
    change_mode(f->inode, (uint32_t)r->rsi);
    return 0;
}

static void change_owner(struct inode *inode, uint64_t uid, uint64_t gid)
{
    if ((uint32_t)uid != UINT32_MAX)
        inode->uid = (uint32_t)uid;
    if ((uint32_t)gid != UINT32_MAX)
        inode->gid = (uint32_t)gid;
    inode->ctime = time_wall();
}

HANDLER(fchownat)
{
    struct path path;
    int error = find(p, (int)r->rdi, r->rsi, r->r8, &path);
    if (error)
        return error;
    change_owner(path.inode, r->rdx, r->r10);
    path_done(&path);
    return 0;
}

OLDER_AT(chown, fchownat)

OLDER(lchown, fchownat, .rdi = AT_FDCWD, .rsi = r->rdi, .rdx = r->rsi, .r10 = r->rdx, .r8 = AT_SYMLINK_NOFOLLOW)

HANDLER(fchown)
{
    struct file *f = file_get(p, r->rdi);
    if (!f)
        return -EBADF;
    change_owner(f->inode, r->rsi, r->rdx);
    return 0;
}

static void change_time(uint64_t *which, struct timespec ts)
{
    if (ts.nsec == UTIME_NOW)
        *which = time_wall();
    else if (ts.nsec != UTIME_OMIT)
        *which = (uint64_t)ts.sec * 1000000000 + (uint64_t)ts.nsec;
}

HANDLER(utimensat)
{
    struct timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    struct path path;
    int error = r->rdx ? copy_in(p, times, r->rdx, sizeof times) : 0;
    error = error ? error : find(p, (int)r->rdi, r->rsi, r->r10 | (r->rsi ? 0 : AT_EMPTY_PATH), &path);
    if (error)
        return error;
    change_time(&path.inode->atime, times[0]);
    change_time(&path.inode->mtime, times[1]);
    path.inode->ctime = time_wall();
    path_done(&path);
    return 0;
}

HANDLER(truncate)
{
    struct path path;
    int error = path_in(p, AT_FDCWD, r->rdi, WALK_FOLLOW, &path);
    if (error)
        return error;
    if (path.inode->ops == &regular_ops && r->rsi <= INT64_MAX)
        error = data_resize(path.inode, r->rsi);
    else
        error = is_type(path.inode, S_IFDIR) ? -EISDIR : -EINVAL;
    path_done(&path);
    return error;
}

/* No sockets here. */
HANDLER(socket)
{
    (void)p, (void)r;
    return -EAFNOSUPPORT;
}
