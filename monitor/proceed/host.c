/* SPDX-License-Identifier: MIT */
#include "host.h"
#include "proceed.h"

#include <errno.h>
#include <stdbool.h>

_Thread_local struct proceed_interrupt proceed_interrupt;

/* Below every errno (the kernel's go down to -4095): nothing was done. */
#define SKIPPED (-4096)

/*
 * From proceed_syscall_start on, the flag has been looked at or will be; up to the instruction itself nothing has
 * happened. A handler that finds the thread in between sends it to proceed_syscall_skip. The flag's address is in r11
 * because SYSCALL overwrites that anyway; a restart re-enters at the instruction and needs it no more.
 */
long host_interruptible(const volatile int *stop, const uint64_t call[7]);
__asm__(".text\n"
        ".globl host_interruptible, proceed_syscall_start, proceed_syscall_end, proceed_syscall_skip\n"
        ".hidden host_interruptible, proceed_syscall_start, proceed_syscall_end, proceed_syscall_skip\n"
        ".type host_interruptible, @function\n"
        ".type proceed_syscall_start, @object\n"
        ".type proceed_syscall_end, @object\n"
        ".type proceed_syscall_skip, @object\n"
        "host_interruptible:\n"
        ".cfi_startproc\n"
        "    endbr64\n"
        "    mov %rdi, %r11\n"
        "    mov %rsi, %rcx\n"
        "    mov 0(%rcx), %rax\n"
        "    mov 8(%rcx), %rdi\n"
        "    mov 16(%rcx), %rsi\n"
        "    mov 24(%rcx), %rdx\n"
        "    mov 32(%rcx), %r10\n"
        "    mov 40(%rcx), %r8\n"
        "    mov 48(%rcx), %r9\n"
        "proceed_syscall_start:\n"
        "    cmpl $0, (%r11)\n"
        "    jne proceed_syscall_skip\n"
        "    syscall\n"
        "proceed_syscall_end:\n"
        "    ret\n"
        "proceed_syscall_skip:\n"
        "    mov $-4096, %rax\n"
        "    ret\n"
        ".cfi_endproc\n"
        ".size host_interruptible, . - host_interruptible\n");

long host_call(const uint64_t call[7])
{
    long result = host_interruptible(&proceed_interrupt.stop, call);
    if (result == SKIPPED) {
        proceed_interrupt.skipped = true;
        return -EINTR;
    }
    return result;
}
