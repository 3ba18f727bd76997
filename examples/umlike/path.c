/* SPDX-License-Identifier: MIT */
/* path: from names to inodes and back. */
#include "umlike.h"

#define LINKS_MAX 40

void path_done(struct path *path)
{
    if (path->dir)
        inode_put(path->dir);
    if (path->inode)
        inode_put(path->inode);
    path->dir = path->inode = NULL;
}

static struct inode *parent_of(struct inode *dir)
{
    return dir->entry ? dir->entry->dir : dir;
}

/* One name in a directory: the inode, held. */
static int step(struct process *p, struct inode *dir, const char *name, size_t length, struct inode **inode)
{
    if (length == 1 && name[0] == '.')
        *inode = inode_hold(dir);
    else if (length == 2 && name[0] == '.' && name[1] == '.')
        *inode = inode_hold(parent_of(dir));
    else {
        struct entry *e = dir_find(dir, name, length);
        if (!e)
            return dir->dir.synthetic ? dir->dir.synthetic->find(p, dir, name, length, inode) : -ENOENT;
        *inode = inode_hold(e->inode);
    }
    return 0;
}

/* What remains of the walk: the text of links is put before it. */
struct walk {
    char *rest;
    char buffers[2][PATH_MAX];
    unsigned links;
};

static int follow(struct walk *w, const struct inode *link)
{
    char *buffer = w->rest >= w->buffers[0] && w->rest < w->buffers[0] + PATH_MAX ? w->buffers[1] : w->buffers[0];
    size_t length = strlen(w->rest);
    if (++w->links > LINKS_MAX)
        return -ELOOP;
    if (link->size + length + 2 > PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(buffer, link->link.target, link->size);
    buffer[link->size] = '/';
    memcpy(buffer + link->size + 1, w->rest, length + 1);
    if (!length)
        buffer[link->size] = 0;
    w->rest = buffer;
    return 0;
}

static void move_to(struct inode **at, struct inode *to)
{
    inode_put(*at);
    *at = to;
}

/* Takes the next name off the rest. Sets how many slashes came after it: 0 means that it was the last. */
static size_t next_name(struct walk *w, const char **name, bool *slash, bool *last)
{
    while (*w->rest == '/')
        w->rest++;
    *name = w->rest;
    while (*w->rest && *w->rest != '/')
        w->rest++;
    size_t length = (size_t)(w->rest - *name);
    *slash = *w->rest == '/';
    while (*w->rest == '/')
        w->rest++;
    *last = !*w->rest;
    return length;
}

static bool is_dots(const char *name, size_t length)
{
    return name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.'));
}

/* The last name: path->dir is its directory. */
static void finish(struct path *path, const char *name, size_t length, struct inode *inode, bool slash)
{
    path->inode = inode;
    path->slash = slash;
    path->length = length && !is_dots(name, length) ? length : 0;
    memcpy(path->name, name, path->length);
    path->name[path->length] = 0;
}

static int walk(struct process *p, struct walk *w, unsigned flags, struct path *path)
{
    for (;;) {
        const char *name;
        bool slash, last;
        struct inode *inode;
        if (*w->rest == '/')
            move_to(&path->dir, inode_hold(root));
        size_t length = next_name(w, &name, &slash, &last);
        if (!is_type(path->dir, S_IFDIR))
            return -ENOTDIR;
        if (length > NAME_MAX)
            return -ENAMETOOLONG;
        if (length == 0) {
            finish(path, name, 0, inode_hold(path->dir), true);
            return 0;
        }
        int error = step(p, path->dir, name, length, &inode);
        if (error == -ENOENT && last && (flags & WALK_CREATE)) {
            finish(path, name, length, NULL, slash);
            return 0;
        }
        if (error)
            return error;
        if (is_type(inode, S_IFLNK) && (!last || slash || (flags & WALK_FOLLOW))) {
            if (inode->link.to) {
                struct inode *to = inode_hold(inode->link.to);
                move_to(&inode, to);
            } else {
                error = follow(w, inode);
                inode_put(inode);
                if (error)
                    return error;
                continue;
            }
        }
        if (last) {
            finish(path, name, length, inode, slash);
            return slash && !is_type(inode, S_IFDIR) ? -ENOTDIR : 0;
        }
        move_to(&path->dir, inode);
    }
}

int path_walk(struct process *p, struct inode *start, const char *text, unsigned flags, struct path *path)
{
    struct walk w;
    path->dir = path->inode = NULL;
    if (!*text)
        return -ENOENT;
    path->dir = inode_hold(start);
    w.rest = (char *)text;
    w.links = 0;
    int error = walk(p, &w, flags, path);
    if (error)
        path_done(path);
    return error;
}

int path_in(struct process *p, int dirfd, uint64_t text, unsigned flags, struct path *path)
{
    char copy[PATH_MAX];
    int64_t length = string_in(p, copy, text, sizeof copy);
    struct inode *start = p->cwd;
    path->dir = path->inode = NULL;
    if (length < 0)
        return (int)length;
    if (dirfd != AT_FDCWD && copy[0] != '/') {
        struct file *f = file_get(p, (uint32_t)dirfd);
        if (!f)
            return -EBADF;
        start = f->inode;
    }
    return path_walk(p, start, copy, flags, path);
}

int64_t path_of(const struct inode *inode, char *buf, size_t size)
{
    char *at = buf + size - 1;
    *at = 0;
    if (inode == root)
        *--at = '/';
    for (const struct inode *i = inode; i != root; i = i->entry->dir) {
        if (!i->entry)
            return -ENOENT;
        const struct entry *e = i->entry;
        if ((size_t)(at - buf) < e->length + 1u)
            return -ERANGE;
        at -= e->length;
        memcpy(at, e->name, e->length);
        *--at = '/';
    }
    size_t length = (size_t)(buf + size - 1 - at);
    memmove(buf, at, length + 1);
    return (int64_t)length;
}
