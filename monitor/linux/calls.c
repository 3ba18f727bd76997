/* SPDX-License-Identifier: MIT */
#include "linux/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "linux/elf.h"
#include "linux/exec.h"
#include "linux/fds.h"
#include "linux/procfs.h"
#include "linux/signals.h"
#include "linux/user.h"

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

/* arch_prctl's codes; their header clashes with libc's. */
#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004
#define ARCH_GET_CPUID 0x1011

static long call_arch_prctl(struct task *task, const uint64_t *a)
{
    struct user_regs_struct *regs = &task->params.regs;
    uint64_t value;
    switch ((int)a[0]) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
        if (a[1] >= ELF_TASK_SIZE)
            return -EPERM;
        if ((int)a[0] == ARCH_SET_FS)
            regs->fs_base = a[1];
        else
            regs->gs_base = a[1];
        return 0;
    case ARCH_GET_FS:
    case ARCH_GET_GS:
        value = (int)a[0] == ARCH_GET_FS ? regs->fs_base : regs->gs_base;
        return user_put(task->mm_fd, &value, sizeof(value), a[1]);
    case ARCH_GET_CPUID:
        return 1;
    default:
        return -EINVAL;
    }
}

static long call_mmap(struct task *task, const uint64_t *a)
{
    return memory_mmap(&task->memory, a[0], a[1], a[2], a[3], (int)a[4], a[5]);
}

static long call_munmap(struct task *task, const uint64_t *a)
{
    return memory_munmap(&task->memory, a[0], a[1]);
}

static long call_mprotect(struct task *task, const uint64_t *a)
{
    return memory_mprotect(&task->memory, a[0], a[1], a[2]);
}

static long call_pkey_mprotect(struct task *task, const uint64_t *a)
{
    return (int)a[3] == -1 ? memory_mprotect(&task->memory, a[0], a[1], a[2]) : -EINVAL;
}

static long call_mremap(struct task *task, const uint64_t *a)
{
    return memory_mremap(&task->memory, a[0], a[1], a[2], a[3], a[4]);
}

static long call_brk(struct task *task, const uint64_t *a)
{
    return memory_brk(&task->memory, a[0]);
}

static long call_madvise(struct task *task, const uint64_t *a)
{
    return memory_madvise(&task->memory, a[0], a[1], (int)a[2]);
}

static long call_mincore(struct task *task, const uint64_t *a)
{
    return memory_mincore(&task->memory, a[0], a[1], a[2]);
}

static long call_msync(struct task *task, const uint64_t *a)
{
    return memory_msync(&task->memory, a[0], a[1], (int)a[2]);
}

static long call_mlock(struct task *task, const uint64_t *a)
{
    return memory_lock(&task->memory, SYS_mlock, a[0], a[1], 0);
}

static long call_mlock2(struct task *task, const uint64_t *a)
{
    return memory_lock(&task->memory, SYS_mlock2, a[0], a[1], a[2]);
}

static long call_munlock(struct task *task, const uint64_t *a)
{
    return memory_lock(&task->memory, SYS_munlock, a[0], a[1], 0);
}

/* All of memory would be the monitor's too: nothing was locked by mlockall, so nothing is there to unlock. */
static long call_munlockall(struct task *task, const uint64_t *a)
{
    (void)task, (void)a;
    return 0;
}

static long call_rt_sigaction(struct task *task, const uint64_t *a)
{
    return signals_sigaction(task, a[0], a[1], a[2], a[3]);
}

static long call_rt_sigprocmask(struct task *task, const uint64_t *a)
{
    return signals_sigprocmask(task, a[0], a[1], a[2], a[3]);
}

static long call_sigaltstack(struct task *task, const uint64_t *a)
{
    return signals_sigaltstack(task, a[0], a[1]);
}

static long call_rt_sigpending(struct task *task, const uint64_t *a)
{
    return signals_sigpending(task, a[0], a[1]);
}

