/* SPDX-License-Identifier: MIT */
/* file: open files, descriptors, and the calls that take one. */
#include "umlike.h"

/* ---------------------------------------------------------------- open files */

struct file *file_new(struct inode *inode, uint32_t flags)
{
    struct file *f = kalloc(sizeof *f);
    if (!f) {
        inode_put(inode);
        return NULL;
    }
    f->references = 1;
    f->flags = flags;
    f->inode = inode;
    return f;
}

void file_put(struct file *f)
{
    if (--f->references)
        return;
    if (f->inode->ops && f->inode->ops->release)
        f->inode->ops->release(f);
    inode_put(f->inode);
    kfree(f, sizeof *f);
}

int open_inode(struct process *p, struct inode *inode, uint32_t flags, struct file **result)
{
    uint32_t mode = flags & O_ACCMODE;
    if (is_type(inode, S_IFLNK) && !(flags & O_PATH))
        return -ELOOP;
    if (is_type(inode, S_IFDIR) && (mode != O_RDONLY || (flags & O_CREAT)))
        return -EISDIR;
    if (is_type(inode, S_IFREG) && inode->ops == &regular_ops && mode != O_RDONLY && inode->data.readonly)
        return -EROFS;
    struct file *f = file_new(inode_hold(inode), flags & ~(uint32_t)(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC));
    if (!f)
        return -ENOMEM;
    int error = 0;
    if (flags & O_PATH)
        f->flags = O_PATH;
    else if (inode->ops && inode->ops->open)
        error = inode->ops->open(p, f);
    if (!error && (flags & O_TRUNC) && mode != O_RDONLY && inode->ops == &regular_ops)
        error = data_resize(inode, 0);
    if (error)
        file_put(f);
    else
        *result = f;
    return error;
}

/* ---------------------------------------------------------------- tables of descriptors */

/* What lies at `end` and beyond is never looked at, and need not be cleared. */
struct files *files_new(void)
{
    struct files *files = page_alloc();
    if (files) {
        files->end = 0;
        memset(files->cloexec, 0, sizeof files->cloexec);
    }
    return files;
}

struct files *files_copy(const struct files *files)
{
    struct files *copy = files_new();
    if (!copy)
        return NULL;
    copy->end = files->end;
    memcpy(copy->cloexec, files->cloexec, sizeof copy->cloexec);
    memcpy(copy->file, files->file, files->end * sizeof *files->file);
    for (uint32_t i = 0; i < files->end; i++) {
        if (copy->file[i])
            copy->file[i]->references++;
    }
    return copy;
}

static void set_cloexec(struct files *files, uint32_t fd, bool on)
{
    uint64_t bit = 1ull << fd % 64;
    if (on)
        files->cloexec[fd / 64] |= bit;
    else
        files->cloexec[fd / 64] &= ~bit;
}

static bool is_cloexec(const struct files *files, uint32_t fd)
{
    return files->cloexec[fd / 64] >> fd % 64 & 1;
}

static void take_out(struct files *files, uint32_t fd)
{
    struct file *f = files->file[fd];
    files->file[fd] = NULL;
    while (files->end && !files->file[files->end - 1])
        files->end--;
    file_put(f);
}

void files_close_all(struct files *files)
{
    if (!files)
        return;
    for (uint32_t i = 0; i < files->end; i++) {
        if (files->file[i])
            file_put(files->file[i]);
    }
    page_free(files);
}

void files_exec(struct files *files)
{
    for (uint32_t i = 0; i < FILES_MAX / 64; i++) {
        for (uint64_t left = files->cloexec[i]; left; left &= left - 1) {
            uint32_t fd = i * 64 + (uint32_t)__builtin_ctzll(left);
            if (fd < files->end && files->file[fd])
                take_out(files, fd);
        }
        files->cloexec[i] = 0;
    }
}

static void put_at(struct files *files, uint32_t fd, struct file *f, bool cloexec)
{
    while (files->end <= fd)
        files->file[files->end++] = NULL;
    files->file[fd] = f;
    set_cloexec(files, fd, cloexec);
}

int fd_install(struct process *p, struct file *f, uint32_t from, bool cloexec)
{
    struct files *files = p->files;
    uint32_t fd = from;
    while (fd < files->end && files->file[fd])
        fd++;
    if (fd >= FILES_MAX) {
        file_put(f);
        return from >= FILES_MAX ? -EINVAL : -EMFILE;
    }
    put_at(files, fd, f, cloexec);
    return (int)fd;
}

int fd_close(struct process *p, uint32_t fd)
{
    if (!file_get(p, fd))
        return -EBADF;
    take_out(p->files, fd);
    return 0;
}

HANDLER(close)
{
    return fd_close(p, (uint32_t)r->rdi);
}

static int64_t duplicate(struct process *p, uint64_t fd, uint64_t from, bool cloexec)
{
    struct file *f = file_get(p, fd);
    if (!f)
        return -EBADF;
    f->references++;
    return fd_install(p, f, (uint32_t)min_u64(from, FILES_MAX), cloexec);
}

