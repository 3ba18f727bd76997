/* SPDX-License-Identifier: MIT */
/* The interface: identity of descriptors, the first use of KVM, errno. */
#include "descriptor.h"
#include "file.h"
#include "frames.h"
#include "hostmem.h"
#include "kvm.h"
#include "mm.h"
#include "physmem.h"
#include "sandbox.h"
#include "tables.h"
#include "vcpu.h"
#include <errno.h>
#include <limits.h>
#include <polder/abi.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static PRIVATE_STATE struct {
    uint64_t epoch; /* of the process that all of the library's state belongs to */
    bool ready;
} PRIVATE_TYPE library;

static int fail(int error)
{
    errno = -error;
    return -1;
}

/* In a fork()ed child the parent's VM, vCPUs and memory are of no use. What can be known of them is that they are not
 * ours. */
static void start_over(void)
{
    descriptors_disown();
    vcpus_forget();
    files_forget();
    kvm_forget();
    physmem_forget();
    frames_forget();
    tables_forget();
    library.ready = false;
}

static void notice_fork(void)
{
    uint64_t epoch = state_epoch();
    if (__builtin_expect(library.epoch == epoch, 1))
        return;
    pthread_mutex_lock(&locks.first_use);
    if (library.epoch && library.epoch != epoch)
        start_over();
    __atomic_store_n(&library.epoch, epoch, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&locks.first_use);
}

static int get_ready(void)
{
    notice_fork();
    if (__builtin_expect(__atomic_load_n(&library.ready, __ATOMIC_ACQUIRE), 1))
        return 0;
    if (!state_epoch())
        return -ENOMEM;
    pthread_mutex_lock(&locks.first_use);
    int error = hostmem_init();
    if (!error)
        error = kvm_open();
    if (!error)
        error = tables_init();
    if (!error)
        error = frames_init();
    if (!error)
        __atomic_store_n(&library.ready, true, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&locks.first_use);
    return error;
}

static int find(int fd, struct mm **mm)
{
    notice_fork();
    return descriptor_find(fd, mm);
}

static int open_mm(const char *path, struct mm **mm)
{
    if (!strcmp(path, "/proc/mm"))
        return mm_new(mm);
    if (!strcmp(path, "/proc/self/mm"))
        return mm_get_self(mm);
    char *end;
    if (strncmp(path, "/proc/", 6) || path[6] < '1' || path[6] > '9')
        return -ENOENT;
    long pid = strtol(path + 6, &end, 10);
    if (strcmp(end, "/mm") || pid > INT_MAX)
        return -ENOENT;
    return pid == getpid() ? mm_get_self(mm) : mm_snapshot((pid_t)pid, mm);
}

EXPORT int polder_open(const char *path)
{
    struct mm *mm;
    if (!path)
        return fail(-EFAULT);
    int error = get_ready();
    if (error)
        return fail(error);
    descriptors_reap();
    error = open_mm(path, &mm);
    if (error)
        return fail(error);
    int fd = descriptor_new(mm);
    if (fd < 0) {
        mm_drop(mm);
        return fail(fd);
    }
    return fd;
}

/* The space that an operation changes: that of dest_fd, or the caller's own for -1. */
static int destination(int dest_fd, struct mm **mm)
{
    if (dest_fd != -1)
        return find(dest_fd, mm);
    int error = get_ready();
    return error ? error : mm_get_self(mm);
}

static int apply_one(struct mm_change *change, const struct polder_op *op, uint64_t *result)
{
    uint64_t start = (uint64_t)op->start, length = op->length;
    bool self = change->mm->self;
    switch (op->code) {
    case POLDER_OP_MMAP:
        return (self ? mm_self_map : mm_map)(
            change, start, length, op->prot, op->flags, op->src_fd, (uint64_t)op->offset, result);
    case POLDER_OP_MUNMAP:
        return (self ? mm_self_unmap : mm_unmap)(change, start, length);
    case POLDER_OP_MPROTECT:
        return (self ? mm_self_protect : mm_protect)(change, start, length, op->prot);
    default:
        return -EINVAL;
    }
}

static int apply(int dest_fd, const struct polder_op *ops, size_t count, uint64_t *result)
{
    struct mm *mm;
    struct mm_change change;
    int error = destination(dest_fd, &mm);
    if (error)
        return error;
    mm_begin(mm, &change);
    for (size_t i = 0; !error && i < count; i++)
        error = apply_one(&change, &ops[i], result);
    mm_finish(&change);
    mm_drop(mm);
    return error;
}

