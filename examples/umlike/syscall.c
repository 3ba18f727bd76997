/* SPDX-License-Identifier: MIT */
/* syscall: the table, and what happens around a handler. */
#include "umlike.h"

/* number, name, handler: several calls that are one. */
#define CALLS(X)                                                                                                       \
    X(0, read, read)                                                                                                   \
    X(1, write, write)                                                                                                 \
    X(2, open, open)                                                                                                   \
    X(3, close, close)                                                                                                 \
    X(4, stat, stat)                                                                                                   \
    X(5, fstat, fstat)                                                                                                 \
    X(6, lstat, lstat)                                                                                                 \
    X(7, poll, poll)                                                                                                   \
    X(8, lseek, lseek)                                                                                                 \
    X(9, mmap, mmap)                                                                                                   \
    X(10, mprotect, mprotect)                                                                                          \
    X(11, munmap, munmap)                                                                                              \
    X(12, brk, brk)                                                                                                    \
    X(13, rt_sigaction, rt_sigaction)                                                                                  \
    X(14, rt_sigprocmask, rt_sigprocmask)                                                                              \
    X(15, rt_sigreturn, rt_sigreturn)                                                                                  \
    X(16, ioctl, ioctl)                                                                                                \
    X(17, pread64, pread64)                                                                                            \
    X(18, pwrite64, pwrite64)                                                                                          \
    X(19, readv, readv)                                                                                                \
    X(20, writev, writev)                                                                                              \
    X(21, access, access)                                                                                              \
    X(22, pipe, pipe)                                                                                                  \
    X(23, select, select)                                                                                              \
    X(24, sched_yield, sched_yield)                                                                                    \
    X(25, mremap, mremap)                                                                                              \
    X(26, msync, nothing)                                                                                              \
    X(28, madvise, madvise)                                                                                            \
    X(32, dup, dup)                                                                                                    \
    X(33, dup2, dup2)                                                                                                  \
    X(34, pause, pause)                                                                                                \
    X(35, nanosleep, nanosleep)                                                                                        \
    X(36, getitimer, getitimer)                                                                                        \
    X(37, alarm, alarm)                                                                                                \
    X(38, setitimer, setitimer)                                                                                        \
    X(39, getpid, getpid)                                                                                              \
    X(40, sendfile, sendfile)                                                                                          \
    X(41, socket, socket)                                                                                              \
    X(56, clone, clone)                                                                                                \
    X(57, fork, fork)                                                                                                  \
    X(58, vfork, vfork)                                                                                                \
    X(59, execve, execve)                                                                                              \
    X(60, exit, exit)                                                                                                  \
    X(61, wait4, wait4)                                                                                                \
    X(62, kill, kill)                                                                                                  \
    X(63, uname, uname)                                                                                                \
    X(72, fcntl, fcntl)                                                                                                \
    X(73, flock, nothing)                                                                                              \
    X(74, fsync, nothing)                                                                                              \
    X(75, fdatasync, nothing)                                                                                          \
    X(76, truncate, truncate)                                                                                          \
    X(77, ftruncate, ftruncate)                                                                                        \
    X(79, getcwd, getcwd)                                                                                              \
    X(80, chdir, chdir)                                                                                                \
    X(81, fchdir, fchdir)                                                                                              \
    X(82, rename, rename)                                                                                              \
    X(83, mkdir, mkdir)                                                                                                \
    X(84, rmdir, rmdir)                                                                                                \
    X(85, creat, creat)                                                                                                \
    X(86, link, link)                                                                                                  \
    X(87, unlink, unlink)                                                                                              \
    X(88, symlink, symlink)                                                                                            \
    X(89, readlink, readlink)                                                                                          \
    X(90, chmod, chmod)                                                                                                \
    X(91, fchmod, fchmod)                                                                                              \
    X(92, chown, chown)                                                                                                \
    X(93, fchown, fchown)                                                                                              \
    X(94, lchown, lchown)                                                                                              \
    X(95, umask, umask)                                                                                                \
    X(96, gettimeofday, gettimeofday)                                                                                  \
    X(97, getrlimit, getrlimit)                                                                                        \
    X(98, getrusage, getrusage)                                                                                        \
    X(99, sysinfo, sysinfo)                                                                                            \
    X(100, times, times)                                                                                               \
    X(102, getuid, getuid)                                                                                             \
    X(104, getgid, getuid)                                                                                             \
    X(105, setuid, nothing)                                                                                            \
    X(106, setgid, nothing)                                                                                            \
    X(107, geteuid, getuid)                                                                                            \
    X(108, getegid, getuid)                                                                                            \
    X(109, setpgid, setpgid)                                                                                           \
    X(110, getppid, getppid)                                                                                           \
    X(111, getpgrp, getpgrp)                                                                                           \
    X(112, setsid, setsid)                                                                                             \
    X(113, setreuid, nothing)                                                                                          \
    X(114, setregid, nothing)                                                                                          \
    X(115, getgroups, nothing)                                                                                         \
    X(116, setgroups, nothing)                                                                                         \
    X(117, setresuid, nothing)                                                                                         \
    X(118, getresuid, getresuid)                                                                                       \
    X(119, setresgid, nothing)                                                                                         \
    X(120, getresgid, getresuid)                                                                                       \
    X(121, getpgid, getpgid)                                                                                           \
    X(124, getsid, getsid)                                                                                             \
    X(127, rt_sigpending, rt_sigpending)                                                                               \
    X(128, rt_sigtimedwait, rt_sigtimedwait)                                                                           \
    X(130, rt_sigsuspend, rt_sigsuspend)                                                                               \
    X(131, sigaltstack, sigaltstack)                                                                                   \
    X(137, statfs, statfs)                                                                                             \
    X(138, fstatfs, statfs)                                                                                            \
    X(157, prctl, prctl)                                                                                               \
    X(158, arch_prctl, arch_prctl)                                                                                     \
    X(160, setrlimit, nothing)                                                                                         \
    X(162, sync, nothing)                                                                                              \
    X(169, reboot, reboot)                                                                                             \
    X(186, gettid, getpid)                                                                                             \
    X(200, tkill, tkill)                                                                                               \
    X(201, time, time)                                                                                                 \
    X(202, futex, futex)                                                                                               \
    X(204, sched_getaffinity, sched_getaffinity)                                                                       \
    X(217, getdents64, getdents64)                                                                                     \
    X(218, set_tid_address, set_tid_address)                                                                           \
    X(221, fadvise64, nothing)                                                                                         \
    X(228, clock_gettime, clock_gettime)                                                                               \
    X(229, clock_getres, clock_getres)                                                                                 \
    X(230, clock_nanosleep, clock_nanosleep)                                                                           \
    X(231, exit_group, exit)                                                                                           \
    X(234, tgkill, tgkill)                                                                                             \
    X(257, openat, openat)                                                                                             \
    X(258, mkdirat, mkdirat)                                                                                           \
    X(260, fchownat, fchownat)                                                                                         \
    X(262, newfstatat, newfstatat)                                                                                     \
    X(263, unlinkat, unlinkat)                                                                                         \
    X(264, renameat, renameat)                                                                                         \
    X(265, linkat, linkat)                                                                                             \
    X(266, symlinkat, symlinkat)                                                                                       \
    X(267, readlinkat, readlinkat)                                                                                     \
    X(268, fchmodat, fchmodat)                                                                                         \
    X(269, faccessat, faccessat)                                                                                       \
    X(270, pselect6, pselect6)                                                                                         \
    X(271, ppoll, ppoll)                                                                                               \
    X(273, set_robust_list, nothing)                                                                                   \
    X(280, utimensat, utimensat)                                                                                       \
    X(285, fallocate, nothing)                                                                                         \
    X(292, dup3, dup3)                                                                                                 \
    X(293, pipe2, pipe2)                                                                                               \
    X(302, prlimit64, prlimit64)                                                                                       \
    X(316, renameat2, renameat)                                                                                        \
    X(318, getrandom, getrandom)                                                                                       \
    X(439, faccessat2, faccessat)

