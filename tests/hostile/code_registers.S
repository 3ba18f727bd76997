/* SPDX-License-Identifier: MIT */
/* Code that moves registers; copied to ATTACK_CODE. */
#define DATA 0x20000000 /* sandbox.h's BOX_DATA */

.macro piece name
    .balign 8
    .globl \name
\name:
.endm

    .text
    .balign 16
    .globl registers_begin, registers_end
registers_begin:

piece registers_load /* all of them from DATA */
    movq DATA, %rax
    movq DATA+8, %rbx
    movq DATA+16, %rcx
    movq DATA+24, %rdx
    movq DATA+32, %rsi
    movq DATA+40, %rdi
    movq DATA+48, %rbp
    movq DATA+56, %rsp
    movq DATA+64, %r8
    movq DATA+72, %r9
    movq DATA+80, %r10
    movq DATA+88, %r11
    movq DATA+96, %r12
    movq DATA+104, %r13
    movq DATA+112, %r14
    movq DATA+120, %r15
    ud2

piece registers_store_backwards /* a write with the direction flag set */
    std
    movb $7, (%rdi)
    syscall

piece registers_flags
    pushfq
    popq %rbx
    .globl registers_flags_end
registers_flags_end:
    ud2

piece registers_write_fs
    wrfsbase %rdi
    .globl registers_write_fs_end
registers_write_fs_end:
    ud2

piece registers_write_gs
    wrgsbase %rdi
    .globl registers_write_gs_end
registers_write_gs_end:
    ud2

piece registers_read_bases
    rdfsbase %rbx
    rdgsbase %r12
    syscall

piece registers_through_fs
    movq %fs:(%rdi), %rbx
    syscall

piece registers_through_gs
    movq %gs:(%rdi), %rbx
    syscall

    .balign 8
registers_end:

    .section .note.GNU-stack, "", @progbits