EXPORT void *polder_mmap(void *start, size_t length, int prot, int flags, int src_fd, off_t offset, int dest_fd)
{
    struct polder_op op = {.code = POLDER_OP_MMAP,
        .prot = prot,
        .flags = flags,
        .src_fd = src_fd,
        .start = start,
        .length = length,
        .offset = offset};
    uint64_t result = 0;
    int error = apply(dest_fd, &op, 1, &result);
    if (error) {
        fail(error);
        return MAP_FAILED;
    }
    return (void *)result;
}

EXPORT int polder_munmap(void *start, size_t length, int dest_fd)
{
    struct polder_op op = {.code = POLDER_OP_MUNMAP, .start = start, .length = length};
    int error = apply(dest_fd, &op, 1, NULL);
    return error ? fail(error) : 0;
}

EXPORT int polder_mprotect(void *start, size_t length, int prot, int dest_fd)
{
    struct polder_op op = {.code = POLDER_OP_MPROTECT, .prot = prot, .start = start, .length = length};
    int error = apply(dest_fd, &op, 1, NULL);
    return error ? fail(error) : 0;
}

EXPORT int polder_apply(int dest_fd, const struct polder_op *ops, size_t count)
{
    uint64_t ignored;
    if (count && !ops)
        return fail(-EFAULT);
    size_t good = 0;
    while (good < count && (ops[good].code != POLDER_OP_MMAP || (ops[good].flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))))
        good++;
    int error = apply(dest_fd, ops, good, &ignored);
    if (!error && good < count)
        error = -EINVAL;
    return error ? fail(error) : 0;
}

EXPORT int polder_copy(int mm_fd)
{
    struct mm *mm, *copy;
    int error = find(mm_fd, &mm);
    if (error)
        return fail(error);
    descriptors_reap();
    error = mm_copy(mm, &copy);
    mm_drop(mm);
    if (error)
        return fail(error);
    int fd = descriptor_new(copy);
    if (fd < 0) {
        mm_drop(copy);
        return fail(fd);
    }
    return fd;
}

EXPORT int polder_run_sandbox(int mm_fd, struct polder_params *params)
{
    struct mm *mm;
    int error = find(mm_fd, &mm);
    if (__builtin_expect(error != 0, 0))
        return fail(error);
    error = sandbox_run(mm, params);
    mm_drop(mm);
    return error ? fail(error) : 0;
}

EXPORT int polder_proceed(int mm_fd, struct polder_params *params)
{
    struct mm *mm;
    int error = find(mm_fd, &mm);
    if (error)
        return fail(error);
    if (params->reason == POLDER_SYSCALL)
        params->regs.rax = (uint64_t)proceed_call(mm, &params->regs);
    else
        error = -EINVAL;
    mm_drop(mm);
    return error ? fail(error) : 0;
}

EXPORT ssize_t polder_read(int mm_fd, void *buf, size_t count, uint64_t addr)
{
    struct mm *mm;
    ssize_t n = find(mm_fd, &mm);
    if (n)
        return fail((int)n);
    n = mm_read(mm, buf, count, addr);
    mm_drop(mm);
    return n < 0 ? fail((int)n) : n;
}

EXPORT ssize_t polder_write(int mm_fd, const void *buf, size_t count, uint64_t addr)
{
    struct mm *mm;
    ssize_t n = find(mm_fd, &mm);
    if (n)
        return fail((int)n);
    n = mm_write(mm, buf, count, addr);
    mm_drop(mm);
    return n < 0 ? fail((int)n) : n;
}

EXPORT int polder_kick(struct polder_params *params)
{
    return sandbox_kick(params);
}

EXPORT void polder_params_init(struct polder_params *params)
{
    memset(params, 0, sizeof *params);
    params->regs.cs = GDT_USER_CODE;
    params->regs.ss = GDT_USER_DATA;
    params->regs.eflags = 0x202;
}

EXPORT void polder_params_fini(struct polder_params *params)
{
    sandbox_fini(params);
}

EXPORT size_t polder_xstate_size(void)
{
    int error = get_ready();
    if (error) {
        fail(error);
        return 0;
    }
    return kvm.xsave_size;
}

EXPORT int polder_set_allocator(const struct polder_allocator *allocator)
{
    int error = record_set_allocator(allocator);
    return error ? fail(error) : 0;
}
