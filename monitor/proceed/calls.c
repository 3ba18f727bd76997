/* SPDX-License-Identifier: MIT */
/*
 * The table. Each row says what the kernel does with each argument, as the manual pages and the kernel's headers
 * describe it. A call that is not here is not made: a new one may take pointers that nobody has looked at.
 */
#include "calls.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

/* Younger than the headers of Debian 12. */
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_map_shadow_stack
#define SYS_map_shadow_stack 453
#endif
#ifndef SYS_futex_wake
#define SYS_futex_wake 454
#define SYS_futex_wait 455
#define SYS_futex_requeue 456
#endif
#ifndef SYS_statmount
#define SYS_statmount 457
#define SYS_listmount 458
#endif
#ifndef SYS_lsm_get_self_attr
#define SYS_lsm_get_self_attr 459
#define SYS_lsm_set_self_attr 460
#define SYS_lsm_list_modules 461
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif

#define IN ARG_IN
#define OUT ARG_OUT
#define INOUT (ARG_IN | ARG_OUT)
#define OPT ARG_OPTIONAL
#define FILL (ARG_OUT | ARG_RESULT)
#define SHORT ARG_SHORT

/* A value. */
#define V(name)                                                                                                        \
    {                                                                                                                  \
        .kind = ARG_##name                                                                                             \
    }
/* Memory: of fixed size; counted by another argument; and the rest by class. */
#define FIX(name, bytes, how)                                                                                          \
    {                                                                                                                  \
        .kind = ARG_##name, .memory = MEM_FIXED, .size = (bytes), .flags = (how)                                       \
    }
#define ARRAY(name, bytes, index, how)                                                                                 \
    {                                                                                                                  \
        .kind = ARG_##name, .memory = MEM_COUNTED, .size = (bytes), .len = (index), .flags = (how)                     \
    }
#define BUF(name, index, how)                                                                                          \
    {                                                                                                                  \
        .kind = ARG_##name, .memory = MEM_COUNTED, .size = 1, .len = (index), .flags = (how)                           \
    }
#define MSGBUF(index, how)                                                                                             \
    {                                                                                                                  \
        .kind = ARG_OPAQUE, .memory = MEM_COUNTED, .size = 1, .len = (index), .flags = (how), .extra = 8               \
    }
#define MEM(name, class, index, how)                                                                                   \
    {                                                                                                                  \
        .kind = ARG_##name, .memory = MEM_##class, .len = (index), .flags = (how)                                      \
    }
#define PATH MEM(PATH, STRING, 0, IN)
#define PATH_OPT MEM(PATH, STRING, 0, IN | OPT)
#define STR MEM(STRING, STRING, 0, IN)
#define STR_OPT MEM(STRING, STRING, 0, IN | OPT)
#define IOVEC(index, how) MEM(IOVEC, IOVEC, index, how)
#define FDSET MEM(FDSET, FDSET, 0, INOUT | OPT)
#define ADDR_OUT(index, how) MEM(SOCKADDR, SIZED, index, OUT | (how))
#define LEN_PTR(how) MEM(SOCKLEN, SIZE, 0, INOUT | (how))

#define STAT_OUT FIX(STAT, 144, OUT)
#define TS_IN FIX(TIMESPEC, 16, IN)
#define TS_IN_OPT FIX(TIMESPEC, 16, IN | OPT)
#define TS_OUT FIX(TIMESPEC, 16, OUT)
#define TS_OUT_OPT FIX(TIMESPEC, 16, OUT | OPT)
#define SIGSET_IN_OPT BUF(SIGSET, 4, IN | OPT)
#define OFFSET FIX(LONG_PTR, 8, INOUT | OPT)