static long call_rt_sigsuspend(struct task *task, const uint64_t *a)
{
    return signals_sigsuspend(task, a[0], a[1]);
}

static long call_rt_sigtimedwait(struct task *task, const uint64_t *a)
{
    return signals_sigtimedwait(task, a[0], a[1], a[2], a[3]);
}

static long call_pause(struct task *task, const uint64_t *a)
{
    (void)a;
    return signals_pause(task);
}

/* The two that send a signal with the caller's own siginfo; the host checks what it says. */
static long call_rt_sigqueueinfo(struct task *task, const uint64_t *a)
{
    siginfo_t info;
    if (user_get(task->mm_fd, &info, sizeof(info), a[2]) != 0)
        return -EFAULT;
    return syscall(SYS_rt_sigqueueinfo, a[0], a[1], &info) == 0 ? 0 : -errno;
}

static long call_rt_tgsigqueueinfo(struct task *task, const uint64_t *a)
{
    siginfo_t info;
    if (user_get(task->mm_fd, &info, sizeof(info), a[3]) != 0)
        return -EFAULT;
    return syscall(SYS_rt_tgsigqueueinfo, a[0], a[1], a[2], &info) == 0 ? 0 : -errno;
}

/* There is one thread: nobody ever waits for the word that is cleared when it ends. */
static long call_set_tid_address(struct task *task, const uint64_t *a)
{
    (void)task, (void)a;
    return syscall(SYS_gettid);
}

static long call_set_robust_list(struct task *task, const uint64_t *a)
{
    (void)task;
    return a[1] == 24 ? 0 : -EINVAL; /* sizeof(struct robust_list_head) */
}

static long refuse(struct task *task, const uint64_t *a, uint64_t number, const char *why)
{
    if (task->hooks->refused) {
        struct linux_call call = {.mm_fd = task->mm_fd, .number = number, .regs = &task->params.regs};
        memcpy(call.args, a, sizeof(call.args));
        task->hooks->refused(task->opaque, &call, why);
    }
    return -ENOSYS;
}

#define NO_PROCESSES "polder runs one process with one thread"

static long call_clone(struct task *task, const uint64_t *a)
{
    return refuse(task, a, SYS_clone, NO_PROCESSES);
}

static long call_clone3(struct task *task, const uint64_t *a)
{
    return refuse(task, a, SYS_clone3, NO_PROCESSES);
}

static long call_fork(struct task *task, const uint64_t *a)
{
    return refuse(task, a, SYS_fork, NO_PROCESSES);
}

static long call_vfork(struct task *task, const uint64_t *a)
{
    return refuse(task, a, SYS_vfork, NO_PROCESSES);
}

/* A filter would be laid on the monitor's calls as well. */
static long call_seccomp(struct task *task, const uint64_t *a)
{
    (void)task, (void)a;
    return -EINVAL;
}

/* Through a descriptor of this very process it would be a way to the monitor's. */
static long call_pidfd_getfd(struct task *task, const uint64_t *a)
{
    (void)task, (void)a;
    return -EPERM;
}

static long call_close_range(struct task *task, const uint64_t *a)
{
    (void)task;
    return fds_close_range(a[0], a[1], a[2]);
}

/* Null: it proceeds. The result of these is for rax; a signal does not interrupt them but where they say so. */
typedef long call_function(struct task *task, const uint64_t args[6]);

