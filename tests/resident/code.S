/* SPDX-License-Identifier: MIT */
/* Ring-3 code of the tests here; position-independent, see tests/kvm/snippets.S. */
#define DATA 0x20000000 /* sandbox.h's BOX_DATA */

.macro snippet name
    .balign 8
    .globl \name
\name:
.endm

    .text
    .balign 4096
    .globl code_begin
code_begin:

snippet code_prefetch
    prefetcht0 (%rdi)
    prefetcht2 (%rdi)
    prefetchnta (%rdi)
    syscall

snippet code_clflush
    clflush (%rdi)
    syscall

snippet code_copy /* rcx bytes from rsi to rdi */
    rep movsb
    syscall

snippet code_fill
    rep stosb
    syscall

snippet code_mov_ss /* what MOV SS holds back comes after the SYSCALL */
    mov %ebx, %ss
    syscall
    .globl code_mov_ss_end
code_mov_ss_end:
    ud2

snippet code_int1
    .byte 0xf1
    .globl code_int1_end
code_int1_end:
    ud2

snippet code_compat_syscall /* SYSCALL in code of 32 bits, with a stack pointer of 64 */
    mov %rsi, %rsp
    ljmp *(%rdi)
snippet code_compat_target
    .byte 0x0f, 0x05
    .globl code_compat_target_end
code_compat_target_end:
    .byte 0x0f, 0x0b

snippet code_load_registers /* all of them from DATA, rdi last; then the system call */
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

snippet code_loop /* rcx times round; every instruction is 3 bytes long */
1:  add $3, %eax
    sub $1, %ecx
    nopl (%rax)
    jrcxz 2f
    nop
    jmp 1b
2:  nopl (%rax)
    .globl code_loop_end
code_loop_end:
    ud2

snippet code_descriptors /* where the tables are: nobody's business, where the processor can keep it secret */
    sgdt (%rdi)
    sidt 16(%rdi)
    syscall

snippet code_cow /* a write with the direction flag set */
    std
    movb $7, (%rdi)
    syscall

    .balign 8
    .globl code_end
code_end:
    .balign 4096
    .section .note.GNU-stack, "", @progbits
