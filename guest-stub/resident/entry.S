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

#define THE_CPU (POLDER_STUB_BASE + AREA_KERNEL)

    .code64
    .section .text.entry, "ax", @progbits
    .globl polder_run_sandbox
    .globl entry_begin, entry_vectors, entry_syscall, entry_syscall_msrs, entry_page_fault_msrs, entry_end, enter_ring3
    .hidden entry_begin, entry_vectors, entry_syscall, entry_syscall_msrs, entry_page_fault_msrs, entry_end, enter_ring3
    .hidden run_sandbox, run_trapped
entry_begin:

    .macro pop_ring3
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
    .endm

    .macro push_callee_saved
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    .endm

    .macro pop_callee_saved
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    .endm

/*
 * int polder_run_sandbox(int mm_fd, struct polder_params *params)
 *
 * The short way, for the call that repeats the last one: the same descriptor, whose space is still loaded and unchanged,
 * and the same params, whose FPU state is still in the registers, with nothing asked for but to go on. Whatever makes
 * one of these untrue takes CPU_READY_PARAMS away (cpu_not_ready), and they are only ever there on a machine with one vCPU.
 * All else goes the long way, in C; so does what comes out otherwise than by a system call.
 */
    .macro check_the_rest
    mov PARAMS_CONTEXT(%rsi), %rcx
    xor CPU_FPU_OWNER(%rax), %rcx /* params may have been made anew where the old ones were */
    or PARAMS_FLAGS(%rsi), %rcx /* and what fills up to 8 bytes */
    or PARAMS_SIGMASK(%rsi), %rcx
    or PARAMS_DEADLINE(%rsi), %rcx
    or PARAMS_KICKED(%rsi), %rcx
    jnz run_sandbox
    cmpq $GDT_USER_CODE, PARAMS_CS(%rsi)
    jne run_sandbox
    cmpq $GDT_USER_DATA, PARAMS_SS(%rsi)
    jne run_sandbox
    testl $0xffff8000, PARAMS_RIP_HIGH(%rsi)
    jnz run_sandbox
    .endm

    .macro enter_the_short_way
    andq $EFLAGS_RING3, PARAMS_EFLAGS(%rsi)
    orq $EFLAGS_FIXED, PARAMS_EFLAGS(%rsi)
    push_callee_saved
    mov %rsp, CPU_KERNEL_RSP(%rax)
    mov %rsi, %rsp
    pop_ring3
    .endm

    .balign 16
polder_run_sandbox:
    movabs $THE_CPU, %rax
    cmp %edi, CPU_READY_FD(%rax)
    jne run_sandbox
    cmp %rsi, CPU_READY_PARAMS(%rax)
    jne 1f
    check_the_rest
    rdfsbase %rcx
    cmp %rcx, PARAMS_FS_BASE(%rsi)
    jne run_sandbox
    rdgsbase %rcx
    cmp %rcx, PARAMS_GS_BASE(%rsi)
    jne run_sandbox
    enter_the_short_way
/* The same where there are no such instructions, but what was loaded is known. */
1:  cmp %rsi, CPU_READY_PARAMS_MSRS(%rax)
    jne run_sandbox
    check_the_rest
    mov CPU_FS_BASE(%rax), %rcx
    cmp %rcx, PARAMS_FS_BASE(%rsi)
    jne run_sandbox
    mov CPU_GS_BASE(%rax), %rcx
    cmp %rcx, PARAMS_GS_BASE(%rsi)
    jne run_sandbox
    enter_the_short_way

/*
 * rdi: params, esi: what. If ring 3 is to go on, it does so from here: were it called from C, every fault of a run would
 * make the stack deeper. At the image's own address.
 */
    .balign 16
trapped_on_the_short_way:
    push %rdi
    call run_trapped
    pop %rsi
    cmp $RUN_GOES_ON, %eax
    je 1f
    ret
1:  movabs $THE_CPU, %rax
    mov CPU_READY_FD(%rax), %edi
    jmp polder_run_sandbox

/* unsigned enter_ring3(struct cpu *, struct user_regs_struct *). Called at the image's own address. */
    .balign 16
enter_ring3:
    push_callee_saved
    lea 168(%rsi), %rax
    mov %rax, CPU_REGS_END(%rdi)
    movq $0, CPU_SHORT(%rdi)
    mov %rsp, CPU_KERNEL_RSP(%rdi)
enter_begin: /* an NMI from here to the iretq goes to enter_refused, so that no kick is too late for this look */
    cmpl $0, PARAMS_KICKED(%rsi)
    jne enter_refused
    mov %rsi, %rsp
    pop_ring3
enter_end:

/* What ring 3 would have had is in the params still: as if an NMI had come at once. */
enter_refused:
    mov $(ENTERED_VECTOR | 2), %eax
    pop_callee_saved
    ret

    .macro push_registers rax=%rax
    push %rsi
    push %rdx
    push %rcx
    push \rax
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

/* eax: what came out. After the short way, trapped_on_the_short_way goes on with it. */
    .macro return_to_caller
    mov CPU(CPU_KERNEL_RSP), %rsp
    pop_callee_saved
    mov CPU(CPU_SHORT), %rdi
    test %rdi, %rdi
    jnz 9f
    ret