static call_function *const own[] = {
    [SYS_mmap] = call_mmap,
    [SYS_mprotect] = call_mprotect,
    [SYS_munmap] = call_munmap,
    [SYS_brk] = call_brk,
    [SYS_rt_sigaction] = call_rt_sigaction,
    [SYS_rt_sigprocmask] = call_rt_sigprocmask,
    [SYS_mremap] = call_mremap,
    [SYS_msync] = call_msync,
    [SYS_mincore] = call_mincore,
    [SYS_madvise] = call_madvise,
    [SYS_pause] = call_pause,
    [SYS_clone] = call_clone,
    [SYS_fork] = call_fork,
    [SYS_vfork] = call_vfork,
    [SYS_rt_sigpending] = call_rt_sigpending,
    [SYS_rt_sigtimedwait] = call_rt_sigtimedwait,
    [SYS_rt_sigqueueinfo] = call_rt_sigqueueinfo,
    [SYS_rt_sigsuspend] = call_rt_sigsuspend,
    [SYS_sigaltstack] = call_sigaltstack,
    [SYS_mlock] = call_mlock,
    [SYS_munlock] = call_munlock,
    [SYS_munlockall] = call_munlockall,
    [SYS_arch_prctl] = call_arch_prctl,
    [SYS_set_tid_address] = call_set_tid_address,
    [SYS_set_robust_list] = call_set_robust_list,
    [SYS_rt_tgsigqueueinfo] = call_rt_tgsigqueueinfo,
    [SYS_seccomp] = call_seccomp,
    [SYS_mlock2] = call_mlock2,
    [SYS_pkey_mprotect] = call_pkey_mprotect,
    [SYS_clone3] = call_clone3,
    [SYS_close_range] = call_close_range,
    [SYS_pidfd_getfd] = call_pidfd_getfd,
};

/* Which argument is the path of a call that may be about a file in /proc, and which the folder that it is relative to.
 */
static int path_argument(uint64_t number)
{
    switch (number) {
    case SYS_open:
    case SYS_creat:
    case SYS_readlink:
    case SYS_stat:
    case SYS_lstat:
    case SYS_access:
        return 0;
    case SYS_openat:
    case SYS_openat2:
    case SYS_readlinkat:
    case SYS_newfstatat:
    case SYS_statx:
    case SYS_faccessat:
    case SYS_faccessat2:
        return 1;
    default:
        return -1;
    }
}

static bool opens(uint64_t number)
{
    return number == SYS_open || number == SYS_creat || number == SYS_openat || number == SYS_openat2;
}

/* readlink of /proc/self/exe. */
static long read_exe(struct task *task, uint64_t buf, uint64_t size)
{
    size_t length = strlen(task->exe);
    if ((int)size <= 0)
        return -EINVAL;
    if (length > size)
        length = size;
    return user_put(task->mm_fd, task->exe, length, buf) == 0 ? (long)length : -EFAULT;
}

/* Opens or looks at what the program takes for its own executable. */
static long on_exe(struct task *task, const struct linux_call *call)
{
    const uint64_t *a = call->args;
    switch (call->number) {
    case SYS_readlink:
        return read_exe(task, a[1], a[2]);
    case SYS_readlinkat:
        return read_exe(task, a[2], a[3]);
    case SYS_open:
    case SYS_openat: {
        int flags = (int)(call->number == SYS_open ? a[1] : a[2]);
        int fd = openat(AT_FDCWD, task->exe, flags & ~(O_CREAT | O_TRUNC));
        return fd < 0 ? -errno : fd;
    }
    default:
        return LONG_MIN; /* as the host sees it */
    }
}

/*
 * The calls whose path leads to the monitor or should lead to the program. LONG_MIN: it is none of these and proceeds.
 * The text is read once here and once by polder_proceed; who changes it in between gains what fds_same_file and the
 * host's own checks still catch.
 */
static long on_path(struct task *task, const struct linux_call *call, int argument)
{
    char path[64];
    long length = user_string(task->mm_fd, path, sizeof(path), call->args[argument]);
    if (length < 0 || path[0] != '/')
        return LONG_MIN;
    if (task->exe && procfs_is_own(path, "exe"))
        return on_exe(task, call);
    if (fds_hidden(procfs_descriptor(path)))
        return -ENOENT;
    return LONG_MIN;
}