static int64_t duplicate_to(struct process *p, uint64_t fd, uint64_t to, bool cloexec)
{
    struct file *f = file_get(p, fd);
    if (!f || to >= FILES_MAX)
        return -EBADF;
    f->references++;
    if (file_get(p, to))
        take_out(p->files, (uint32_t)to);
    put_at(p->files, (uint32_t)to, f, cloexec);
    return (int64_t)to;
}

HANDLER(dup)
{
    return duplicate(p, r->rdi, 0, false);
}

HANDLER(dup2)
{
    if (r->rdi == r->rsi)
        return file_get(p, r->rdi) ? (int64_t)r->rsi : -EBADF;
    return duplicate_to(p, r->rdi, r->rsi, false);
}

HANDLER(dup3)
{
    return r->rdi == r->rsi ? -EINVAL : duplicate_to(p, r->rdi, r->rsi, r->rdx & O_CLOEXEC);
}

HANDLER(fcntl)
{
    struct file *f = file_get(p, r->rdi);
    uint32_t settable = O_APPEND | O_NONBLOCK, fd = (uint32_t)r->rdi;
    if (!f)
        return -EBADF;
    switch (r->rsi) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return duplicate(p, r->rdi, r->rdx, r->rsi == F_DUPFD_CLOEXEC);
    case F_GETFD:
        return is_cloexec(p->files, fd);
    case F_SETFD:
        set_cloexec(p->files, fd, r->rdx & 1);
        return 0;
    case F_GETFL:
        return f->flags;
    case F_SETFL:
        f->flags = (f->flags & ~settable) | ((uint32_t)r->rdx & settable);
        return 0;
    case F_GETPIPE_SZ:
        return is_type(f->inode, S_IFIFO) ? 65536 : -EBADF;
    default:
        return r->rsi > F_GETLK && r->rsi <= F_SETLKW ? 0 : -EINVAL; /* locks: nobody to lock against */
    }
}

/* ---------------------------------------------------------------- reading and writing */

typedef int64_t file_operation(struct process *p, struct file *f, uint64_t at, size_t count, uint64_t *offset);

static file_operation *operation(const struct file *f, bool write)
{
    if ((f->flags & O_PATH) || (f->flags & O_ACCMODE) == (write ? O_RDONLY : O_WRONLY) || !f->inode->ops)
        return NULL;
    return write ? f->inode->ops->write : f->inode->ops->read;
}

static int no_operation(const struct file *f, bool write)
{
    return is_type(f->inode, S_IFDIR) && !write && !(f->flags & O_PATH) ? -EISDIR : -EBADF;
}

/*
 * Carries out a read or a write over pieces of memory. One that blocks comes here again from the beginning, and skips
 * what call.done says has been moved. A read does not wait for more than it has; a write waits until all is taken.
 */
static int64_t transfer(
    struct process *p, struct file *f, const struct iovec *iov, size_t pieces, uint64_t *offset, bool write)
{
    file_operation *move = operation(f, write);
    uint64_t done = p->call.done, before = 0;
    int64_t n = 0;
    if (!move)
        return no_operation(f, write);
    for (size_t i = 0; i < pieces; before += iov[i++].length) {
        while (done < before + iov[i].length) {
            uint64_t skip = done - before, part = iov[i].length - skip;
            n = move(p, f, iov[i].base + skip, part, offset);
            if (n <= 0)
                goto out;
            done += (uint64_t)n;
            if (!write && (uint64_t)n < part)
                return (int64_t)done;
        }
        if (!write && done && pieces > 1 && !f->inode->ops->seekable)
            return (int64_t)done; /* the next piece might wait */
    }
    return (int64_t)done;
out:
    if (n == BLOCKED)
        p->call.done = done;
    return done && n != BLOCKED ? (int64_t)done : n;
}

HANDLER(read)
{
    struct file *f = file_get(p, r->rdi);
    struct iovec one = {r->rsi, r->rdx};
    return f ? transfer(p, f, &one, 1, &f->offset, false) : -EBADF;
}

HANDLER(write)
{
    struct file *f = file_get(p, r->rdi);
    struct iovec one = {r->rsi, r->rdx};
    return f ? transfer(p, f, &one, 1, &f->offset, true) : -EBADF;
}

static int64_t at_offset(struct process *p, registers *r, bool write)
{
    struct file *f = file_get(p, r->rdi);
    struct iovec one = {r->rsi, r->rdx};
    uint64_t offset = r->r10;
    if (!f)
        return -EBADF;
    if (!f->inode->ops || !f->inode->ops->seekable)
        return -ESPIPE;
    return offset > INT64_MAX ? -EINVAL : transfer(p, f, &one, 1, &offset, write);
}

HANDLER(pread64)
{
    return at_offset(p, r, false);
}

HANDLER(pwrite64)
{
    return at_offset(p, r, true);
}

