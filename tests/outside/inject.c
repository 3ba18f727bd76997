/* SPDX-License-Identifier: MIT */
#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/types.h>

struct inject inject;
static _Thread_local bool on;

void inject_begin(unsigned kinds, long skip, long strikes)
{
    inject.kinds = kinds;
    inject.skip = skip;
    inject.strikes = strikes;
    inject.seen = inject.struck = 0;
    inject.last = "nothing";
    on = true;
}

bool inject_end(void)
{
    on = false;
    inject.only = NULL;
    return inject.struck != 0;
}

static bool strikes(enum inject_kind kind, const char *name)
{
    if (!on || !(inject.kinds & kind) || (inject.only && strcmp(inject.only, name) != 0))
        return false;
    long number = inject.seen++ - inject.skip;
    if (number < 0 || number >= inject.strikes)
        return false;
    inject.struck++;
    inject.last = name;
    if (inject.told)
        strcpy(inject.told, name);
    return true;
}

static bool fails(enum inject_kind kind, int error, const char *name)
{
    bool now = strikes(kind, name);
    if (now)
        errno = error;
    return now;
}

bool inject_allocation(const char *name)
{
    return strikes(INJECT_HOST, name);
}

/* ---------------------------------------------------------------- the library's own allocations */

#define WRAP(type, name, parameters, arguments, kind, failure)                                                         \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters                                                                                      \
    {                                                                                                                  \
        return strikes(kind, #name) ? failure : __real_##name arguments;                                               \
    }

WRAP(void *, record_alloc, (size_t size), (size), INJECT_RECORDS, NULL)
WRAP(uint64_t, table_alloc, (void), (), INJECT_TABLES, 0)
WRAP(void *, tables_alloc_fixed, (uint32_t n), (n), INJECT_TABLES, NULL)
WRAP(uint32_t, frame_alloc, (void), (), INJECT_FRAMES, 0)
WRAP(uint32_t, frame_alloc_block, (void), (), INJECT_FRAMES, 0)

/* ---------------------------------------------------------------- libc */

#define WRAP_CALL(type, name, parameters, arguments, error)                                                            \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters                                                                                      \
    {                                                                                                                  \
        return fails(INJECT_HOST, error, #name) ? (type)-1 : __real_##name arguments;                                  \
    }

WRAP_CALL(int, mprotect, (void *at, size_t length, int prot), (at, length, prot), ENOMEM)
WRAP_CALL(int, munmap, (void *at, size_t length), (at, length), ENOMEM)
WRAP_CALL(int, madvise, (void *at, size_t length, int advice), (at, length, advice), EINVAL)
WRAP_CALL(int, pipe2, (int ends[2], int flags), (ends, flags), EMFILE)
WRAP_CALL(int, epoll_create1, (int flags), (flags), EMFILE)
WRAP_CALL(int, epoll_ctl, (int epoll, int op, int fd, struct epoll_event *event), (epoll, op, fd, event),
    op == EPOLL_CTL_DEL ? ENOENT : ENOSPC)
WRAP_CALL(int, ftruncate, (int fd, off_t size), (fd, size), ENOSPC)
WRAP_CALL(int, memfd_create, (const char *name, unsigned flags), (name, flags), ENFILE)

#define WRAP_INTERRUPTIBLE(type, name, parameters, arguments, error)                                                   \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters                                                                                      \
    {                                                                                                                  \
        if (fails(INJECT_HOST, error, #name) || fails(INJECT_EINTR, EINTR, #name))                                     \
            return -1;                                                                                                 \
        return __real_##name arguments;                                                                                \
    }

WRAP_INTERRUPTIBLE(ssize_t, read, (int fd, void *to, size_t count), (fd, to, count), ENOMEM)
WRAP_INTERRUPTIBLE(ssize_t, pread, (int fd, void *to, size_t count, off_t at), (fd, to, count, at), EIO)
WRAP_INTERRUPTIBLE(ssize_t, pwrite, (int fd, const void *from, size_t count, off_t at), (fd, from, count, at), ENOSPC)

/* Where Linux before 6.12 cannot map what it should, with MAP_FIXED, it has already unmapped what was there. */
void *__real_mmap(void *at, size_t length, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t length, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t length, int prot, int flags, int fd, off_t offset)
{
    if (!fails(INJECT_HOST, ENOMEM, "mmap"))
        return __real_mmap(at, length, prot, flags, fd, offset);
    if ((flags & MAP_FIXED) && (flags & MAP_SHARED))
        __real_munmap(at, length);
    errno = ENOMEM;
    return MAP_FAILED;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if (fails(INJECT_HOST, EMFILE, "open"))
        return -1;
    return __real_open(path, flags, mode);
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    bool duplicates = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
    if (duplicates && fails(INJECT_HOST, EMFILE, "fcntl"))
        return -1;
    return __real_fcntl(fd, command, argument);
}

int __real_pthread_key_create(pthread_key_t *key, void (*destroy)(void *));
int __wrap_pthread_key_create(pthread_key_t *key, void (*destroy)(void *));
int __wrap_pthread_key_create(pthread_key_t *key, void (*destroy)(void *))
{
    return strikes(INJECT_HOST, "pthread_key_create") ? EAGAIN : __real_pthread_key_create(key, destroy);
}

int __real_pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void));
int __wrap_pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void));
int __wrap_pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    return strikes(INJECT_HOST, "pthread_atfork") ? ENOMEM : __real_pthread_atfork(before, parent, child);
}