/* A message that carries one of the monitor's descriptors to whoever reads it. */
static bool sends_hidden(struct task *task, uint64_t header_at)
{
    struct msghdr header;
    union {
        struct cmsghdr align;
        char bytes[4096];
    } control;
    if (user_get(task->mm_fd, &header, sizeof(header), header_at) != 0 || header.msg_controllen == 0)
        return false;
    /* As much as can hold all descriptors that Linux lets through in one message, and what comes before. */
    if (header.msg_controllen > sizeof(control))
        header.msg_controllen = sizeof(control);
    if (user_get(task->mm_fd, &control, header.msg_controllen, (uintptr_t)header.msg_control) != 0)
        return false;
    header.msg_control = &control;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t left = header.msg_controllen - (size_t)((char *)CMSG_DATA(c) - (char *)&control);
        size_t bytes = c->cmsg_len - CMSG_LEN(0);
        for (size_t i = 0; i + sizeof(int) <= bytes && i + sizeof(int) <= left; i += sizeof(int)) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i, sizeof(fd));
            if (fds_hidden(fd))
                return true;
        }
    }
    return false;
}

static bool messages_refused(struct task *task, const struct linux_call *call)
{
    if (call->number == SYS_sendmsg)
        return sends_hidden(task, call->args[1]);
    if (call->number == SYS_sendmmsg)
        for (uint64_t i = 0; i < call->args[2] && i < 1024; i++)
            if (sends_hidden(task, call->args[1] + i * sizeof(struct mmsghdr)))
                return true;
    return false;
}

/* What getdents64 has listed, without the monitor's descriptors. */
static long filter_listing(struct task *task, int directory, uint64_t buf, size_t length)
{
    char *listing = malloc(length);
    long result = (long)length;
    if (!listing || user_get(task->mm_fd, listing, length, buf) != 0) {
        free(listing);
        return -EFAULT;
    }
    size_t left = fds_filter_listing(directory, listing, length);
    if (left < length)
        result = user_put(task->mm_fd, listing, left, buf) == 0 ? (long)left : -EFAULT;
    free(listing);
    return result;
}

static enum calls_outcome proceed(struct task *task, const struct linux_call *call, long *result)
{
    if (!signals_call_begin())
        return CALLS_AGAIN;
    if (polder_proceed(task->mm_fd, &task->params) != 0)
        *result = -errno;
    else
        *result = (long)task->params.regs.rax;
    signals_call_end();
    if (call->number == SYS_getdents64 && *result > 0) {
        *result = filter_listing(task, (int)call->args[0], call->args[1], (size_t)*result);
    } else if (opens(call->number) && *result >= 0 && fds_same_file((int)*result)) {
        close((int)*result);
        *result = -EACCES;
    }
    return CALLS_RESULT;
}

enum calls_outcome calls_perform(struct task *task, const struct linux_call *call, long *result)
{
    const uint64_t *a = call->args;
    uint64_t number = call->number;
    if (number == SYS_rt_sigreturn) {
        signals_sigreturn(task);
        *result = (long)task->params.regs.rax;
        return CALLS_REPLACED;
    }
    if (number == SYS_exit || number == SYS_exit_group) {
        task->over = true;
        task->exit_status = (int)a[0] & 0xff;
        return CALLS_OVER;
    }
    if (fds_refuse(number, a)) {
        *result = -EBADF;
        return CALLS_RESULT;
    }
    if (number == SYS_execve || number == SYS_execveat) {
        *result = number == SYS_execve ? exec_call(task, AT_FDCWD, a[0], a[1], a[2], 0)
                                       : exec_call(task, (int)a[0], a[1], a[2], a[3], a[4]);
        return *result == 0 ? CALLS_REPLACED : CALLS_RESULT;
    }
    if (number < sizeof(own) / sizeof(own[0]) && own[number]) {
        *result = own[number](task, a);
        return CALLS_RESULT;
    }
    if (number == SYS_sendmsg || number == SYS_sendmmsg) {
        if (messages_refused(task, call)) {
            *result = -EBADF;
            return CALLS_RESULT;
        }
    }
    int path = path_argument(number);
    if (path >= 0) {
        *result = on_path(task, call, path);
        if (*result != LONG_MIN)
            return CALLS_RESULT;
    }
    return proceed(task, call, result);
}
