/* SPDX-License-Identifier: MIT */
/*
 * umlike's reader of an initrd, with the file system that it fills: cpio.c, path.c and ramfs.c as they are, over memory
 * that is watched. What has come of an archive must be a tree, and all of it must go when it is taken down.
 */
#include "fuzz.h"
#include "umlike.h"

void *calloc(size_t count, size_t size);
void *realloc(void *block, size_t size);
void free(void *block);

#define FILES 128
#define FILE_MAX (256ul << 10)

static size_t live; /* kernel blocks */
static struct {
    bool open;
    char *bytes;
    uint64_t size;
} files[FILES];

/* ---------------------------------------------------------------- the kernel around it */

void *kalloc(size_t size)
{
    CHECK(size <= PAGE);
    void *block = calloc(1, size);
    live += block != NULL;
    return block;
}

void kfree(void *block, size_t size)
{
    (void)size;
    live -= block != NULL;
    free(block);
}

uint64_t time_wall(void)
{
    return 1;
}

int *polder_errno(void)
{
    static int number;
    return &number;
}

static int fail(int error)
{
    *polder_errno() = error;
    return -1;
}

int polder_memory_create(uint64_t size)
{
    CHECK(size == 0);
    for (int fd = 0; fd < FILES; fd++) {
        if (!files[fd].open) {
            files[fd].open = true;
            return fd;
        }
    }
    return fail(EMFILE);
}

int polder_memory_resize(int fd, uint64_t size)
{
    CHECK(fd >= 0 && fd < FILES && files[fd].open);
    if (size > FILE_MAX)
        return fail(ENOMEM);
    uint64_t old = page_up(files[fd].size), now = page_up(size);
    files[fd].bytes = realloc(files[fd].bytes, now + 1);
    CHECK(files[fd].bytes);
    if (now > old)
        memset(files[fd].bytes + old, 0, now - old);
    files[fd].size = size;
    return 0;
}

void *polder_file_page(int fd, uint64_t offset)
{
    CHECK(fd >= 0 && fd < FILES && files[fd].open && offset % PAGE == 0);
    return offset < files[fd].size ? files[fd].bytes + offset : NULL;
}

int polder_close(int fd)
{
    CHECK(fd >= 0 && fd < FILES && files[fd].open);
    free(files[fd].bytes);
    files[fd].open = false;
    files[fd].bytes = NULL;
    files[fd].size = 0;
    return 0;
}

ssize_t polder_read(int mm_fd, void *buf, size_t count, uint64_t addr)
{
    (void)mm_fd, (void)buf, (void)count, (void)addr;
    return fail(EFAULT);
}

ssize_t polder_write(int mm_fd, const void *buf, size_t count, uint64_t addr)
{
    (void)mm_fd, (void)buf, (void)count, (void)addr;
    return fail(EFAULT);
}

int64_t string_in(struct process *p, char *to, uint64_t from, size_t size)
{
    (void)p, (void)to, (void)from, (void)size;
    return -EFAULT;
}

/* ---------------------------------------------------------------- what has come of it */

static void look_at_file(struct inode *inode)
{
    char bytes[64];
    CHECK(inode->ops == &regular_ops);
    if (inode->data.fd < 0) {
        CHECK(inode->size == 0);
        return;
    }
    CHECK(inode->size <= inode->data.capacity && inode->data.capacity <= FILE_MAX);
    CHECK(data_read(inode, bytes, sizeof bytes, inode->size) == 0);
    if (inode->size)
        CHECK(data_read(inode, bytes, sizeof bytes, inode->size - 1) == 1);
}

static void look_at(struct inode *dir)
{
    char path[PATH_MAX];
    CHECK(is_type(dir, S_IFDIR));
    for (struct entry *e = dir->dir.first; e; e = e->next) {
        CHECK(e->dir == dir && e->inode->nlink && e->length && e->length <= NAME_MAX && !e->name[e->length]);
        CHECK(dir_find(dir, e->name, e->length) == e);
        for (size_t i = 0; i < e->length; i++)
            CHECK(e->name[i] && e->name[i] != '/');
        int64_t length = e->inode->entry ? path_of(e->inode, path, sizeof path) : -ENOENT;
        CHECK(length > 0 || length == -ENOENT || length == -ERANGE);
        if (is_type(e->inode, S_IFDIR))
            look_at(e->inode);
        else if (is_type(e->inode, S_IFREG))
            look_at_file(e->inode);
        else
            CHECK(is_type(e->inode, S_IFLNK) && e->inode->size < PATH_MAX &&
                  strlen(e->inode->link.target) == e->inode->size);
    }
}

static void take_down(struct inode *dir)
{
    while (dir->dir.first) {
        struct entry *e = dir->dir.first;
        if (is_type(e->inode, S_IFDIR))
            take_down(e->inode);
        dir_remove(e);
    }
}

const unsigned fuzz_mutations = 100000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!root)
        ramfs_init();
    int error = cpio_unpack(data, size);
    CHECK(error <= 0 && error > -4096);
    look_at(root);
    take_down(root);
    CHECK(live == 1 && root->nlink == 1 && root->references == 1);
    for (int fd = 0; fd < FILES; fd++)
        CHECK(!files[fd].open);
    return 0;
}
