/* SPDX-License-Identifier: MIT */
#include "shim.h"
#include <polder/resident.h>

#define PAGE 4096ul

/* ---------------------------------------------------------------- strings */

int strncmp(const char *a, const char *b, size_t n)
{
    for (; n; n--, a++, b++)
        if (*a != *b || !*a)
            return (unsigned char)*a - (unsigned char)*b;
    return 0;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

char *strstr(const char *s, const char *part)
{
    size_t length = strlen(part);

    for (; *s; s++)
        if (strncmp(s, part, length) == 0)
            return (char *)s;
    return NULL;
}

const char *strerrorname_np(int error)
{
    static const struct {
        int error;
        const char *name;
    } names[] = {{0, "0"}, {EPERM, "EPERM"}, {ENOENT, "ENOENT"}, {EIO, "EIO"}, {ENXIO, "ENXIO"}, {EBADF, "EBADF"},
        {EAGAIN, "EAGAIN"}, {ENOMEM, "ENOMEM"}, {EACCES, "EACCES"}, {EFAULT, "EFAULT"}, {EBUSY, "EBUSY"},
        {EEXIST, "EEXIST"}, {ENODEV, "ENODEV"}, {EINVAL, "EINVAL"}, {EMFILE, "EMFILE"}, {EFBIG, "EFBIG"},
        {ENOSYS, "ENOSYS"}, {EOVERFLOW, "EOVERFLOW"}, {ESTALE, "ESTALE"}};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].error == error)
            return names[i].name;
    return "an error without a name here";
}

const char *strerror(int error)
{
    return strerrorname_np(error);
}

unsigned long long strtoull(const char *digits, char **end, int base)
{
    unsigned long long n = 0;

    (void)base;
    for (; *digits >= '0' && *digits <= '9'; digits++)
        n = n * 10 + (unsigned)(*digits - '0');
    if (end)
        *end = (char *)digits;
    return n;
}

int atoi(const char *digits)
{
    return (int)strtoull(digits, NULL, 10);
}

char *getenv(const char *name)
{
    size_t length = strlen(name);

    for (const char *at = polder_bootargs(); *at; at++)
        if ((at == polder_bootargs() || at[-1] == ' ') && strncmp(at, name, length) == 0 && at[length] == '=')
            return (char *)at + length + 1;
    return NULL;
}

/* ---------------------------------------------------------------- memory: a page with the size, then what was asked
 * for */

void *malloc(size_t size)
{
    uint64_t *block = polder_mmap(
        NULL, size + PAGE, PROT_READ | PROT_WRITE | POLDER_PRIVILEGED, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, -1);

    if (block == MAP_FAILED)
        return NULL;
    block[0] = size + PAGE;
    return (char *)block + PAGE;
}

void *calloc(size_t count, size_t size)
{
    return malloc(count * size); /* is all zero */
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return alignment > PAGE ? NULL : malloc(size);
}

void free(void *at)
{
    if (!at)
        return;
    uint64_t *block = (uint64_t *)((char *)at - PAGE);
    polder_munmap(block, block[0], -1);
}

/* ---------------------------------------------------------------- files */

int memfd_create(const char *name, unsigned flags)
{
    (void)name;
    (void)flags;
    return polder_memory_create(0);
}

int ftruncate(int fd, off_t size)
{
    return polder_memory_resize(fd, (uint64_t)size);
}

static ssize_t transfer(int fd, char *buf, size_t count, off_t offset, bool write)
{
    size_t done = 0, n;
    int64_t size = polder_file_size(fd);

    if (size < 0)
        return -1;
    if (write && offset + (off_t)count > size && polder_memory_resize(fd, (uint64_t)offset + count) < 0)
        return -1;
    if (!write)
        count = offset >= size ? 0 : (off_t)count > size - offset ? (size_t)(size - offset) : count;
    for (; done < count; done += n) {
        uint64_t at = (uint64_t)offset + done;
        char *page = polder_file_page(fd, at);
        if (!page)
            return -1;
        n = PAGE - at % PAGE < count - done ? PAGE - at % PAGE : count - done;
        memcpy(write ? page + at % PAGE : buf + done, write ? buf + done : page + at % PAGE, n);
    }
    return (ssize_t)done;
}

ssize_t pread(int fd, void *buf, size_t count, off_t offset)
{
    return transfer(fd, buf, count, offset, false);
}

ssize_t pwrite(int fd, const void *buf, size_t count, off_t offset)
{
    return transfer(fd, (void *)buf, count, offset, true);
}

ssize_t write(int fd, const void *buf, size_t count)
{
    return pwrite(fd, buf, count, 0);
}

int fcntl(int fd, int command, ...)
{
    return command == F_GETFD ? FD_CLOEXEC : polder_dup(fd);
}

pid_t getpid(void)
{
    return 1;
}

unsigned alarm(unsigned seconds)
{
    return seconds;
}

/* ---------------------------------------------------------------- mappings */

void *mmap(void *start, size_t length, int prot, int flags, int fd, off_t offset)
{
    if (!start && !(flags & MAP_ANONYMOUS))
        prot |= POLDER_PRIVILEGED;
    return polder_mmap(start, length, prot, flags, fd, offset, -1);
}

int munmap(void *start, size_t length)
{
    return polder_munmap(start, length, -1);
}

int mprotect(void *start, size_t length, int prot)
{
    return polder_mprotect(start, length, prot, -1);
}

/* ---------------------------------------------------------------- the machine */

bool shim_ring0_is_emulated(void)
{
    static int emulated = -1;

    if (emulated < 0) { /* the string is in the tree's block of strings or properties: good enough for a test */
        const unsigned char *tree = polder_device_tree();
        size_t size = (size_t)tree[4] << 24 | (size_t)tree[5] << 16 | (size_t)tree[6] << 8 | tree[7];
        emulated = 0;
        for (size_t i = 0; i + sizeof("emulated") <= size && !emulated; i++)
            emulated = memcmp(tree + i, "emulated", sizeof("emulated")) == 0;
    }
    return emulated;
}

bool shim_processor_is_tcg(void)
{
    return getenv("tcg") != NULL;
}
