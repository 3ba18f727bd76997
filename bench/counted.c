/* SPDX-License-Identifier: MIT */
/* Counts what a process asks of KVM from outside, by ptrace: no statistics of the library's own are believed. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define MARK 0x706f6c646572l /* getpgid of a process that there cannot be */

static void mark(void)
{
    syscall(SYS_getpgid, MARK);
}

/* Follows the process and its threads to the end. With marks, only what is between the first two counts. */
static bool follow(pid_t pid, bool marks, struct counts *counts)
{
    int status, seen = 0;
    bool begun = false, well = false;
    pid_t in_call[64] = {0};

    memset(counts, 0, sizeof(*counts));
    for (;;) {
        pid_t who = waitpid(-1, &status, __WALL);
        if (who < 0)
            break;
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (who == pid) {
                well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
                break;
            }
            continue;
        }
        int signal = WSTOPSIG(status);
        if (!begun) {
            ptrace(PTRACE_SETOPTIONS, pid, NULL,
                PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                    PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
            begun = true;
            signal = 0;
        } else if (signal == (SIGTRAP | 0x80)) {
            struct user_regs_struct regs;
            int slot = 0; /* every call stops twice: the way in counts */
            while (slot < 63 && in_call[slot] != who && in_call[slot] != 0)
                slot++;
            bool out = in_call[slot] == who;
            if (out) {
                int last = slot;
                while (last < 63 && in_call[last + 1] != 0)
                    last++;
                in_call[slot] = in_call[last];
                in_call[last] = 0;
            } else {
                in_call[slot] = who;
            }
            if (!out && ptrace(PTRACE_GETREGS, who, NULL, &regs) == 0) {
                if (marks && regs.orig_rax == SYS_getpgid && regs.rdi == MARK)
                    seen++;
                else if (!marks || seen == 1) {
                    if (regs.orig_rax == SYS_ioctl && (uint32_t)regs.rsi == KVM_RUN)
                        counts->runs++;
                    else
                        counts->other_calls++;
                }
            }
            signal = 0;
        } else if (signal == SIGTRAP || signal == SIGSTOP) {
            signal = 0; /* events, and the first stop of a new thread */
        }
        ptrace(PTRACE_SYSCALL, who, NULL, (void *)(long)signal);
    }
    if (!well || (marks && seen != 2)) {
        errno = ECHILD;
        return false;
    }
    return true;
}

bool count_between_marks(void (*body)(long n, void (*mark)(void)), long n, struct counts *counts)
{
    pid_t pid = fork();

    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        body(n, mark);
        _exit(0);
    }
    return pid > 0 && follow(pid, true, counts);
}

bool count_program(char *const argv[], struct counts *counts)
{
    pid_t pid = fork();

    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, 0);
        dup2(null, 1);
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        execvp(argv[0], argv);
        _exit(127);
    }
    return pid > 0 && follow(pid, false, counts);
}
