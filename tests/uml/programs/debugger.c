/* SPDX-License-Identifier: MIT */
/* What a debugger does: steps, breakpoints, registers of all kinds, system calls, attaching, memory. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures;

static void check(int good, const char *what)
{
    printf("%s: %s\n", what, good ? "yes" : "no");
    failures += !good;
}

static int stopped(pid_t pid, int signal)
{
    int status;

    return waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == signal;
}

extern char code[], code_syscall[], code_end[], code_flags[];
/* A breakpoint; ten instructions; a system call; xmm3 and rbx to memory. */
__asm__(".pushsection .text\n"
        "code: int3\n"
        "xor %ecx, %ecx; inc %rcx; inc %rcx; inc %rcx; inc %rcx; inc %rcx; inc %rcx; inc %rcx; inc %rcx; inc %rcx\n"
        "mov $39, %eax\n"
        "code_syscall: syscall\n"
        "code_end: nop\n"
        "int3\n"
        "code_flags: jc 1f; int3; 1: nop; int3\n"
        "2: jmp 2b\n"
        ".popsection");

int main(void)
{
    struct user_regs_struct regs, again;
    struct user_fpregs_struct fp, fp_again;
    long word;
    int steps, status;
    pid_t pid = fork();

    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        __asm__ volatile("jmp code");
    }
    check(stopped(pid, SIGSTOP), "it stops itself");
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    check(stopped(pid, SIGTRAP), "a breakpoint stops it");
    ptrace(PTRACE_GETREGS, pid, NULL, &regs);
    check(regs.rip == (uintptr_t)code + 1, "... behind the instruction");
    check(regs.orig_rax == (unsigned long long)-1, "... in no system call");
    check(regs.cs == 0x33 && regs.ss == 0x2b, "... in code of 64 bits");
    for (steps = 0; steps < 11; steps++) {
        ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
        if (!stopped(pid, SIGTRAP))
            break;
    }
    ptrace(PTRACE_GETREGS, pid, NULL, &regs);
    check(steps == 11 && regs.rip == (uintptr_t)code_syscall && regs.rcx == 9, "it steps, an instruction at a time");
    check(!(regs.eflags & 0x100), "... and does not see the flag");
    ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
    check(stopped(pid, SIGTRAP), "it steps over a system call");
    ptrace(PTRACE_GETREGS, pid, NULL, &regs);
    check(regs.rip == (uintptr_t)code_end && regs.rax == (unsigned long long)pid, "... to the next instruction");

    ptrace(PTRACE_GETFPREGS, pid, NULL, &fp);
    memset((char *)fp.xmm_space + 48, 0xa5, 16);
    fp.mxcsr = 0x1fc0;
    ptrace(PTRACE_SETFPREGS, pid, NULL, &fp);
    regs.rbx = 0x123456789abcdefull;
    ptrace(PTRACE_SETREGS, pid, NULL, &regs);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    check(stopped(pid, SIGTRAP), "it goes on");
    ptrace(PTRACE_GETREGS, pid, NULL, &again);
    ptrace(PTRACE_GETFPREGS, pid, NULL, &fp_again);
    check(again.rbx == regs.rbx, "registers are set");
    check(again.fs_base == regs.fs_base && regs.fs_base != 0, "the base of FS stays, and is seen");
    check(!memcmp(fp.xmm_space, fp_again.xmm_space, sizeof(fp.xmm_space)) && fp_again.mxcsr == 0x1fc0,
        "vector registers are set");

    again.eflags |= 1;
    ptrace(PTRACE_SETREGS, pid, NULL, &again);
    ptrace(PTRACE_GETREGS, pid, NULL, &again);
    check(again.eflags & 1, "a flag is set");
    again.eflags &= ~1ull;
    ptrace(PTRACE_SETREGS, pid, NULL, &again);
    ptrace(PTRACE_GETREGS, pid, NULL, &again);
    check(!(again.eflags & 1), "a flag is cleared");
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    check(stopped(pid, SIGTRAP), "... and counts");
    ptrace(PTRACE_GETREGS, pid, NULL, &again);
    check(again.rip == (uintptr_t)code_flags + 3, "... in the jump");

    word = ptrace(PTRACE_PEEKTEXT, pid, code, NULL);
    check(word == *(long *)code, "its memory is read");
    errno = 0;
    ptrace(PTRACE_POKETEXT, pid, code_end, (word & ~0xffl) | 0xcc);
    check(errno == 0, "its code is written");
    again.rip = (uintptr_t)code_end;
    ptrace(PTRACE_SETREGS, pid, NULL, &again);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    check(stopped(pid, SIGTRAP), "... and stops it");
    ptrace(PTRACE_GETREGS, pid, NULL, &again);
    check(again.rip == (uintptr_t)code_end + 1, "... there");
    check(*code_end == (char)0x90, "... and here is what was");

    /* Registers that nothing can run with: the program gets a signal, and the machine goes on. */
    regs.cs = 0x13;
    ptrace(PTRACE_SETREGS, pid, NULL, &regs);
    ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.rip), 1ul << 63);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    check(stopped(pid, SIGSEGV), "impossible registers are SIGSEGV");
    ptrace(PTRACE_KILL, pid, NULL, NULL);
    kill(pid, SIGKILL);
    check(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status), "it is killed");

    pid = fork();
    if (pid == 0)
        for (;;)
            ;
    check(ptrace(PTRACE_ATTACH, pid, NULL, NULL) == 0 && stopped(pid, SIGSTOP), "one that runs is attached to");
    ptrace(PTRACE_SYSCALL, pid, NULL, SIGTERM);
    check(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "... and ended");
    return failures != 0;
}
