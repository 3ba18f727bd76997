/* SPDX-License-Identifier: MIT */
/* devices: console, files, clock and random bytes: what resident.h has besides spaces. */
#include "fd.h"
#include "file.h"
#include "hypercall.h"
#include "machine.h"
#include "own.h"
#include "tables.h"
#include <polder/resident.h>

static int fail(int64_t error)
{
    errno = (int)-error;
    return -1;
}

/* A hypercall takes guest-physical addresses: a buffer goes page by page. */
static int64_t with_page(uint64_t number, const void *buf, size_t count, size_t *done)
{
    uint64_t at = (uint64_t)buf, pa = tables_translate(tables_own_root(), at);
    *done = min_u64(count, PAGE_SIZE - at % PAGE_SIZE);
    return pa == ~0ull ? -EFAULT : hypercall(number, pa, *done, 0, 0);
}

EXPORT ssize_t polder_console_write(const void *buf, size_t count)
{
    for (size_t done = 0, n; done < count; done += n) {
        int64_t result = with_page(HC_CONSOLE_WRITE, (const char *)buf + done, count - done, &n);
        if (result <= 0)
            return fail(result ? result : -EIO);
        n = (size_t)result;
    }
    return (ssize_t)count;
}

EXPORT ssize_t polder_console_read(void *buf, size_t count)
{
    size_t n;
    if (count == 0)
        return 0;
    int64_t result = with_page(HC_CONSOLE_READ, buf, count, &n);
    return result < 0 ? fail(result) : result;
}

EXPORT void polder_random(void *buf, size_t count)
{
    for (size_t done = 0, n; done < count;) {
        int64_t result = with_page(HC_RANDOM, (char *)buf + done, count - done, &n);
        if (result <= 0)
            __builtin_trap(); /* no memory of the kernel's: as any other wild pointer */
        done += (size_t)result;
    }
}

EXPORT uint64_t polder_clock(int clock)
{
    return (uint64_t)hypercall(HC_CLOCK, (uint64_t)clock, 0, 0, 0);
}

EXPORT int64_t polder_exits(void)
{
    int64_t exits = hypercall(HC_EXITS, 0, 0, 0, 0);
    return exits < 0 ? fail(exits) : exits;
}

EXPORT void polder_shutdown(int status)
{
    for (;;)
        hypercall(HC_SHUTDOWN, (uint64_t)status & 0xff, 0, 0, 0);
}

EXPORT const void *polder_device_tree(void)
{
    return machine.device_tree;
}

EXPORT const char *polder_bootargs(void)
{
    return machine.bootargs;
}

EXPORT const void *polder_initrd(size_t *size)
{
    *size = machine.initrd_size;
    return machine.initrd;
}

EXPORT uint64_t polder_memory_limit(void)
{
    return frames_limit();
}

EXPORT uint64_t polder_memory_used(void)
{
    return frames_used();
}

/* ---------------------------------------------------------------- files */

static int new_descriptor(struct file *file)
{
    if (!file)
        return fail(-ENOMEM);
    int fd = fd_new_file(file);
    if (fd < 0) {
        file_drop(file);
        return fail(fd);
    }
    return fd;
}

/* So that file_page gives something that the kernel can read. */
static bool map_window(uint64_t pa, uint64_t size, bool writable)
{
    for (uint64_t at = pa; at < pa + size; at += BLOCK_SIZE) {
        uint64_t *entry = tables_direct_entry(at);
        if (!entry)
            return false;
        if (!*entry)
            *entry = at | PTE_P | PTE_A | PTE_D | PTE_PS | PTE_NX | (writable ? PTE_W : 0);
    }
    return true;
}

EXPORT int polder_file_open(const char *name)
{
    bool writable;
    int index = machine_file(name, &writable);
    if (index < 0)
        return fail(index);
    int64_t pa = hypercall(HC_FILE, (uint64_t)index, 0, 0, 0);
    if (pa < 0)
        return fail(pa);
    uint64_t size = hypercall_result2();
    if (!map_window((uint64_t)pa, page_up(size), writable))
        return fail(-ENOMEM);
    return new_descriptor(file_new_window((uint64_t)pa, size, writable));
}

EXPORT int polder_memory_create(uint64_t size)
{
    return size > USER_END ? fail(-EFBIG) : new_descriptor(file_new(size));
}

static int64_t with_file(int fd, int64_t (*action)(struct file *, uint64_t), uint64_t argument)
{
    struct file *file;
    int64_t result = fd_get_file(fd, &file);
    if (result)
        return fail(result == -ENODEV ? -EINVAL : result);
    result = action(file, argument);
    file_drop(file);
    return result < 0 ? fail(result) : result;
}

static int64_t resize(struct file *file, uint64_t size)
{
    return file_resize(file, size);
}

EXPORT int polder_memory_resize(int fd, uint64_t size)
{
    return (int)with_file(fd, resize, size);
}

static int64_t size_of(struct file *file, uint64_t ignored)
{
    (void)ignored;
    return (int64_t)file->size;
}

EXPORT int64_t polder_file_size(int fd)
{
    return with_file(fd, size_of, 0);
}

static int64_t page_of(struct file *file, uint64_t offset)
{
    uint64_t pa;
    int error = file_page(file, offset, false, &pa);
    return error == -ERANGE ? -EINVAL : error ? error : (int64_t)pa;
}

EXPORT void *polder_file_page(int fd, uint64_t offset)
{
    int64_t pa = with_file(fd, page_of, offset);
    return pa < 0 ? NULL : direct((uint64_t)pa);
}
