/* SPDX-License-Identifier: MIT */
/* The innocent context's code; position-independent, copied to ATTACK_CODE of its space. DATA is sandbox.h's BOX_DATA. */
#define DATA 0x20000000

    .text
    .balign 16
    .globl innocent_begin, innocent_end, innocent_look, innocent_set, innocent_look_end, innocent_set_end
innocent_begin:

/* Stores all that ring 3 can see of its registers, changes none but rsp's memory, and makes its system call. */
innocent_look:
    movq %rax, DATA
    movq %rbx, DATA + 8
    movq %rcx, DATA + 16
    movq %rdx, DATA + 24
    movq %rsi, DATA + 32
    movq %rdi, DATA + 40
    movq %rbp, DATA + 48
    movq %rsp, DATA + 56
    movq %r8, DATA + 64
    movq %r9, DATA + 72
    movq %r10, DATA + 80
    movq %r11, DATA + 88
    movq %r12, DATA + 96
    movq %r13, DATA + 104
    movq %r14, DATA + 112
    movq %r15, DATA + 120
    pushfq
    popq DATA + 128
    movw %cs, DATA + 136
    movw %ss, DATA + 144
    fxsave64 DATA + 1024
    /* Through both bases, to words that are there. */
    movq %fs:0, %rbx
    movq %gs:8, %r12
    movq %rbx, DATA + 152
    movq %r12, DATA + 160
    syscall
innocent_look_end:
    ud2

/* From DATA + 2048: an FXSAVE image. */
innocent_set:
    fninit
    fxrstor64 DATA + 2048
    fxsave64 DATA + 1024
    syscall
innocent_set_end:
    ud2
innocent_end:

    .section .note.GNU-stack, "", @progbits