/* ---------------------------------------------------------------- KVM */

static const struct {
    unsigned long request;
    const char *name;
    bool interruptible;
} requests[] = {
    {KVM_GET_SUPPORTED_CPUID, "KVM_GET_SUPPORTED_CPUID", false},
    {KVM_CREATE_VM, "KVM_CREATE_VM", true},
    {KVM_ENABLE_CAP, "KVM_ENABLE_CAP", false},
    {KVM_CREATE_VCPU, "KVM_CREATE_VCPU", false},
    {KVM_SET_USER_MEMORY_REGION, "KVM_SET_USER_MEMORY_REGION", false},
    {KVM_SET_CPUID2, "KVM_SET_CPUID2", false},
    {KVM_SET_MP_STATE, "KVM_SET_MP_STATE", false},
    {KVM_GET_LAPIC, "KVM_GET_LAPIC", false},
    {KVM_SET_LAPIC, "KVM_SET_LAPIC", false},
    {KVM_GET_SREGS, "KVM_GET_SREGS", false},
    {KVM_SET_SREGS, "KVM_SET_SREGS", false},
    {KVM_SET_REGS, "KVM_SET_REGS", false},
    {KVM_SET_XCRS, "KVM_SET_XCRS", false},
    {KVM_GET_XSAVE, "KVM_GET_XSAVE", false},
    {KVM_GET_XSAVE2, "KVM_GET_XSAVE2", false},
    {KVM_SET_XSAVE, "KVM_SET_XSAVE", false},
    {KVM_SET_MSRS, "KVM_SET_MSRS", false},
    {KVM_SET_SIGNAL_MASK, "KVM_SET_SIGNAL_MASK", false},
};

/* What a vCPU's descriptor shows in its first page. */
static struct kvm_run *run_area(int fd)
{
    return __real_mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

int __real_ioctl(int fd, unsigned long request, ...);
static int run_vcpu(int fd, unsigned long argument)
{
    if (!strikes(INJECT_KVM_RUN, "KVM_RUN"))
        return __real_ioctl(fd, KVM_RUN, argument);
    if (inject.error) {
        errno = inject.error;
        return -1;
    }
    struct kvm_run *run = run_area(fd);
    run->exit_reason = inject.exit_reason;
    if (inject.exit_reason == KVM_EXIT_INTERNAL_ERROR)
        run->internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
    __real_munmap(run, 4096);
    return 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    unsigned long argument = va_arg(arguments, unsigned long);
    va_end(arguments);
    if (request == KVM_RUN)
        return run_vcpu(fd, argument);
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        if (requests[i].request != request)
            continue;
        if (fails(INJECT_HOST, ENOMEM, requests[i].name) ||
            (requests[i].interruptible && fails(INJECT_EINTR, EINTR, requests[i].name)))
            return -1;
    }
    return __real_ioctl(fd, request, argument);
}
