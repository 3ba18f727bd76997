/* SPDX-License-Identifier: MIT */
/*
 * linux: the personality that runs one unmodified x86-64 Linux program in a sandbox of "/proc/self/mm". It knows polder
 * only by polder.h. The program sits at its own addresses in this process; memory, signal and exec calls are carried
 * out here, everything else proceeds on the host.
 */
#ifndef MONITOR_LINUX_LINUX_H
#define MONITOR_LINUX_LINUX_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/user.h>

/*
 * Results that only a tracer sees, as strace(1) shows them: the call was interrupted and the program gets EINTR, or its
 * handler runs and the call is made again.
 */
#define LINUX_ERESTARTSYS 512

/* One system call as the program made it. */
struct linux_call {
    int mm_fd;                           /* for polder_read: pointers are the program's and are not to be trusted */
    uint64_t number;                     /* SYS_* */
    uint64_t args[6];                    /* rdi, rsi, rdx, r10, r8, r9 */
    const struct user_regs_struct *regs; /* at enter: as the sandbox reported them; at leave: with the result */
};

/*
 * What a tracer wants to hear. Any of them may be NULL. They are called on the loop's thread, never from a signal
 * handler, in the order in which things happened. A hook may read the program's memory and write to its own
 * descriptors (see linux_hide_fd); it must not call linux_run.
 */
struct linux_hooks {
    /*
     * The program that linux_run was asked for is loaded and has not run yet: path is the file that was found,
     * envp_addr the address of the environment on the program's stack. Natively this is the execve of whoever starts
     * it. Not called if it could not be loaded.
     */
    void (*started)(
        void *opaque, const char *path, char *const argv[], char *const envp[], uint64_t envp_addr, int mm_fd);
    /*
     * Before and after every system call. exit, exit_group and a call during which the program dies have no leave.
     * execve: at enter the old program's memory is there; at leave with result 0 it is gone and call->args are the
     * saved ones. rt_sigreturn: at leave result is the rax that the handler's frame restored.
     * result is what the program gets in rax, or -LINUX_ERESTARTSYS for a call that a signal interrupted and that will
     * be made again or ends with EINTR.
     */
    void (*enter)(void *opaque, const struct linux_call *call);
    void (*leave)(void *opaque, const struct linux_call *call, long result);
    /* Between enter and leave: the personality does not carry this call (clone, fork, ...), or the policy denies it;
     * why is one phrase. */
    void (*refused)(void *opaque, const struct linux_call *call, const char *why);
    /* A signal is about to reach the program's handler, or is a fault that will kill it. */
    void (*signal)(void *opaque, const siginfo_t *info);
    /* The end: of its own will with this status, or by this signal. The last hook that is called. */
    void (*exited)(void *opaque, int status);
    void (*killed)(void *opaque, int sig, bool core);
};

struct linux_policy;

/* How a program is run. */
struct linux_setting {
    const struct linux_policy *policy; /* NULL: it may make any call that is carried */
    /* The last thing before the program's first instruction; false: it does not run, and the status is 2. */
    bool (*confine)(void *opaque);
    void *confine_opaque;
};

/*
 * Finds program as a shell does (PATH of envp unless it contains a slash), loads it, runs it to its end and returns the
 * status to exit with. If the program dies of a fault, this process dies of the same signal and the call does not
 * return. What goes wrong before the program's first instruction is one line on stderr and the status 127 (not found),
 * 126 (cannot be run) or 2 (KVM cannot be had). hooks may be NULL. Once per process.
 */
int linux_run(const char *program, char **argv, char **envp, const struct linux_setting *setting,
    const struct linux_hooks *hooks, void *opaque);

/*
 * Makes fd one of the monitor's own: moves it out of the program's reach, close-on-exec, and returns its new number;
 * the old number is closed unless it is 0, 1 or 2. -1 with errno on failure, fd is then as it was. Before linux_run
 * only.
 */
int linux_hide_fd(int fd);

#endif