#define CALL_COUNT 452

#define DECLARE(number, name, handler) HANDLER(handler);
CALLS(DECLARE)

typedef int64_t handler(struct process *p, registers *r);
#define SLOT(number, name, handler) [number] = sys_##handler,
static handler *const table[CALL_COUNT] = {CALLS(SLOT)};
static uint32_t unknown[CALL_COUNT + 1]; /* how often each; the last: beyond the table */

/* What there is nothing to do for. */
HANDLER(nothing)
{
    (void)p, (void)r;
    return 0;
}

static int64_t unknown_call(uint64_t number)
{
    unknown[min_u64(number, CALL_COUNT)]++;
    return -ENOSYS;
}

/* The call cannot be finished now. A signal that waits ends it, with what it has achieved, or to be made again. */
static void blocked(struct process *p)
{
    p->call.pending = true;
    if (!p->attention || p->state == ZOMBIE)
        return;
    if ((p->call.flags & WAIT_UNTIL_KILLED) && !(p->signals & signal_bit(SIGKILL)))
        return;
    queue_remove(p);
    p->state = RUNNABLE;
    p->awaited = 0;
    if (p->call.done) {
        p->params.regs.rax = p->call.done;
    } else {
        p->params.regs.rax = (uint64_t)-EINTR;
        p->interrupted = (uint8_t)(1 + p->call.flags);
    }
    call_end(p);
}

void syscall_enter(struct process *p)
{
    registers *r = &p->params.regs;
    uint64_t number = r->orig_rax;
    handler *handle = number < CALL_COUNT ? table[number] : NULL;
    int64_t result = __builtin_expect(handle != NULL, 1) ? handle(p, r) : unknown_call(number);
    if (__builtin_expect(result == BLOCKED, 0))
        blocked(p);
    else
        r->rax = (uint64_t)result;
}

/* The registers are those of the call: nothing of the process has run since. */
void syscall_retry(struct process *p)
{
    registers *r = &p->params.regs;
    int64_t result = table[r->orig_rax](p, r);
    if (result == BLOCKED) {
        blocked(p);
        return;
    }
    r->rax = (uint64_t)result;
    call_end(p);
}

void syscall_counts(void)
{
    if (!boot_debug)
        return;
    for (unsigned i = 0; i <= CALL_COUNT; i++) {
        if (unknown[i])
            printk("umlike: system call %u: ENOSYS, %u times\n", i, unknown[i]);
    }
}
