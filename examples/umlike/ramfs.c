/* SPDX-License-Identifier: MIT */
/*
 * ramfs: inodes, directories, and what is in regular files. A file's content is a descriptor of polder's, so that
 * programs map it without a copy and read and write reach it with one.
 */
#include "umlike.h"

#define BUCKETS 1024u

struct inode *root;

static struct entry *buckets[BUCKETS];
static uint64_t last_number;

/* ---------------------------------------------------------------- inodes */

struct inode *inode_new(uint32_t mode, const struct file_ops *ops)
{
    struct inode *inode = kalloc(sizeof *inode);
    if (!inode)
        return NULL;
    inode->references = 1;
    inode->mode = mode;
    inode->ops = ops;
    inode->number = ++last_number;
    inode->atime = inode->mtime = inode->ctime = time_wall();
    if (is_type(inode, S_IFREG) && ops == &regular_ops)
        inode->data.fd = -1;
    if (is_type(inode, S_IFDIR))
        inode->dir.last_cookie = 2; /* "." and ".." */
    return inode;
}

struct inode *inode_new_link(const char *target, size_t length)
{
    struct inode *inode = inode_new(S_IFLNK | 0777, NULL);
    char *copy = inode ? kalloc(length + 1) : NULL;
    if (copy) {
        memcpy(copy, target, length);
        inode->link.target = copy;
        inode->size = length;
    } else if (inode) {
        inode_put(inode);
        inode = NULL;
    }
    return inode;
}

void inode_put(struct inode *inode)
{
    if (--inode->references || inode->nlink)
        return;
    if (inode->ops == &regular_ops && inode->data.fd >= 0)
        polder_close(inode->data.fd);
    if (is_type(inode, S_IFLNK)) {
        kfree(inode->link.target, inode->size + 1);
        if (inode->link.to)
            inode_put(inode->link.to);
    }
    kfree(inode, sizeof *inode);
}

/* ---------------------------------------------------------------- directories: one hash table for all entries */

static uint32_t hash_of(const struct inode *dir, const char *name, size_t length)
{
    uint32_t hash = (uint32_t)dir->number * 31;
    for (size_t i = 0; i < length; i++)
        hash = hash * 31 + (uint8_t)name[i];
    return hash;
}

struct entry *dir_find(struct inode *dir, const char *name, size_t length)
{
    uint32_t hash = hash_of(dir, name, length);
    struct entry *e = buckets[hash % BUCKETS];
    while (e && !(e->hash == hash && e->dir == dir && e->length == length && memcmp(e->name, name, length) == 0))
        e = e->hash_next;
    return e;
}

int dir_add(struct inode *dir, const char *name, size_t length, struct inode *inode)
{
    struct entry *e = kalloc(sizeof *e + length + 1);
    if (!e)
        return -ENOMEM;
    memcpy(e->name, name, length);
    e->length = (uint16_t)length;
    e->dir = dir;
    e->inode = inode;
    e->hash = hash_of(dir, name, length);
    e->hash_next = buckets[e->hash % BUCKETS];
    buckets[e->hash % BUCKETS] = e;
    e->cookie = ++dir->dir.last_cookie;
    e->previous = dir->dir.last;
    if (e->previous)
        e->previous->next = e;
    else
        dir->dir.first = e;
    dir->dir.last = e;
    dir->mtime = dir->ctime = inode->ctime = time_wall();
    inode->nlink++;
    inode->entry = e;
    if (is_type(inode, S_IFDIR))
        dir->nlink++;
    return 0;
}

void dir_remove(struct entry *e)
{
    struct inode *dir = e->dir, *inode = e->inode;
    struct entry **at = &buckets[e->hash % BUCKETS];
    while (*at != e)
        at = &(*at)->hash_next;
    *at = e->hash_next;
    if (e->next)
        e->next->previous = e->previous;
    else
        dir->dir.last = e->previous;
    if (e->previous)
        e->previous->next = e->next;
    else
        dir->dir.first = e->next;
    dir->mtime = dir->ctime = inode->ctime = time_wall();
    if (inode->entry == e)
        inode->entry = NULL;
    if (is_type(inode, S_IFDIR))
        dir->nlink--;
    kfree(e, sizeof *e + e->length + 1);
    inode_hold(inode);
    inode->nlink--;
    inode_put(inode);
}

void ramfs_init(void)
{
    root = inode_new(S_IFDIR | 0755, NULL);
    root->nlink++;
}

/* ---------------------------------------------------------------- content */

int data_prepare(struct inode *inode)
{
    if (inode->data.fd >= 0)
        return 0;
    inode->data.fd = polder_memory_create(0);
    return inode->data.fd < 0 ? -errno : 0;
}

