/* SPDX-License-Identifier: MIT */
/*
 * stub.S - all of ring 0 in a hosted sandbox: into ring 3, out of it by one `out`, and the page-table edits on the way in.
 *
 * Two flavours, chosen by the monitor for what this KVM is good at:
 *   native        ring 0 runs on the CPU. Registers travel through the data page: thirty moves are far cheaper than
 *                 KVM_CAP_SYNC_REGS. Needs CR4.FSGSBASE.
 *   synchronised  ring 0 may be interpreted one instruction at a time (PVM: 0.3 us each). One instruction per trap, one per
 *                 entry; registers travel through KVM_CAP_SYNC_REGS.
 *
 * Position-independent: each vCPU runs it at an alias of its own with its own data page AREA_DATA bytes further on.
 * Nothing here trusts a register that ring 3 has left behind. Interrupts stay off in ring 0.
 */
#include <polder/abi.h>

    .code64
    .section .text.stub, "ax", @progbits
    .globl stub_begin
stub_begin:

/* Where the monitor finds its way: offsets from stub_begin, in the order of struct stub_header (monitor/stub.h). */
    .long native_vectors - stub_begin
    .long native_syscall - stub_begin
    .long native_resume - stub_begin
    .long native_enter_edits - stub_begin
    .long native_enter_cr3 - stub_begin
    .long native_enter_bases - stub_begin
    .long native_enter - stub_begin
    .long native_iret_nmi - stub_begin
    .long native_nmi_in_stub - stub_begin
    .long native_nmi_in_stub_out - stub_begin
    .long native_end - stub_begin
    .long sync_vectors - stub_begin
    .long sync_syscall - stub_begin
    .long sync_enter_edits - stub_begin
    .long sync_enter_cr3 - stub_begin
    .long sync_enter - stub_begin
    .long sync_exit_end - stub_begin
    .long edits_done_out - stub_begin
    .long stub_end - stub_begin

#define DATA(field) (stub_begin + AREA_DATA + (field))(%rip)

/*
 * The edits: %rsp points at DATA_EDIT_COUNT pairs of address and value, then at DATA_ZERO_COUNT addresses of pages. Page
 * tables are written by ring-0 stores only, which is what makes KVM's shadow paging see them.
 */
    .macro carry_out_edits
    mov DATA(DATA_EDIT_COUNT), %rcx
    jrcxz 2f
1:  pop %rdi
    popq (%rdi)
    dec %rcx
    jnz 1b
2:  mov DATA(DATA_ZERO_COUNT), %rdx
    test %rdx, %rdx
    jz 4f
    xor %eax, %eax
    cld
3:  pop %rdi
    mov $512, %ecx
    rep stosq
    dec %rdx
    jnz 3b
4:  movl $1, DATA(DATA_EDITS_DONE)
    jmp *DATA(DATA_AFTER_EDITS)
    .endm

/* ------------------------------------------------------------------ native */

    .balign 16
native_vectors:
    .set vector, 0
    .rept 256
    .balign 16
    .if vector == 2
    jmp native_nmi
    .else
    /* The CPU pushes an error code for these (AMD APM vol. 2, 8.2; Intel SDM vol. 3A, 6.3.1). */
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
    push $0
    .endif
    pushq $vector
    jmp native_trap
    .endif
    .set vector, vector + 1
    .endr

    .balign 16
native_nmi:
    testb $3, 8(%rsp)
    jz native_nmi_in_stub
    movl $VECTOR_NMI, DATA(DATA_VECTOR)
    jmp native_save
native_syscall:
    /* No stack is touched: %rsp is still ring 3's. */
    movl $VECTOR_SYSCALL, DATA(DATA_VECTOR)
    jmp native_save
native_trap:
    movl $VECTOR_TRAP, DATA(DATA_VECTOR)
native_save:
    mov %rax, DATA(DATA_RAX)
    mov %rbx, DATA(DATA_RBX)
    mov %rcx, DATA(DATA_RCX)
    mov %rdx, DATA(DATA_RDX)
    mov %rsi, DATA(DATA_RSI)
    mov %rdi, DATA(DATA_RDI)
    mov %rbp, DATA(DATA_RBP)
    mov %r8, DATA(DATA_R8)
    mov %r9, DATA(DATA_R9)
    mov %r10, DATA(DATA_R10)
    mov %r11, DATA(DATA_R11)
    mov %r12, DATA(DATA_R12)
    mov %r13, DATA(DATA_R13)
    mov %r14, DATA(DATA_R14)
    mov %r15, DATA(DATA_R15)
    mov %rsp, DATA(DATA_RSP)
    rdfsbase %rax
    mov %rax, DATA(DATA_FS_BASE)
    rdgsbase %rax
    mov %rax, DATA(DATA_GS_BASE)
    mov %cr2, %rax
    mov %rax, DATA(DATA_CR2)
    out %al, $PORT_TRAP
    /* From here to native_end nothing of ring 3's is in the registers: an entry that is stopped there has not happened. */
native_resume:
    mov DATA(DATA_ENTRY_RSP), %rsp
    jmp *DATA(DATA_ENTRY)

/* An NMI that hit the stub itself: nothing is saved, for what is in the data page belongs to the trap or entry under way. */
native_nmi_in_stub:
    out %al, $PORT_NMI_IN_STUB
native_nmi_in_stub_out:
    jmp native_resume

/* Back to where that NMI hit. */
native_iret_nmi:
    iretq

native_enter_edits:
    carry_out_edits
native_enter_cr3:
    mov DATA(DATA_CR3), %rax
    mov %rax, %cr3
native_enter_bases:
    /* Selectors first: loading one may clear the base. */
    xor %eax, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov DATA(DATA_FS_BASE), %rax
    wrfsbase %rax
    mov DATA(DATA_GS_BASE), %rax
    wrgsbase %rax
native_enter:
    lea DATA(DATA_IRET_FRAME), %rsp
    mov DATA(DATA_RAX), %rax
    mov DATA(DATA_RBX), %rbx
    mov DATA(DATA_RCX), %rcx
    mov DATA(DATA_RDX), %rdx
    mov DATA(DATA_RSI), %rsi
    mov DATA(DATA_RDI), %rdi
    mov DATA(DATA_RBP), %rbp
    mov DATA(DATA_R8), %r8
    mov DATA(DATA_R9), %r9
    mov DATA(DATA_R10), %r10
    mov DATA(DATA_R11), %r11
    mov DATA(DATA_R12), %r12
    mov DATA(DATA_R13), %r13
    mov DATA(DATA_R14), %r14
    mov DATA(DATA_R15), %r15
    iretq

/* More edits than one list holds: come back for the rest without having been in ring 3. */
edits_done_out:
    out %ax, $PORT_EDITS_DONE
    jmp native_resume
native_end:

/* ------------------------------------------------------------ synchronised */

    .balign 16
sync_vectors:
    .set vector, 0
    .rept 256
    .balign 4
    out %al, $vector
    .set vector, vector + 1
    .endr
sync_syscall:
    out %eax, $0
    nop
sync_exit_end:

sync_enter_edits:
    carry_out_edits
sync_enter_cr3:
    mov DATA(DATA_CR3), %rax
    mov %rax, %cr3
    mov DATA(DATA_RAX), %rax
    mov DATA(DATA_RCX), %rcx
    mov DATA(DATA_RDX), %rdx
    mov DATA(DATA_RDI), %rdi
    lea DATA(DATA_IRET_FRAME), %rsp
sync_enter:
    iretq

    .globl stub_end
stub_end:
    .section .note.GNU-stack, "", @progbits
