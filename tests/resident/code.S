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

    .balign 8
    .globl code_end
code_end:
    .balign 4096
    .section .note.GNU-stack, "", @progbits
