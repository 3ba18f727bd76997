/* SPDX-License-Identifier: MIT */
/*
 * entry.S - into ring 3 and out of it, without leaving the guest.
 *
 * The section .text.entry is mapped a second time in every vCPU's area, at AREA_CODE, and traps arrive at that alias: it
 * finds its vCPU's struct cpu at a fixed distance from itself, so that neither swapgs nor a register that ring 3 has
 * left behind decides whose it is.
 *
 * Ring 3's registers are pushed straight into the caller's struct user_regs_struct, whose last fields have the order of
 * an iretq frame: popped from there, pushed back there. No interrupt can come meanwhile (IF is clear), and what can
 * come has a stack of its own (IST).
 */
#include "offsets.h"
#include <polder/abi.h>

#define CPU(field) (entry_begin + AREA_KERNEL + (field))(%rip)

    .code64
    .section .text.entry, "ax", @progbits
    .globl entry_begin, entry_vectors, entry_syscall, entry_end, enter_ring3
    .hidden entry_begin, entry_vectors, entry_syscall, entry_end, enter_ring3
entry_begin:

/* unsigned enter_ring3(struct cpu *, struct user_regs_struct *): the vector that came back. Called at the image's own
 * address. */
    .balign 16
enter_ring3:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    lea 168(%rsi), %rax
    mov %rax, CPU_REGS_END(%rdi)
    mov %rsp, CPU_KERNEL_RSP(%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rax
    pop %rcx
    pop %rdx
    pop %rsi
    pop %rdi
    lea 8(%rsp), %rsp
    iretq

    .macro push_registers
    push %rsi
    push %rdx
    push %rcx
    push %rax
    push %r8
    push %r9
    push %r10
    push %r11
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    .endm

    .macro return_to_caller
    mov CPU(CPU_KERNEL_RSP), %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret
    .endm

    .balign 16
entry_syscall:
    mov %rsp, CPU(CPU_USER_RSP)
    mov CPU(CPU_REGS_END), %rsp
    pushq $GDT_USER_DATA
    pushq CPU(CPU_USER_RSP)
    push %r11
    pushq $GDT_USER_CODE
    push %rcx
    push %rax /* orig_rax */
    push %rdi
    push_registers
    mov $ENTERED_SYSCALL, %eax
    return_to_caller

    .balign 16
entry_vectors:
    .set vector, 0
    .rept 256
    .balign 16
    .if vector == 2
    jmp entry_nmi
    .else
    /* The CPU pushes an error code for these (AMD APM vol. 2, 8.2; Intel SDM vol. 3A, 6.3.1). */
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
    pushq $0
    .endif
    pushq $vector
    jmp entry_trap
    .endif
    .set vector, vector + 1
    .endr

/* On the stack: vector, error code, rip, cs, rflags, rsp, ss. */
    .balign 16
entry_trap:
    testb $3, 24(%rsp)
    jz trap_of_ring0
trap_of_ring3:
    mov %rdi, CPU(CPU_SCRATCH)
    mov %rsp, %rdi
    mov CPU(CPU_REGS_END), %rsp
    pushq 48(%rdi)
    pushq 40(%rdi)
    pushq 32(%rdi)
    pushq 24(%rdi)
    pushq 16(%rdi)
    pushq $-1 /* orig_rax */
    pushq CPU(CPU_SCRATCH)
    push_registers
    mov 8(%rdi), %rax
    mov %rax, CPU(CPU_ERROR_CODE)
    mov (%rdi), %eax
    cmp $14, %eax
    jne 1f
    mov %cr2, %rdx
    mov %rdx, CPU(CPU_CR2)
1:  return_to_caller

trap_of_ring0:
    cmpq $32, (%rsp)
    jae interrupt_of_ring0
    cmpq $1, (%rsp)
    je debug_of_ring0
    /* SYSCALL of 32-bit code goes to CSTAR, which is 0, with ring 3's stack pointer; a call of NULL here has ours. */
    cmpq $0, 16(%rsp)
    jne fatal
    btq $63, 40(%rsp)
    jnc compat_syscall
fatal:
    out %eax, $PORT_FAULT
    hlt
    jmp fatal

/* polder_idle has let it in: the timer, or spurious. */
interrupt_of_ring0:
    movl $1, CPU(CPU_TIMER_PENDING)
    add $16, %rsp
    iretq

/* MOV SS, then SYSCALL: the #DB that MOV SS held back comes on the first instruction here (Intel SDM vol. 3A, 6.8.3). */
debug_of_ring0:
    mov %rax, CPU(CPU_SCRATCH)
    lea entry_syscall(%rip), %rax
    cmp %rax, 16(%rsp)
    mov CPU(CPU_SCRATCH), %rax
    jne fatal
    add $16, %rsp
    iretq

/* rcx and r11 hold what SYSCALL put there; the rest is ring 3's. */
compat_syscall:
    mov %rdi, CPU(CPU_SCRATCH)
    mov %rsp, %rdi
    mov CPU(CPU_REGS_END), %rsp
    pushq $GDT_USER_DATA
    pushq 40(%rdi)
    push %r11
    pushq $GDT_USER_CODE32
    push %rcx
    pushq $-1
    pushq CPU(CPU_SCRATCH)
    push_registers
    mov $ENTERED_COMPAT_SYSCALL, %eax
    return_to_caller

/* Another vCPU wants this one to forget translations, to leave a root, or to come out of ring 3. */
    .balign 16
entry_nmi:
    testb $3, 8(%rsp)
    jz nmi_of_ring0
    pushq $0
    pushq $2
    jmp trap_of_ring3
nmi_of_ring0:
    push %rax
    incq CPU(CPU_NMIS_BEGUN)
    mov %cr3, %rax
    cmp %rax, CPU(CPU_EVICT_ROOT)
    jne 1f
    mov CPU(CPU_SAFE_ROOT), %rax
1:  mov %rax, %cr3
    mov CPU(CPU_NMIS_BEGUN), %rax
    mov %rax, CPU(CPU_NMIS_DONE)
    pop %rax
    iretq
entry_end:

    .section .note.GNU-stack, "", @progbits
