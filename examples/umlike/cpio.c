/* SPDX-License-Identifier: MIT */
/* cpio: unpacks an archive of the "newc" form into the RAM file system (Linux, driver-api/early-userspace). */
#include "umlike.h"

#define HEADER 110u

struct member {
    uint64_t ino, mode, uid, gid, nlink, mtime, size, major, minor, device_major, device_minor, name_size;
    const char *name, *data;
};

/* Files with more than one name: all come with the same number, and the content with the last one. */
struct linked {
    struct linked *next;
    uint64_t ino, device;
    struct inode *inode;
};

static bool hex(const char *digits, uint64_t *value)
{
    *value = 0;
    for (unsigned i = 0; i < 8; i++) {
        char c = digits[i];
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : ((unsigned)c | 0x20) - 'a' + 10;
        if (digit > 15)
            return false;
        *value = *value << 4 | digit;
    }
    return true;
}

static uint64_t pad(uint64_t n)
{
    return (n + 3) & ~3ull;
}

/* Reads the member at *at and moves it on. False if there is no whole one. */
static bool next_member(const char *archive, size_t size, size_t *at, struct member *m)
{
    uint64_t *const fields[] = {&m->ino, &m->mode, &m->uid, &m->gid, &m->nlink, &m->mtime, &m->size, &m->major,
        &m->minor, &m->device_major, &m->device_minor, &m->name_size};
    const char *header = archive + *at;
    if (size - *at < HEADER || memcmp(header, "07070", 5) || (header[5] != '1' && header[5] != '2'))
        return false;
    for (unsigned i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!hex(header + 6 + 8 * i, fields[i]))
            return false;
    }
    uint64_t data = *at + pad(HEADER + m->name_size), end = data + pad(m->size);
    if (m->name_size == 0 || m->name_size > PATH_MAX || data > size || m->size > size - data)
        return false;
    m->name = header + HEADER;
    m->data = archive + data;
    *at = min_u64(end, size);
    return m->name[m->name_size - 1] == 0;
}

/* As Linux has it: the path that a link leads to has no end of its own in an archive. */
static bool is_link_target(const struct member *m)
{
    if (m->size == 0 || m->size >= PATH_MAX)
        return false;
    for (uint64_t i = 0; i < m->size; i++) {
        if (!m->data[i])
            return false;
    }
    return true;
}

static struct inode *make(const struct member *m, struct linked **list)
{
    uint32_t mode = (uint32_t)m->mode & (S_IFMT | 07777);
    uint64_t device = m->major << 32 | m->minor;
    if ((mode & S_IFMT) == S_IFLNK)
        return inode_new_link(m->data, m->size);
    if ((mode & S_IFMT) == S_IFDIR)
        return inode_new(mode, NULL);
    for (struct linked *l = *list; m->nlink > 1 && l; l = l->next) {
        if (l->ino == m->ino && l->device == device)
            return inode_hold(l->inode);
    }
    struct inode *inode = inode_new(mode, &regular_ops);
    struct linked *l = inode && m->nlink > 1 ? kalloc(sizeof *l) : NULL;
    if (l) {
        /* Held: a later member may replace the name that it has. */
        *l = (struct linked){*list, m->ino, device, inode_hold(inode)};
        *list = l;
    }
    return inode;
}

static int unpack(const struct member *m, struct linked **list)
{
    struct path path;
    uint32_t type = (uint32_t)m->mode & S_IFMT;
    if (type != S_IFREG && type != S_IFDIR && type != S_IFLNK)
        return 0; /* devices are our own */
    if (type == S_IFLNK && !is_link_target(m))
        return -EINVAL;
    int error = path_walk(NULL, root, m->name, WALK_CREATE, &path);
    if (error)
        return error;
    if (path.inode) { /* a directory that is there, or what an archive before this one has brought */
        bool keep = is_type(path.inode, S_IFDIR) || !path.length;
        if (!keep)
            dir_remove(dir_find(path.dir, path.name, path.length));
        if (keep) {
            path_done(&path);
            return 0;
        }
    }
    struct inode *inode = make(m, list);
    error = inode ? dir_add(path.dir, path.name, path.length, inode) : -ENOMEM;
    if (!error && type == S_IFREG && m->size && data_write(inode, m->data, m->size, 0) != (int64_t)m->size)
        error = -ENOMEM;
    if (inode) {
        inode->uid = (uint32_t)m->uid;
        inode->gid = (uint32_t)m->gid;
        inode->mtime = m->mtime * 1000000000;
        inode_put(inode);
    }
    path_done(&path);
    return error;
}

int cpio_unpack(const void *archive, size_t size)
{
    const char *bytes = archive;
    struct linked *list = NULL;
    struct member m;
    size_t at = 0;
    int error = 0;
    while (!error && at < size) {
        if (!bytes[at]) { /* archives one after another are padded */
            at += 4 - at % 4;
            continue;
        }
        if (!next_member(bytes, size, &at, &m))
            error = -EINVAL;
        else if (!string_equal(m.name, "TRAILER!!!"))
            error = unpack(&m, &list);
    }
    while (list) {
        struct linked *l = list;
        list = l->next;
        inode_put(l->inode);
        kfree(l, sizeof *l);
    }
    return error;
}
