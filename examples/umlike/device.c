/* SPDX-License-Identifier: MIT */
/* device: /dev but the terminal, and /files, which shows the files that `polder boot --file` was given. */
#include "umlike.h"

/* ---------------------------------------------------------------- random bytes, a page at a time from the machine */

void random_bytes(void *to, size_t count)
{
    static char pool[PAGE] __attribute__((aligned(4096)));
    static size_t left;
    for (char *at = to; count;) {
        if (!left) {
            polder_random(pool, sizeof pool);
            left = sizeof pool;
        }
        size_t part = min_u64(count, left);
        left -= part;
        memcpy(at, pool + left, part);
        memset(pool + left, 0, part); /* nobody gets them twice */
        at += part;
        count -= part;
    }
}

HANDLER(getrandom)
{
    char bytes[256];
    size_t done = 0;
    while (done < r->rsi) {
        size_t part = min_u64(r->rsi - done, sizeof bytes);
        random_bytes(bytes, part);
        int error = copy_out(p, r->rdi + done, bytes, part);
        if (error)
            return done ? (int64_t)done : error;
        done += part;
        if (done >= 1 << 20)
            break;
    }
    return (int64_t)done;
}

/* ---------------------------------------------------------------- null, zero, random */

static int64_t null_read(struct process *p, struct file *f, uint64_t at, size_t count, uint64_t *offset)
{
    (void)p, (void)f, (void)at, (void)count, (void)offset;
    return 0;
}

static int64_t null_write(struct process *p, struct file *f, uint64_t at, size_t count, uint64_t *offset)
{
    (void)p, (void)f, (void)at, (void)offset;
    return (int64_t)min_u64(count, 1 << 30);
}

static int64_t zero_read(struct process *p, struct file *f, uint64_t at, size_t count, uint64_t *offset)
{
    static const char zeros[PAGE];
    size_t part = min_u64(count, sizeof zeros);
    (void)f, (void)offset;
    int error = part ? copy_out(p, at, zeros, part) : 0;
    return error ? error : (int64_t)part;
}

static int64_t random_read(struct process *p, struct file *f, uint64_t at, size_t count, uint64_t *offset)
{
    registers call = {.rdi = at, .rsi = min_u64(count, PAGE)};
    (void)f, (void)offset;
    return sys_getrandom(p, &call);
}

static const struct file_ops null_ops = {.read = null_read, .write = null_write, .seekable = true};
static const struct file_ops zero_ops = {.read = zero_read, .write = null_write, .seekable = true, .map_zero = true};
static const struct file_ops random_ops = {.read = random_read, .write = null_write};

/* ---------------------------------------------------------------- the directories */

struct inode *dir_make(struct inode *dir, const char *name, uint32_t mode)
{
    struct entry *e = dir_find(dir, name, strlen(name));
    if (e)
        return is_type(e->inode, S_IFDIR) ? e->inode : NULL;
    struct inode *inode = inode_new(S_IFDIR | mode, NULL);
    if (!inode)
        return NULL;
    int error = dir_add(dir, name, strlen(name), inode);
    inode_put(inode);
    return error ? NULL : inode;
}

int device_add(const char *name, uint32_t number, const struct file_ops *ops)
{
    struct inode *dev = dir_make(root, "dev", 0755);
    if (!dev)
        return -ENOMEM;
    struct entry *old = dir_find(dev, name, strlen(name));
    if (old)
        dir_remove(old);
    struct inode *inode = inode_new(S_IFCHR | 0666, ops);
    if (!inode)
        return -ENOMEM;
    inode->device = number;
    int error = dir_add(dev, name, strlen(name), inode);
    inode_put(inode);
    return error;
}

/* The only way to know whether a file may be written is to map it so. */
static bool is_readonly(int fd)
{
    int prot = PROT_READ | PROT_WRITE | POLDER_PRIVILEGED;
    void *probe = polder_mmap(NULL, PAGE, prot, MAP_SHARED, fd, 0, -1);
    if (probe != MAP_FAILED)
        polder_munmap(probe, PAGE, -1);
    return probe == MAP_FAILED;
}

static int file_find(struct process *p, struct inode *dir, const char *name, size_t length, struct inode **result)
{
    char copy[NAME_MAX + 1];
    (void)p;
    memcpy(copy, name, length);
    copy[length] = 0;
    int fd = polder_file_open(copy);
    if (fd < 0)
        return -errno;
    struct inode *inode = inode_new(S_IFREG | 0755, &regular_ops);
    int error = inode ? dir_add(dir, name, length, inode) : -ENOMEM;
    if (error) {
        polder_close(fd);
        if (inode)
            inode_put(inode);
        return error;
    }
    inode->data.fd = fd;
    inode->data.fixed = true;
    inode->data.readonly = is_readonly(fd);
    inode->size = (uint64_t)polder_file_size(fd);
    *result = inode;
    return 0;
}

static int link_make(struct inode *dir, const char *name, const char *target)
{
    if (dir_find(dir, name, strlen(name)))
        return 0;
    struct inode *inode = inode_new_link(target, strlen(target));
    int error = inode ? dir_add(dir, name, strlen(name), inode) : -ENOMEM;
    if (inode)
        inode_put(inode);
    return error;
}

int devices_init(void)
{
    static const struct synthetic files = {.find = file_find};
    static const char *const links[][2] = {{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"},
        {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"}};
    struct inode *dir = dir_make(root, "files", 0755);
    if (!dir || !dir_make(root, "tmp", 01777))
        return -ENOMEM;
    dir->dir.synthetic = &files;
    int error = device_add("null", 1 << 8 | 3, &null_ops);
    error = error ? error : device_add("zero", 1 << 8 | 5, &zero_ops);
    error = error ? error : device_add("random", 1 << 8 | 8, &random_ops);
    error = error ? error : device_add("urandom", 1 << 8 | 9, &random_ops);
    for (unsigned i = 0; !error && i < sizeof links / sizeof *links; i++)
        error = link_make(dir_make(root, "dev", 0755), links[i][0], links[i][1]);
    return error;
}