9:  mov %eax, %esi
    mov $trapped_on_the_short_way, %rax
    jmp *%rax
    .endm

    .macro save_syscall
    mov CPU(CPU_REGS_END), %rsp
    pushq $GDT_USER_DATA
    pushq CPU(CPU_USER_RSP)
    push %r11
    pushq $GDT_USER_CODE
    push %rcx
    push %rax /* orig_rax */
    push %rdi
    push_registers $-38           /* -ENOSYS */
    movq $1, PARAMS_REASON(%rsp)  /* POLDER_SYSCALL, and vector 0 */
    movq $0, PARAMS_ERROR_CODE(%rsp)
    movq $0, PARAMS_FAULT_ADDR(%rsp)
    .endm

    .macro save_base_msr msr, to_params, to_cpu
    mov $\msr, %ecx
    rdmsr
    shl $32, %rdx
    or %rdx, %rax
    mov %rax, \to_params(%rsp)
    mov %rax, CPU(\to_cpu)
    .endm

    .macro return_syscall
    mov CPU(CPU_KERNEL_RSP), %rsp
    xor %eax, %eax
    pop_callee_saved
    ret
    .endm

    .balign 16
entry_syscall:
    mov %rsp, CPU(CPU_USER_RSP)
    save_syscall
    rdfsbase %rax
    mov %rax, PARAMS_FS_BASE(%rsp)
    rdgsbase %rax
    mov %rax, PARAMS_GS_BASE(%rsp)
    return_syscall

    .balign 16
entry_syscall_msrs:
    mov %rsp, CPU(CPU_USER_RSP)
go_on_with_syscall_msrs:
    save_syscall
    save_base_msr 0xc0000100, PARAMS_FS_BASE, CPU_FS_BASE
    save_base_msr 0xc0000101, PARAMS_GS_BASE, CPU_GS_BASE
    return_syscall

/*
 * PVM: SYSCALL arrives at LSTAR with CPL still 3, and the fetch there faults. A page fault of ring 3 at LSTAR is that
 * system call. What a sandbox gets by jumping to LSTAR is what SYSCALL with these RCX and R11 gives, once R11 is made
 * what SYSCALL could have left; where RCX cannot be, it stays a page fault. Not on CPUs that know FSGSBASE: there SYSCALL
 * does what the manual says.
 */
    .balign 16
entry_page_fault_msrs:
    mov %rax, CPU(CPU_SCRATCH)
    lea entry_syscall_msrs(%rip), %rax
    cmp %rax, 8(%rsp)
    jne 1f
    testb $4, (%rsp)
    jz 1f
    mov %rcx, %rax
    shr $47, %rax
    jnz 1f
    pushq 32(%rsp)
    popq CPU(CPU_USER_RSP)
    mov CPU(CPU_SCRATCH), %rax
    and $EFLAGS_RING3 & ~EFLAGS_RF, %r11d
    or $EFLAGS_FIXED, %r11
    cld
    jmp go_on_with_syscall_msrs
1:  mov CPU(CPU_SCRATCH), %rax
    pushq $14
    jmp entry_trap

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
1:  or $ENTERED_VECTOR, %eax
    cld /* a gate, unlike SYSCALL, leaves it as ring 3 had it, and C counts on it */
    cmp $(ENTERED_VECTOR | 2), %eax
    je after_nmi
    return_to_caller

/* Translations are forgotten, and who waits for that is told; a root that dies is left. rax is lost. */
    .macro take_nmi
    incq CPU(CPU_NMIS_BEGUN)
    mov %cr3, %rax
    cmp %rax, CPU(CPU_EVICT_ROOT)
    jne 1f
    mov CPU(CPU_SAFE_ROOT), %rax
1:  mov %rax, %cr3
    mov CPU(CPU_NMIS_BEGUN), %rax
    mov %rax, CPU(CPU_NMIS_DONE)
    .endm

/* The kernel's own translations are kept in ring 3 too. NMIs are blocked until an IRET, and C may stay for ever: others
 * wait for this vCPU to take theirs. */
after_nmi:
    take_nmi
    mov $(ENTERED_VECTOR | 2), %eax
    mov CPU(CPU_KERNEL_RSP), %rsp
    mov %rsp, %rdx
    mov %ss, %ecx
    push %rcx
    push %rdx
    pushfq
    pushq $GDT_KERNEL_CODE
    lea 1f(%rip), %rcx
    push %rcx
    iretq
1:  return_to_caller

trap_of_ring0:
    cmpq $32, (%rsp)
    jae interrupt_of_ring0
    cmpq $1, (%rsp)
    je debug_of_ring0
    /* SYSCALL of 32-bit code goes to CSTAR, with ring 3's stack pointer, all 64 bits of it: what that is says nothing. */
    cmpq $COMPAT_RIP, 16(%rsp)
    je compat_syscall
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
    je 1f
    lea entry_syscall_msrs(%rip), %rax
    cmp %rax, 16(%rsp)
    je 1f
    cmpq $COMPAT_RIP, 16(%rsp)
1:  mov CPU(CPU_SCRATCH), %rax
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
    take_nmi
    mov 8(%rsp), %rax /* rip, in the image, where enter_ring3 is called */
    cmp $enter_begin, %rax
    jb 2f
    cmp $enter_end, %rax
    jae 2f
    movq $enter_refused, 8(%rsp)
    mov CPU(CPU_KERNEL_RSP), %rax
    mov %rax, 32(%rsp)
2:  pop %rax
    iretq
entry_end:

    .section .note.GNU-stack, "", @progbits