#define ROW(call, what, ...) [SYS_##call] = {.name = #call, .policy = (what), .args = {__VA_ARGS__}}
/* Made on the host. */
#define HOST(call, ...) ROW(call, CALL_HOST, __VA_ARGS__)
/* The caller's own business. The arguments are for printing. */
#define CALLER(call, ...) ROW(call, CALL_CALLER, __VA_ARGS__)
#define REFINED(call, how, ...)                                                                                        \
    [SYS_##call] = {.name = #call, .policy = CALL_HOST, .refine = REFINE_##how, .args = {__VA_ARGS__}}
#define OPENS(call, ...) [SYS_##call] = {.name = #call, .policy = CALL_HOST, .opens = true, .args = {__VA_ARGS__}}
#define SELF(call, how, ...)                                                                                           \
    [SYS_##call] = {                                                                                                   \
        .name = #call, .policy = CALL_HOST, .refine = REFINE_##how, .self_only = true, .args = {__VA_ARGS__}}

static const struct call table[] = {
    HOST(read, V(FD), BUF(BUFFER, 2, FILL | SHORT), V(ULONG)),
    HOST(write, V(FD), BUF(BUFFER, 2, IN | SHORT), V(ULONG)),
    OPENS(open, PATH, V(OPEN_FLAGS), V(OPEN_MODE)),
    HOST(close, V(FD)),
    HOST(stat, PATH, STAT_OUT),
    HOST(fstat, V(FD), STAT_OUT),
    HOST(lstat, PATH, STAT_OUT),
    HOST(poll, ARRAY(POLLFDS, 8, 1, INOUT), V(UINT), V(INT)),
    HOST(lseek, V(FD), V(LONG), V(WHENCE)),
    CALLER(mmap, V(ADDR), V(ULONG), V(PROT), V(MAP_FLAGS), V(FD), V(HEX)),
    CALLER(mprotect, V(ADDR), V(ULONG), V(PROT)),
    CALLER(munmap, V(ADDR), V(ULONG)),
    CALLER(brk, V(ADDR)),
    CALLER(rt_sigaction, V(SIGNAL), FIX(SIGACTION, 32, IN | OPT), FIX(SIGACTION, 32, OUT | OPT), V(ULONG)),
    CALLER(rt_sigprocmask, V(SIG_HOW), BUF(SIGSET, 3, IN | OPT), BUF(SIGSET, 3, OUT | OPT), V(ULONG)),
    CALLER(rt_sigreturn),
    REFINED(ioctl, IOCTL, V(FD), V(IOCTL), V(HEX)),
    HOST(pread64, V(FD), BUF(BUFFER, 2, FILL | SHORT), V(ULONG), V(LONG)),
    HOST(pwrite64, V(FD), BUF(BUFFER, 2, IN | SHORT), V(ULONG), V(LONG)),
    HOST(readv, V(FD), IOVEC(2, OUT | SHORT), V(ULONG)),
    HOST(writev, V(FD), IOVEC(2, IN | SHORT), V(ULONG)),
    HOST(access, PATH, V(ACCESS)),
    HOST(pipe, FIX(FD_PAIR, 8, OUT)),
    HOST(select, V(INT), FDSET, FDSET, FDSET, FIX(TIMEVAL, 16, INOUT | OPT)),
    HOST(sched_yield),
    CALLER(mremap, V(ADDR), V(ULONG), V(ULONG), V(MREMAP_FLAGS), V(ADDR)),
    CALLER(msync, V(ADDR), V(ULONG), V(MSYNC_FLAGS)),
    CALLER(mincore, V(ADDR), V(ULONG), V(ADDR)),
    CALLER(madvise, V(ADDR), V(ULONG), V(MADVICE)),
    HOST(shmget, V(HEX32), V(ULONG), V(HEX32)),
    CALLER(shmat, V(INT), V(ADDR), V(HEX32)),
    REFINED(shmctl, SHMCTL, V(INT), V(INT), V(ADDR)),
    HOST(dup, V(FD)),
    HOST(dup2, V(FD), V(FD)),
    HOST(pause),
    HOST(nanosleep, TS_IN, TS_OUT_OPT),
    HOST(getitimer, V(ITIMER), FIX(ITIMERVAL, 32, OUT)),
    HOST(alarm, V(UINT)),
    HOST(setitimer, V(ITIMER), FIX(ITIMERVAL, 32, IN | OPT), FIX(ITIMERVAL, 32, OUT | OPT)),
    HOST(getpid),
    HOST(sendfile, V(FD), V(FD), OFFSET, V(ULONG)),
    HOST(socket, V(AF), V(SOCK_TYPE), V(INT)),
    HOST(connect, V(FD), BUF(SOCKADDR, 2, IN), V(INT)),
    HOST(accept, V(FD), ADDR_OUT(2, OPT), LEN_PTR(OPT)),
    HOST(sendto, V(FD), BUF(BUFFER, 2, IN | SHORT), V(ULONG), V(MSG_FLAGS), BUF(SOCKADDR, 5, IN | OPT), V(INT)),
    HOST(recvfrom, V(FD), BUF(BUFFER, 2, FILL | SHORT), V(ULONG), V(MSG_FLAGS), ADDR_OUT(5, OPT), LEN_PTR(OPT)),
    HOST(sendmsg, V(FD), MEM(MSGHDR, MSGHDR, 0, IN), V(MSG_FLAGS)),
    HOST(recvmsg, V(FD), MEM(MSGHDR, MSGHDR, 0, OUT), V(MSG_FLAGS)),
    HOST(shutdown, V(FD), V(SHUT)),
    HOST(bind, V(FD), BUF(SOCKADDR, 2, IN), V(INT)),
    HOST(listen, V(FD), V(INT)),
    HOST(getsockname, V(FD), ADDR_OUT(2, 0), LEN_PTR(0)),
    HOST(getpeername, V(FD), ADDR_OUT(2, 0), LEN_PTR(0)),
    HOST(socketpair, V(AF), V(SOCK_TYPE), V(INT), FIX(FD_PAIR, 8, OUT)),
    REFINED(setsockopt, SETSOCKOPT, V(FD), V(SOL), V(SOCKOPT), BUF(SOCKOPT_VALUE, 4, IN | OPT), V(INT)),
    REFINED(getsockopt, GETSOCKOPT, V(FD), V(SOL), V(SOCKOPT), MEM(SOCKOPT_VALUE, SIZED, 4, OUT), LEN_PTR(0)),
    CALLER(clone, V(CLONE_FLAGS), V(ADDR), V(ADDR), V(ADDR), V(ADDR)),
    CALLER(fork),
    CALLER(vfork),
    CALLER(execve, PATH, V(ARGV), V(ENVP)),
    CALLER(exit, V(INT)),
    HOST(wait4, V(INT), FIX(WAIT_STATUS, 4, OUT | OPT), V(WAIT_OPTIONS), FIX(RUSAGE, 144, OUT | OPT)),
    HOST(kill, V(INT), V(SIGNAL)),
    HOST(uname, FIX(UTSNAME, 390, OUT)),
    HOST(semget, V(HEX32), V(INT), V(HEX32)),
    HOST(semop, V(INT), ARRAY(OPAQUE, 6, 2, IN), V(UINT)),
    REFINED(semctl, SEMCTL, V(INT), V(INT), V(INT), V(HEX)),
    CALLER(shmdt, V(ADDR)),
    HOST(msgget, V(HEX32), V(HEX32)),
    HOST(msgsnd, V(INT), MSGBUF(2, IN), V(ULONG), V(HEX32)),
    HOST(msgrcv, V(INT), MSGBUF(2, FILL), V(ULONG), V(LONG), V(HEX32)),
    REFINED(msgctl, MSGCTL, V(INT), V(INT), V(ADDR)),
    REFINED(fcntl, FCNTL, V(FD), V(FCNTL_CMD), V(HEX)),
    HOST(flock, V(FD), V(FLOCK)),
    HOST(fsync, V(FD)),
    HOST(fdatasync, V(FD)),
    HOST(truncate, PATH, V(LONG)),
    HOST(ftruncate, V(FD), V(LONG)),
    HOST(getdents, V(FD), BUF(DIRENTS, 2, FILL | SHORT), V(UINT)),
    HOST(getcwd, BUF(PATH, 1, FILL | SHORT), V(ULONG)),
    HOST(chdir, PATH),
    HOST(fchdir, V(FD)),
    HOST(rename, PATH, PATH),
    HOST(mkdir, PATH, V(MODE)),
    HOST(rmdir, PATH),
    OPENS(creat, PATH, V(MODE)),
    HOST(link, PATH, PATH),
    HOST(unlink, PATH),
    HOST(symlink, PATH, PATH),
    HOST(readlink, PATH, BUF(BUFFER, 2, FILL | SHORT), V(INT)),
    HOST(chmod, PATH, V(MODE)),
    HOST(fchmod, V(FD), V(MODE)),
    HOST(chown, PATH, V(UID), V(UID)),
    HOST(fchown, V(FD), V(UID), V(UID)),
    HOST(lchown, PATH, V(UID), V(UID)),
    HOST(umask, V(MODE)),
    HOST(gettimeofday, FIX(TIMEVAL, 16, OUT | OPT), FIX(TIMEZONE, 8, OUT | OPT)),
    HOST(getrlimit, V(RLIMIT), FIX(RLIMITS, 16, OUT)),
    HOST(getrusage, V(RUSAGE_WHO), FIX(RUSAGE, 144, OUT)),
    HOST(sysinfo, FIX(SYSINFO, 112, OUT)),
    HOST(times, FIX(TMS, 32, OUT | OPT)),
    CALLER(ptrace, V(LONG), V(INT), V(ADDR), V(ADDR)),
    HOST(getuid),
    HOST(syslog, V(INT), BUF(BUFFER, 2, FILL | SHORT | OPT), V(INT)),
    HOST(getgid),
    HOST(setuid, V(UID)),
    HOST(setgid, V(UID)),
    HOST(geteuid),
    HOST(getegid),
    HOST(setpgid, V(INT), V(INT)),
    HOST(getppid),
    HOST(getpgrp),
    HOST(setsid),
    HOST(setreuid, V(UID), V(UID)),
    HOST(setregid, V(UID), V(UID)),
    HOST(getgroups, V(INT), ARRAY(UID_ARRAY, 4, 0, FILL | OPT)),
    HOST(setgroups, V(INT), ARRAY(UID_ARRAY, 4, 0, IN | OPT)),
    HOST(setresuid, V(UID), V(UID), V(UID)),
    HOST(getresuid, FIX(UID_PTR, 4, OUT), FIX(UID_PTR, 4, OUT), FIX(UID_PTR, 4, OUT)),
    HOST(setresgid, V(UID), V(UID), V(UID)),
    HOST(getresgid, FIX(UID_PTR, 4, OUT), FIX(UID_PTR, 4, OUT), FIX(UID_PTR, 4, OUT)),
    HOST(getpgid, V(INT)),
    HOST(setfsuid, V(UID)),
    HOST(setfsgid, V(UID)),
    HOST(getsid, V(INT)),
    HOST(capget, FIX(OPAQUE, 8, INOUT), FIX(OPAQUE, 24, OUT | OPT)),
    HOST(capset, FIX(OPAQUE, 8, INOUT), FIX(OPAQUE, 24, IN)),
    CALLER(rt_sigpending, BUF(SIGSET, 1, OUT), V(ULONG)),
    CALLER(rt_sigtimedwait, BUF(SIGSET, 3, IN), FIX(SIGINFO, 128, OUT | OPT), TS_IN_OPT, V(ULONG)),
    CALLER(rt_sigqueueinfo, V(INT), V(SIGNAL), FIX(SIGINFO, 128, IN)),
    CALLER(rt_sigsuspend, BUF(SIGSET, 1, IN), V(ULONG)),
    CALLER(sigaltstack, FIX(STACK_T, 24, IN | OPT), FIX(STACK_T, 24, OUT | OPT)),
    HOST(utime, PATH, FIX(UTIMBUF, 16, IN | OPT)),
    HOST(mknod, PATH, V(MODE), V(DEV)),
    CALLER(uselib, V(ADDR)),
    REFINED(personality, PERSONALITY, V(HEX32)),
    HOST(ustat, V(DEV), FIX(OPAQUE, 32, OUT)),
    HOST(statfs, PATH, FIX(STATFS, 120, OUT)),
    HOST(fstatfs, V(FD), FIX(STATFS, 120, OUT)),
    CALLER(sysfs, V(INT), V(HEX), V(HEX)),
    HOST(getpriority, V(PRIO_WHICH), V(INT)),
    HOST(setpriority, V(PRIO_WHICH), V(INT), V(INT)),
    HOST(sched_setparam, V(INT), FIX(SCHED_PARAM, 4, IN)),
    HOST(sched_getparam, V(INT), FIX(SCHED_PARAM, 4, OUT)),
    HOST(sched_setscheduler, V(INT), V(SCHED_POLICY), FIX(SCHED_PARAM, 4, IN)),
    HOST(sched_getscheduler, V(INT)),
    HOST(sched_get_priority_max, V(SCHED_POLICY)),
    HOST(sched_get_priority_min, V(SCHED_POLICY)),
    HOST(sched_rr_get_interval, V(INT), TS_OUT),
    CALLER(mlock, V(ADDR), V(ULONG)),
    CALLER(munlock, V(ADDR), V(ULONG)),
    CALLER(mlockall, V(MLOCKALL_FLAGS)),
    CALLER(munlockall),
    HOST(vhangup),
    CALLER(modify_ldt, V(INT), V(ADDR), V(ULONG)),
    HOST(pivot_root, PATH, PATH),
    CALLER(_sysctl, V(ADDR)),
    REFINED(prctl, PRCTL, V(PRCTL), V(HEX), V(HEX), V(HEX), V(HEX)),
    CALLER(arch_prctl, V(ARCH_PRCTL), V(ADDR)),
    HOST(adjtimex, FIX(OPAQUE, 208, INOUT)),
    HOST(setrlimit, V(RLIMIT), FIX(RLIMITS, 16, IN)),
    HOST(chroot, PATH),
    HOST(sync),
    HOST(acct, PATH_OPT),
    HOST(settimeofday, FIX(TIMEVAL, 16, IN | OPT), FIX(TIMEZONE, 8, IN | OPT)),
    HOST(mount, STR_OPT, PATH, STR_OPT, V(MOUNT_FLAGS), MEM(STRING, PAGE, 0, IN | OPT)),
    HOST(umount2, PATH, V(UMOUNT_FLAGS)),
    HOST(swapon, PATH, V(HEX32)),
    HOST(swapoff, PATH),
    CALLER(reboot, V(HEX32), V(HEX32), V(HEX32), V(ADDR)),
    HOST(sethostname, BUF(BUFFER, 1, IN), V(INT)),
    HOST(setdomainname, BUF(BUFFER, 1, IN), V(INT)),
    CALLER(iopl, V(INT)),
    CALLER(ioperm, V(HEX), V(HEX), V(INT)),
    CALLER(create_module, V(ADDR), V(ULONG)),
    CALLER(init_module, V(ADDR), V(ULONG), V(ADDR)),
    CALLER(delete_module, V(ADDR), V(HEX32)),
    CALLER(get_kernel_syms, V(ADDR)),
    CALLER(query_module, V(ADDR), V(INT), V(ADDR), V(ULONG), V(ADDR)),
    CALLER(quotactl, V(HEX32), V(ADDR), V(UID), V(ADDR)),
    CALLER(nfsservctl, V(INT), V(ADDR), V(ADDR)),
    CALLER(getpmsg),
    CALLER(putpmsg),
    CALLER(afs_syscall),
    CALLER(tuxcall),
    CALLER(security),
    HOST(gettid),
    HOST(readahead, V(FD), V(LONG), V(ULONG)),
    HOST(setxattr, PATH, STR, BUF(BUFFER, 3, IN | OPT), V(ULONG), V(XATTR_FLAGS)),
    HOST(lsetxattr, PATH, STR, BUF(BUFFER, 3, IN | OPT), V(ULONG), V(XATTR_FLAGS)),
    HOST(fsetxattr, V(FD), STR, BUF(BUFFER, 3, IN | OPT), V(ULONG), V(XATTR_FLAGS)),
    HOST(getxattr, PATH, STR, BUF(BUFFER, 3, FILL | SHORT | OPT), V(ULONG)),
    HOST(lgetxattr, PATH, STR, BUF(BUFFER, 3, FILL | SHORT | OPT), V(ULONG)),
    HOST(fgetxattr, V(FD), STR, BUF(BUFFER, 3, FILL | SHORT | OPT), V(ULONG)),
    HOST(listxattr, PATH, BUF(BUFFER, 2, FILL | SHORT | OPT), V(ULONG)),
    HOST(llistxattr, PATH, BUF(BUFFER, 2, FILL | SHORT | OPT), V(ULONG)),
    HOST(flistxattr, V(FD), BUF(BUFFER, 2, FILL | SHORT | OPT), V(ULONG)),
    HOST(removexattr, PATH, STR),
    HOST(lremovexattr, PATH, STR),
    HOST(fremovexattr, V(FD), STR),
    HOST(tkill, V(INT), V(SIGNAL)),
    HOST(time, FIX(LONG_PTR, 8, OUT | OPT)),
    SELF(futex, FUTEX, FIX(ADDR, 4, INOUT), V(FUTEX_OP), V(UINT), V(HEX), V(HEX), V(HEX32)),
    HOST(sched_setaffinity, V(INT), V(UINT), BUF(CPUSET, 1, IN)),
    HOST(sched_getaffinity, V(INT), V(UINT), BUF(CPUSET, 1, FILL)),
    CALLER(set_thread_area, V(ADDR)),
    CALLER(io_setup, V(UINT), V(ADDR)),
    CALLER(io_destroy, V(ADDR)),
    CALLER(io_getevents, V(ADDR), V(LONG), V(LONG), V(ADDR), TS_IN_OPT),
    CALLER(io_submit, V(ADDR), V(LONG), V(ADDR)),
    CALLER(io_cancel, V(ADDR), V(ADDR), V(ADDR)),
    CALLER(get_thread_area, V(ADDR)),
    CALLER(lookup_dcookie, V(HEX), V(ADDR), V(ULONG)),
    HOST(epoll_create, V(INT)),
    CALLER(epoll_ctl_old),
    CALLER(epoll_wait_old),
    CALLER(remap_file_pages, V(ADDR), V(ULONG), V(PROT), V(ULONG), V(MAP_FLAGS)),
    HOST(getdents64, V(FD), BUF(DIRENTS, 2, FILL | SHORT), V(UINT)),
    CALLER(set_tid_address, V(ADDR)),
    CALLER(restart_syscall),
    HOST(semtimedop, V(INT), ARRAY(OPAQUE, 6, 2, IN), V(UINT), TS_IN_OPT),
    HOST(fadvise64, V(FD), V(LONG), V(LONG), V(FADVICE)),
    HOST(timer_create, V(CLOCK), FIX(OPAQUE, 64, IN | OPT), FIX(INT_PTR, 4, OUT)),
    HOST(timer_settime, V(INT), V(TIMER_FLAGS), FIX(ITIMERSPEC, 32, IN), FIX(ITIMERSPEC, 32, OUT | OPT)),
    HOST(timer_gettime, V(INT), FIX(ITIMERSPEC, 32, OUT)),
    HOST(timer_getoverrun, V(INT)),
    HOST(timer_delete, V(INT)),
    HOST(clock_settime, V(CLOCK), TS_IN),
    HOST(clock_gettime, V(CLOCK), TS_OUT),
    HOST(clock_getres, V(CLOCK), TS_OUT_OPT),
    HOST(clock_nanosleep, V(CLOCK), V(TIMER_FLAGS), TS_IN, TS_OUT_OPT),
    CALLER(exit_group, V(INT)),
    HOST(epoll_wait, V(FD), ARRAY(EPOLL_EVENTS, 12, 2, FILL), V(INT), V(INT)),
    HOST(epoll_ctl, V(FD), V(EPOLL_OP), V(FD), FIX(EPOLL_EVENT, 12, IN | OPT)),
    HOST(tgkill, V(INT), V(INT), V(SIGNAL)),
    HOST(utimes, PATH, FIX(TIMEVAL_PAIR, 32, IN | OPT)),
    CALLER(vserver),
    CALLER(mbind, V(ADDR), V(ULONG), V(INT), V(ADDR), V(ULONG), V(HEX32)),
    CALLER(set_mempolicy, V(INT), V(ADDR), V(ULONG)),
    CALLER(get_mempolicy, V(ADDR), V(ADDR), V(ULONG), V(ADDR), V(HEX)),
    HOST(mq_open, STR, V(OPEN_FLAGS), V(OPEN_MODE), FIX(OPAQUE, 64, IN | OPT)),
    HOST(mq_unlink, STR),
    HOST(mq_timedsend, V(FD), BUF(BUFFER, 2, IN), V(ULONG), V(UINT), TS_IN_OPT),
    HOST(mq_timedreceive, V(FD), BUF(BUFFER, 2, FILL), V(ULONG), FIX(UINT_PTR, 4, OUT | OPT), TS_IN_OPT),
    REFINED(mq_notify, MQ_NOTIFY, V(FD), FIX(OPAQUE, 64, IN | OPT)),
    HOST(mq_getsetattr, V(FD), FIX(OPAQUE, 64, IN | OPT), FIX(OPAQUE, 64, OUT | OPT)),
    CALLER(kexec_load, V(ADDR), V(ULONG), V(ADDR), V(HEX)),
    HOST(waitid, V(P_IDTYPE), V(INT), FIX(SIGINFO, 128, OUT | OPT), V(WAIT_OPTIONS), FIX(RUSAGE, 144, OUT | OPT)),
    HOST(add_key, STR, STR_OPT, BUF(BUFFER, 3, IN | OPT), V(ULONG), V(INT)),
    HOST(request_key, STR, STR, STR_OPT, V(INT)),
    CALLER(keyctl, V(INT), V(HEX), V(HEX), V(HEX), V(HEX)),
    HOST(ioprio_set, V(INT), V(INT), V(HEX32)),
    HOST(ioprio_get, V(INT), V(INT)),
    HOST(inotify_init),
    HOST(inotify_add_watch, V(FD), PATH, V(INOTIFY_MASK)),
    HOST(inotify_rm_watch, V(FD), V(INT)),
    CALLER(migrate_pages, V(INT), V(ULONG), V(ADDR), V(ADDR)),
    OPENS(openat, V(DIRFD), PATH, V(OPEN_FLAGS), V(OPEN_MODE)),
    HOST(mkdirat, V(DIRFD), PATH, V(MODE)),
    HOST(mknodat, V(DIRFD), PATH, V(MODE), V(DEV)),
    HOST(fchownat, V(DIRFD), PATH, V(UID), V(UID), V(AT_FLAGS)),
    HOST(futimesat, V(DIRFD), PATH_OPT, FIX(TIMEVAL_PAIR, 32, IN | OPT)),
    HOST(newfstatat, V(DIRFD), PATH_OPT, STAT_OUT, V(AT_FLAGS)),
    HOST(unlinkat, V(DIRFD), PATH, V(AT_FLAGS)),
    HOST(renameat, V(DIRFD), PATH, V(DIRFD), PATH),
    HOST(linkat, V(DIRFD), PATH, V(DIRFD), PATH, V(AT_FLAGS)),
    HOST(symlinkat, PATH, V(DIRFD), PATH),
    HOST(readlinkat, V(DIRFD), PATH, BUF(BUFFER, 3, FILL | SHORT), V(INT)),
    HOST(fchmodat, V(DIRFD), PATH, V(MODE)),
    HOST(faccessat, V(DIRFD), PATH, V(ACCESS)),
    HOST(pselect6, V(INT), FDSET, FDSET, FDSET, FIX(TIMESPEC, 16, INOUT | OPT),
        MEM(SIGSET_PAIR, SIGSET_PAIR, 0, IN | OPT)),
    HOST(ppoll, ARRAY(POLLFDS, 8, 1, INOUT), V(UINT), FIX(TIMESPEC, 16, INOUT | OPT), SIGSET_IN_OPT, V(ULONG)),
    REFINED(unshare, UNSHARE, V(UNSHARE_FLAGS)),
    CALLER(set_robust_list, V(ADDR), V(ULONG)),
    CALLER(get_robust_list, V(INT), V(ADDR), V(ADDR)),
    HOST(splice, V(FD), OFFSET, V(FD), OFFSET, V(ULONG), V(SPLICE_FLAGS)),
    HOST(tee, V(FD), V(FD), V(ULONG), V(SPLICE_FLAGS)),
    HOST(sync_file_range, V(FD), V(LONG), V(LONG), V(HEX32)),
    SELF(vmsplice, NONE, V(FD), IOVEC(2, INOUT), V(ULONG), V(SPLICE_FLAGS)),
    CALLER(move_pages, V(INT), V(ULONG), V(ADDR), V(ADDR), V(ADDR), V(HEX32)),
    HOST(utimensat, V(DIRFD), PATH_OPT, FIX(TIMESPEC_PAIR, 32, IN | OPT), V(AT_FLAGS)),
    HOST(epoll_pwait, V(FD), ARRAY(EPOLL_EVENTS, 12, 2, FILL), V(INT), V(INT), BUF(SIGSET, 5, IN | OPT), V(ULONG)),
    HOST(signalfd, V(FD), BUF(SIGSET, 2, IN), V(ULONG)),
    HOST(timerfd_create, V(CLOCK), V(TFD_FLAGS)),
    HOST(eventfd, V(UINT)),
    HOST(fallocate, V(FD), V(FALLOC_MODE), V(LONG), V(LONG)),
    HOST(timerfd_settime, V(FD), V(TFD_FLAGS), FIX(ITIMERSPEC, 32, IN), FIX(ITIMERSPEC, 32, OUT | OPT)),
    HOST(timerfd_gettime, V(FD), FIX(ITIMERSPEC, 32, OUT)),
    HOST(accept4, V(FD), ADDR_OUT(2, OPT), LEN_PTR(OPT), V(SOCK_TYPE)),
    HOST(signalfd4, V(FD), BUF(SIGSET, 2, IN), V(ULONG), V(SFD_FLAGS)),
    HOST(eventfd2, V(UINT), V(EVENTFD_FLAGS)),
    HOST(epoll_create1, V(EPOLL_FLAGS)),
    HOST(dup3, V(FD), V(FD), V(PIPE_FLAGS)),
    HOST(pipe2, FIX(FD_PAIR, 8, OUT), V(PIPE_FLAGS)),
    HOST(inotify_init1, V(INOTIFY_FLAGS)),
    HOST(preadv, V(FD), IOVEC(2, OUT | SHORT), V(ULONG), V(LONG), V(UNUSED)),
    HOST(pwritev, V(FD), IOVEC(2, IN | SHORT), V(ULONG), V(LONG), V(UNUSED)),
    CALLER(rt_tgsigqueueinfo, V(INT), V(INT), V(SIGNAL), FIX(SIGINFO, 128, IN)),
    CALLER(perf_event_open, V(ADDR), V(INT), V(INT), V(FD), V(HEX)),
    SELF(recvmmsg, NONE, V(FD), MEM(MMSGHDR, MMSGHDR, 2, OUT), V(UINT), V(MSG_FLAGS), FIX(TIMESPEC, 16, INOUT | OPT)),
    HOST(fanotify_init, V(HEX32), V(HEX32)),
    HOST(fanotify_mark, V(FD), V(HEX32), V(HEX), V(DIRFD), PATH_OPT),
    HOST(prlimit64, V(INT), V(RLIMIT), FIX(RLIMITS, 16, IN | OPT), FIX(RLIMITS, 16, OUT | OPT)),
    HOST(name_to_handle_at, V(DIRFD), PATH, MEM(OPAQUE, FILE_HANDLE, 0, INOUT), FIX(INT_PTR, 8, OUT), V(AT_FLAGS)),
    OPENS(open_by_handle_at, V(FD), MEM(OPAQUE, FILE_HANDLE, 0, IN), V(OPEN_FLAGS)),
    HOST(clock_adjtime, V(CLOCK), FIX(OPAQUE, 208, INOUT)),
    HOST(syncfs, V(FD)),
    SELF(sendmmsg, NONE, V(FD), MEM(MMSGHDR, MMSGHDR, 2, IN), V(UINT), V(MSG_FLAGS)),
    HOST(setns, V(FD), V(UNSHARE_FLAGS)),
    HOST(getcpu, FIX(UINT_PTR, 4, OUT | OPT), FIX(UINT_PTR, 4, OUT | OPT), V(ADDR)),
    CALLER(process_vm_readv, V(INT), V(ADDR), V(ULONG), V(ADDR), V(ULONG), V(ULONG)),
    CALLER(process_vm_writev, V(INT), V(ADDR), V(ULONG), V(ADDR), V(ULONG), V(ULONG)),
    HOST(kcmp, V(INT), V(INT), V(INT), V(ULONG), V(ULONG)),
    CALLER(finit_module, V(FD), V(ADDR), V(HEX32)),
    HOST(sched_setattr, V(INT), MEM(OPAQUE, SCHED_ATTR, 0, IN), V(UINT)),
    HOST(sched_getattr, V(INT), BUF(OPAQUE, 2, OUT), V(UINT), V(UINT)),
    HOST(renameat2, V(DIRFD), PATH, V(DIRFD), PATH, V(RENAME_FLAGS)),
    CALLER(seccomp, V(UINT), V(HEX32), V(ADDR)),
    HOST(getrandom, BUF(RANDOM, 1, FILL | SHORT), V(ULONG), V(GRND_FLAGS)),
    HOST(memfd_create, STR, V(MFD_FLAGS)),
    CALLER(kexec_file_load, V(FD), V(FD), V(ULONG), V(ADDR), V(HEX)),
    CALLER(bpf, V(INT), V(ADDR), V(UINT)),
    CALLER(execveat, V(DIRFD), PATH, V(ARGV), V(ENVP), V(AT_FLAGS)),
    CALLER(userfaultfd, V(HEX32)),
    HOST(membarrier, V(INT), V(UINT), V(INT)),
    CALLER(mlock2, V(ADDR), V(ULONG), V(HEX32)),
    HOST(copy_file_range, V(FD), OFFSET, V(FD), OFFSET, V(ULONG), V(UINT)),
    HOST(preadv2, V(FD), IOVEC(2, OUT | SHORT), V(ULONG), V(LONG), V(UNUSED), V(HEX32)),
    HOST(pwritev2, V(FD), IOVEC(2, IN | SHORT), V(ULONG), V(LONG), V(UNUSED), V(HEX32)),
    CALLER(pkey_mprotect, V(ADDR), V(ULONG), V(PROT), V(INT)),
    CALLER(pkey_alloc, V(HEX), V(HEX)),
    CALLER(pkey_free, V(INT)),
    HOST(statx, V(DIRFD), PATH_OPT, V(AT_FLAGS), V(STATX_MASK), FIX(STATX, 256, OUT)),
    CALLER(io_pgetevents, V(ADDR), V(LONG), V(LONG), V(ADDR), TS_IN_OPT, V(ADDR)),
    CALLER(rseq, V(ADDR), V(HEX32), V(HEX32), V(HEX32)),
    HOST(pidfd_send_signal, V(FD), V(SIGNAL), FIX(SIGINFO, 128, IN | OPT), V(HEX32)),
    CALLER(io_uring_setup, V(UINT), V(ADDR)),
    CALLER(io_uring_enter, V(FD), V(UINT), V(UINT), V(HEX32), V(ADDR), V(ULONG)),
    CALLER(io_uring_register, V(FD), V(UINT), V(ADDR), V(UINT)),
    OPENS(open_tree, V(DIRFD), PATH, V(HEX32)),
    HOST(move_mount, V(DIRFD), PATH, V(DIRFD), PATH, V(HEX32)),
    HOST(fsopen, STR, V(HEX32)),
    REFINED(fsconfig, FSCONFIG, V(FD), V(UINT), STR_OPT, V(ADDR), V(INT)),
    HOST(fsmount, V(FD), V(HEX32), V(HEX32)),
    HOST(fspick, V(DIRFD), PATH, V(HEX32)),
    HOST(pidfd_open, V(INT), V(HEX32)),
    CALLER(clone3, V(ADDR), V(ULONG)),
    REFINED(close_range, CLOSE_RANGE, V(UINT), V(UINT), V(CLOSE_RANGE_FLAGS)),
    OPENS(openat2, V(DIRFD), PATH, BUF(OPAQUE, 3, IN), V(ULONG)),
    CALLER(pidfd_getfd, V(FD), V(FD), V(HEX32)),
    HOST(faccessat2, V(DIRFD), PATH, V(ACCESS), V(AT_FLAGS)),
    CALLER(process_madvise, V(FD), V(ADDR), V(ULONG), V(MADVICE), V(HEX32)),
    HOST(epoll_pwait2, V(FD), ARRAY(EPOLL_EVENTS, 12, 2, FILL), V(INT), TS_IN_OPT, BUF(SIGSET, 5, IN | OPT), V(ULONG)),
    HOST(mount_setattr, V(DIRFD), PATH, V(HEX32), BUF(OPAQUE, 4, IN), V(ULONG)),
    CALLER(quotactl_fd, V(FD), V(HEX32), V(UID), V(ADDR)),
    CALLER(landlock_create_ruleset, V(ADDR), V(ULONG), V(HEX32)),
    CALLER(landlock_add_rule, V(FD), V(UINT), V(ADDR), V(HEX32)),
    CALLER(landlock_restrict_self, V(FD), V(HEX32)),
    CALLER(memfd_secret, V(HEX32)),
    CALLER(process_mrelease, V(FD), V(HEX32)),
    SELF(futex_waitv, NONE, MEM(ADDR, FUTEX_WAITV, 1, IN), V(UINT), V(HEX32), TS_IN_OPT, V(CLOCK)),
    CALLER(set_mempolicy_home_node, V(ADDR), V(ULONG), V(ULONG), V(HEX)),
    HOST(cachestat, V(FD), FIX(OPAQUE, 16, IN), FIX(OPAQUE, 40, OUT), V(HEX32)),
    HOST(fchmodat2, V(DIRFD), PATH, V(MODE), V(AT_FLAGS)),
    CALLER(map_shadow_stack, V(ADDR), V(ULONG), V(HEX32)),
    SELF(futex_wake, NONE, FIX(ADDR, 4, IN), V(HEX), V(INT), V(HEX32)),
    SELF(futex_wait, NONE, FIX(ADDR, 4, IN), V(ULONG), V(HEX), V(HEX32), TS_IN_OPT, V(CLOCK)),
    CALLER(futex_requeue, V(ADDR), V(HEX32), V(INT), V(INT)),
    CALLER(statmount, V(ADDR), V(ADDR), V(ULONG), V(HEX32)),
    CALLER(listmount, V(ADDR), V(ADDR), V(ULONG), V(HEX32)),
    CALLER(lsm_get_self_attr, V(UINT), V(ADDR), V(ADDR), V(HEX32)),
    CALLER(lsm_set_self_attr, V(UINT), V(ADDR), V(UINT), V(HEX32)),
    CALLER(lsm_list_modules, V(ADDR), V(ADDR), V(HEX32)),
    CALLER(mseal, V(ADDR), V(ULONG), V(HEX)),
};

const unsigned call_limit = sizeof(table) / sizeof(table[0]);

const struct call *call_find(uint64_t number)
{
    if (number >= call_limit || !table[number].name) {
        return NULL;
    }
    return &table[number];
}

long call_number(const char *name)
{
    for (unsigned i = 0; i < call_limit; i++) {
        if (table[i].name && strcmp(table[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

long call_describe(uint64_t number, const uint64_t args[CALL_ARGS], struct call *out)
{
    const struct call *row = call_find(number);
    if (!row) {
        *out = (struct call){0};
        return -ENOSYS;
    }
    *out = *row;
    long error = call_refine_args(out, args);
    return row->policy == CALL_HOST ? error : -ENOSYS;
}

uint64_t call_length(const struct call *call, const uint64_t args[CALL_ARGS], unsigned index)
{
    switch (call->args[index].kind) {
    case ARG_INT:
    case ARG_UINT:
        /* A negative int becomes a length that no range check passes by accident; the kernel refuses it. */
        return (uint32_t)args[index];
    default:
        return args[index];
    }
}