int data_resize(struct inode *inode, uint64_t size)
{
    if (inode->data.fixed)
        return -EPERM;
    int error = data_prepare(inode);
    if (error)
        return error;
    /* What is cut off must read as zeros if it comes back, so the descriptor itself is cut. */
    if (size > inode->data.capacity || size < inode->size) {
        if (polder_memory_resize(inode->data.fd, size))
            return -errno;
        inode->data.capacity = size;
    }
    inode->size = size;
    inode->mtime = inode->ctime = time_wall();
    return 0;
}

/* Room for a write up to `end`, in whole pages: small writes at the end are many. */
static int grow(struct inode *inode, uint64_t end)
{
    if (inode->data.fixed)
        return end > inode->size ? -ENOSPC : 0;
    int error = data_prepare(inode);
    if (error || end <= inode->data.capacity)
        return error;
    uint64_t capacity = page_up(end);
    if (polder_memory_resize(inode->data.fd, capacity))
        return -errno;
    inode->data.capacity = capacity;
    return 0;
}

/* One page's part of a transfer, for whoever carries it out: bytes moved, or an error. */
typedef ssize_t mover(void *opaque, char *page, size_t count, uint64_t done);

static int64_t each_page(struct inode *inode, size_t count, uint64_t offset, mover *move, void *opaque)
{
    size_t done = 0;
    while (done < count) {
        uint64_t at = offset + done, part = min_u64(count - done, PAGE - at % PAGE);
        char *page = polder_file_page(inode->data.fd, at & ~(PAGE - 1));
        ssize_t moved = page ? move(opaque, page + at % PAGE, part, done) : -ENOSPC;
        if (moved <= 0)
            return done ? (int64_t)done : moved;
        done += (size_t)moved;
        if ((size_t)moved < part)
            break;
    }
    return (int64_t)done;
}

/* How much of a read there is. */
static size_t readable(const struct inode *inode, size_t count, uint64_t offset)
{
    return offset >= inode->size ? 0 : min_u64(count, inode->size - offset);
}

/* How much of a write can be made room for. */
static int64_t prepare_write(struct inode *inode, size_t count, uint64_t offset)
{
    if (offset > INT64_MAX || count > INT64_MAX - offset)
        return -EFBIG;
    int error = grow(inode, offset + count);
    return error ? error : (int64_t)count;
}

static void wrote(struct inode *inode, int64_t done, uint64_t offset)
{
    if (done > 0 && offset + (uint64_t)done > inode->size)
        inode->size = offset + (uint64_t)done;
    inode->mtime = inode->ctime = time_wall();
}

static ssize_t from_page(void *opaque, char *page, size_t count, uint64_t done)
{
    memcpy((char *)opaque + done, page, count);
    return (ssize_t)count;
}

static ssize_t to_page(void *opaque, char *page, size_t count, uint64_t done)
{
    memcpy(page, (const char *)opaque + done, count);
    return (ssize_t)count;
}

int64_t data_read(struct inode *inode, void *to, size_t count, uint64_t offset)
{
    return each_page(inode, readable(inode, count, offset), offset, from_page, to);
}

int64_t data_write(struct inode *inode, const void *from, size_t count, uint64_t offset)
{
    int64_t n = prepare_write(inode, count, offset);
    if (n > 0) {
        n = each_page(inode, (size_t)n, offset, to_page, (void *)from);
        wrote(inode, n, offset);
    }
    return n;
}

struct user {
    int space;
    uint64_t at;
};

static ssize_t page_to_user(void *opaque, char *page, size_t count, uint64_t done)
{
    const struct user *user = opaque;
    ssize_t n = polder_write(user->space, page, count, user->at + done);
    return n < 0 ? -errno : n;
}

static ssize_t user_to_page(void *opaque, char *page, size_t count, uint64_t done)
{
    const struct user *user = opaque;
    ssize_t n = polder_read(user->space, page, count, user->at + done);
    return n < 0 ? -errno : n;
}

static int64_t regular_read(struct process *p, struct file *f, uint64_t at, size_t count, uint64_t *offset)
{
    struct user user = {p->space->fd, at};
    int64_t n = each_page(f->inode, readable(f->inode, count, *offset), *offset, page_to_user, &user);
    if (n > 0)
        *offset += (uint64_t)n;
    return n;
}

static int64_t regular_write(struct process *p, struct file *f, uint64_t at, size_t count, uint64_t *offset)
{
    struct user user = {p->space->fd, at};
    if (f->flags & O_APPEND)
        *offset = f->inode->size;
    int64_t n = prepare_write(f->inode, count, *offset);
    if (n <= 0)
        return n;
    n = each_page(f->inode, count, *offset, user_to_page, &user);
    wrote(f->inode, n, *offset);
    if (n > 0)
        *offset += (uint64_t)n;
    return n;
}

const struct file_ops regular_ops = {.read = regular_read, .write = regular_write, .seekable = true};