static int64_t vector(struct process *p, registers *r, bool write)
{
    struct iovec iov[IOV_MAX];
    struct file *f = file_get(p, r->rdi);
    uint64_t count = r->rdx, total = 0;
    if (!f)
        return -EBADF;
    if (count > IOV_MAX)
        return -EINVAL;
    int error = count ? copy_in(p, iov, r->rsi, count * sizeof *iov) : 0;
    if (error)
        return error;
    for (uint64_t i = 0; i < count; i++) {
        if (iov[i].length > INT64_MAX - total)
            return -EINVAL;
        total += iov[i].length;
    }
    return transfer(p, f, iov, count, &f->offset, write);
}

HANDLER(readv)
{
    return vector(p, r, false);
}

HANDLER(writev)
{
    return vector(p, r, true);
}

/* Whoever asks for it can read and write as well. */
HANDLER(sendfile)
{
    (void)p, (void)r;
    return -EINVAL;
}

HANDLER(lseek)
{
    struct file *f = file_get(p, r->rdi);
    int64_t offset = (int64_t)r->rsi, base = 0;
    if (!f)
        return -EBADF;
    bool dir = is_type(f->inode, S_IFDIR);
    if (!dir && (!f->inode->ops || !f->inode->ops->seekable))
        return -ESPIPE;
    if (r->rdx == SEEK_CUR)
        base = (int64_t)f->offset;
    else if (r->rdx == SEEK_END && !dir)
        base = (int64_t)f->inode->size;
    else if (r->rdx != SEEK_SET)
        return -EINVAL;
    if (__builtin_add_overflow(base, offset, &base) || base < 0)
        return -EINVAL;
    f->offset = (uint64_t)base;
    return base;
}

HANDLER(ftruncate)
{
    struct file *f = file_get(p, r->rdi);
    if (!f)
        return -EBADF;
    if (f->inode->ops != &regular_ops || (f->flags & O_ACCMODE) == O_RDONLY || r->rsi > INT64_MAX)
        return -EINVAL;
    return data_resize(f->inode, r->rsi);
}

HANDLER(ioctl)
{
    struct file *f = file_get(p, r->rdi);
    if (!f)
        return -EBADF;
    return f->inode->ops && f->inode->ops->ioctl ? f->inode->ops->ioctl(p, f, (unsigned)r->rsi, r->rdx) : -ENOTTY;
}

/* ---------------------------------------------------------------- getdents64 */

struct listing {
    char *page; /* gathered here */
    size_t used, size;
};

static bool list(struct listing *l, uint64_t number, uint64_t cookie, uint8_t type, const char *name, size_t length)
{
    size_t size = (sizeof(struct dirent64) + length + 1 + 7) & ~7ul;
    if (size > l->size - l->used)
        return false;
    struct dirent64 *d = (struct dirent64 *)(l->page + l->used);
    d->ino = number;
    d->off = cookie;
    d->reclen = (uint16_t)size;
    d->type = type;
    memcpy(d->name, name, length);
    memset(d->name + length, 0, size - sizeof *d - length);
    l->used += size;
    return true;
}

static uint8_t type_of(const struct inode *inode)
{
    return (uint8_t)((inode->mode & S_IFMT) >> 12);
}

/* The position is the cookie of the last entry given: it stays right whatever is removed meanwhile. */
static void fill(struct listing *l, struct inode *dir, uint64_t *at)
{
    const struct inode *parent = dir->entry ? dir->entry->dir : dir;
    if (*at == 0 && list(l, dir->number, 1, type_of(dir), ".", 1))
        *at = 1;
    if (*at == 1 && list(l, parent->number, 2, type_of(dir), "..", 2))
        *at = 2;
    if (*at < 2)
        return;
    const struct entry *e = dir->dir.first;
    while (e && e->cookie <= *at)
        e = e->next;
    for (; e; e = e->next) {
        if (!list(l, e->inode->number, e->cookie, type_of(e->inode), e->name, e->length))
            return;
        *at = e->cookie;
    }
    if (!dir->dir.synthetic || !dir->dir.synthetic->next)
        return;
    for (;;) {
        char name[NAME_MAX + 1];
        uint64_t cookie = *at;
        uint8_t type;
        size_t length = dir->dir.synthetic->next(dir, &cookie, name, &type);
        if (!length || !list(l, cookie, cookie, type, name, length))
            return;
        *at = cookie;
    }
}

HANDLER(getdents64)
{
    struct file *f = file_get(p, r->rdi);
    if (!f || (f->flags & O_PATH))
        return -EBADF;
    if (!is_type(f->inode, S_IFDIR))
        return -ENOTDIR;
    struct listing l = {.page = page_alloc(), .size = min_u64(r->rdx, PAGE)};
    uint64_t at = f->offset;
    if (!l.page)
        return -ENOMEM;
    fill(&l, f->inode, &at);
    int64_t result = (int64_t)l.used;
    if (at == f->offset)
        result = 0;
    if (l.used && copy_out(p, r->rsi, l.page, l.used))
        result = -EFAULT;
    if (result >= 0)
        f->offset = at;
    page_free(l.page);
    return result;
}
