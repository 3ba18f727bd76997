/* SPDX-License-Identifier: MIT */
/*
 * Ring 3's ways to reach memory, as a table for test_privileged.c (struct access): the instructions are copied to
 * ATTACK_CODE of a space and need no address of their own.
 */
#define LOAD 4
#define STORE 6
#define FETCH 20
#define NONE 0 /* a hint, or nothing is left of it: no fault */

/* Which register leads there: RSP is what a push begins above. */
#define RDI 0
#define RSI 1
#define RSP 2
#define PUSH 3

#define EXACT 0
#define ANY 1     /* the processor may report any byte of it, and a load before a store */
#define MAYBE 2   /* there are processors that do not have it, or keep it for ring 0 */
#define CACHE 4   /* QEMU's emulation has no caches, and looks at no address */
#define NOT_TCG 8 /* QEMU's emulation does it with ring 0's rights, touches more than it should, or ends itself */

/*
 * `size` bytes are touched (0: what is touched before the fault is part of the architecture), at an address that must be
 * aligned to `align`; what must be done before it is `before`.
 */
    .macro access name, base, way, size, align, flags, insn, before
    .section .rodata
1:  .asciz "\name"
    .text
2:
    .ifnb \before
    \before
    .endif
3:  \insn
4:  .section .data
    .balign 8
    .quad 1b, 2b
    .byte 3b - 2b, 4b - 2b, \way, \base
    .short \size, \align
    .long \flags
    .endm

    .section .data
    .balign 8
    .globl privileged_accesses, privileged_accesses_end
privileged_accesses:
    access "load of 8 bytes", RDI, LOAD, 8, 1, EXACT, "mov (%rdi), %rax"
    access "load of 4 bytes", RDI, LOAD, 4, 1, EXACT, "mov (%rdi), %eax"
    access "load of 2 bytes", RDI, LOAD, 2, 1, EXACT, "mov (%rdi), %ax"
    access "load of a byte", RDI, LOAD, 1, 1, EXACT, "mov (%rdi), %al"
    access "store of 8 bytes", RDI, STORE, 8, 1, EXACT, "mov %rax, (%rdi)"
    access "store of 4 bytes", RDI, STORE, 4, 1, EXACT, "mov %eax, (%rdi)"
    access "store of 2 bytes", RDI, STORE, 2, 1, EXACT, "mov %ax, (%rdi)"
    access "store of a byte", RDI, STORE, 1, 1, EXACT, "mov %al, (%rdi)"
    access "test", RDI, LOAD, 8, 1, EXACT, "test %rax, (%rdi)"
    access "add to it", RDI, STORE, 8, 1, ANY, "add %rax, (%rdi)"
    access "lock inc", RDI, STORE, 8, 8, EXACT, "lock incq (%rdi)"
    access "lock xadd", RDI, STORE, 8, 8, ANY, "lock xadd %rax, (%rdi)"
    access "xchg", RDI, STORE, 8, 8, EXACT, "xchg %rax, (%rdi)"
    access "cmpxchg", RDI, STORE, 8, 8, ANY, "cmpxchg %rcx, (%rdi)"
    access "cmpxchg8b", RDI, STORE, 8, 8, ANY, "lock cmpxchg8b (%rdi)"
    access "cmpxchg16b", RDI, STORE, 16, 16, ANY, "lock cmpxchg16b (%rdi)"
    access "bts", RDI, STORE, 8, 8, ANY, "btsq $3, (%rdi)"
    access "bt far away", RDI, LOAD, 0, 1, EXACT, "bt %rax, (%rdi)", "xor %eax, %eax"
    access "movbe", RDI, LOAD, 8, 1, MAYBE, "movbe (%rdi), %rax"
    access "crc32", RDI, LOAD, 8, 1, MAYBE, "crc32q (%rdi), %rax"

    access "push", PUSH, STORE, 8, 1, EXACT, "push %rax"
    access "push of 2 bytes", RSP, STORE, 0, 1, EXACT, "push %ax", "lea 2(%rsp), %rsp"
    access "pop", RSP, LOAD, 8, 1, EXACT, "pop %rax"
    access "call", PUSH, STORE, 8, 1, EXACT, "call . + 5"
    access "ret", RSP, LOAD, 8, 1, EXACT, "ret"
    access "enter", PUSH, STORE, 0, 1, ANY, "enter $16, $0"
    access "enter of three levels", PUSH, STORE, 0, 1, ANY, "enter $16, $3", "mov %rsi, %rbp"
    access "leave", RSI, LOAD, 0, 1, EXACT, "leave", "mov %rsi, %rbp"
    access "pushf", PUSH, STORE, 8, 1, EXACT, "pushf"
    access "popf", RSP, LOAD, 8, 1, EXACT, "popf"
    access "push of what is there", RDI, LOAD, 8, 1, EXACT, "push (%rdi)"
    access "pop to there", RDI, STORE, 8, 1, EXACT, "pop (%rdi)"
    access "far return", RSP, LOAD, 0, 1, ANY | NOT_TCG, "lretq"
    access "iret", RSP, LOAD, 0, 1, ANY | NOT_TCG, "iretq"

    access "rep movsb to it", RDI, STORE, 0, 1, EXACT, "rep movsb"
    access "rep movsb from it", RSI, LOAD, 0, 1, EXACT, "rep movsb"
    access "rep movsq to it", RDI, STORE, 0, 1, EXACT, "rep movsq"
    access "rep movsq from it", RSI, LOAD, 0, 1, EXACT, "rep movsq"
    access "rep movsb of nothing", RDI, NONE, 0, 1, EXACT, "rep movsb", "xor %ecx, %ecx"
    access "rep stosb", RDI, STORE, 0, 1, EXACT, "rep stosb"
    access "rep stosq", RDI, STORE, 0, 1, EXACT, "rep stosq"
    access "lodsq", RSI, LOAD, 8, 1, EXACT, "lodsq"
    access "rep lodsb", RSI, LOAD, 0, 1, EXACT, "rep lodsb"
    access "scasb", RDI, LOAD, 1, 1, EXACT, "scasb"
    access "repne scasq", RDI, LOAD, 0, 1, EXACT, "repne scasq"
    access "cmpsb with it", RSI, LOAD, 1, 1, EXACT, "cmpsb"
    access "rep cmpsq with it", RDI, LOAD, 0, 1, EXACT, "repe cmpsq"
    access "xlat", RDI, LOAD, 1, 1, EXACT, "xlat", "mov %rdi, %rbx; xor %al, %al"

    access "movups from it", RDI, LOAD, 16, 1, EXACT, "movups (%rdi), %xmm0"
    access "movups to it", RDI, STORE, 16, 1, EXACT, "movups %xmm0, (%rdi)"
    access "movaps from it", RDI, LOAD, 16, 16, EXACT, "movaps (%rdi), %xmm0"
    access "movntdq", RDI, STORE, 16, 16, EXACT, "movntdq %xmm0, (%rdi)"
    access "movnti", RDI, STORE, 8, 1, EXACT, "movnti %rax, (%rdi)"
    access "maskmovdqu", RDI, STORE, 16, 1, ANY, "maskmovdqu %xmm1, %xmm0", "pcmpeqd %xmm1, %xmm1"
    access "vmovups of 32 bytes from it", RDI, LOAD, 32, 1, ANY | MAYBE, "vmovups (%rdi), %ymm0"
    access "vmovups of 32 bytes to it", RDI, STORE, 32, 1, ANY | MAYBE, "vmovups %ymm0, (%rdi)"
    access "vpmaskmovd from it", RDI, LOAD, 16, 1, ANY | MAYBE, "vpmaskmovd (%rdi), %xmm1, %xmm0", "pcmpeqd %xmm1, %xmm1"
    access "vpmaskmovd from it, no lane", RDI, NONE, 0, 1, MAYBE | NOT_TCG, "vpmaskmovd (%rdi), %xmm1, %xmm0", "pxor %xmm1, %xmm1"
    access "vpmaskmovd to it, no lane", RDI, NONE, 0, 1, MAYBE | NOT_TCG, "vpmaskmovd %xmm0, %xmm1, (%rdi)", "pxor %xmm1, %xmm1"
    access "vpgatherdd", RDI, LOAD, 0, 1, ANY | MAYBE, "vpgatherdd %xmm1, (%rdi, %xmm0, 1), %xmm2", "pcmpeqd %xmm1, %xmm1; pxor %xmm0, %xmm0"
    access "vpgatherdd, no lane", RDI, NONE, 0, 1, MAYBE, "vpgatherdd %xmm1, (%rdi, %xmm0, 1), %xmm2", "pxor %xmm1, %xmm1; pxor %xmm0, %xmm0"
    access "vmovdqu32 from it", RDI, LOAD, 64, 1, ANY | MAYBE | NOT_TCG, "vmovdqu32 (%rdi), %zmm0"
    access "vmovdqu32 to it", RDI, STORE, 64, 1, ANY | MAYBE | NOT_TCG, "vmovdqu32 %zmm0, (%rdi)"

    access "fld of 80 bits", RDI, LOAD, 10, 1, ANY, "fldt (%rdi)"
    access "fstp of 80 bits", RDI, STORE, 10, 1, ANY, "fstpt (%rdi)"
    access "fild", RDI, LOAD, 8, 1, ANY, "fildll (%rdi)"
    access "fnstenv", RDI, STORE, 28, 1, ANY, "fnstenv (%rdi)"
    access "fldenv", RDI, LOAD, 10, 1, ANY, "fldenv (%rdi)"
    access "fnsave", RDI, STORE, 108, 1, ANY, "fnsave (%rdi)"
    access "frstor", RDI, LOAD, 108, 1, ANY, "frstor (%rdi)"
    access "fnstcw", RDI, STORE, 2, 1, EXACT, "fnstcw (%rdi)"
    access "fxsave", RDI, STORE, 416, 16, ANY, "fxsave64 (%rdi)"
    access "fxrstor", RDI, LOAD, 416, 16, ANY, "fxrstor64 (%rdi)"
    access "stmxcsr", RDI, STORE, 4, 1, EXACT, "stmxcsr (%rdi)"
    access "ldmxcsr", RDI, LOAD, 4, 1, EXACT, "ldmxcsr (%rdi)"
    access "xsave", RDI, STORE, 576, 64, ANY | MAYBE, "xsave64 (%rdi)", "xor %edx, %edx; mov $3, %eax"
    access "xsaveopt", RDI, STORE, 0, 64, ANY | MAYBE, "xsaveopt64 (%rdi)", "xor %edx, %edx; mov $3, %eax"
    access "xsavec", RDI, STORE, 0, 64, ANY | MAYBE, "xsavec64 (%rdi)", "xor %edx, %edx; mov $3, %eax"
    access "xrstor", RDI, LOAD, 576, 64, ANY | MAYBE, "xrstor64 (%rdi)", "xor %edx, %edx; mov $3, %eax"
    access "sgdt", RDI, STORE, 0, 1, ANY | MAYBE, "sgdt (%rdi)"
    access "sidt", RDI, STORE, 0, 1, ANY | MAYBE, "sidt (%rdi)"
    access "str", RDI, STORE, 2, 1, ANY | MAYBE, "str (%rdi)"

    access "clflush", RDI, LOAD, 1, 1, CACHE, "clflush (%rdi)"
    access "clflushopt", RDI, LOAD, 1, 1, CACHE | MAYBE, "clflushopt (%rdi)"
    access "clwb", RDI, LOAD, 1, 1, CACHE | MAYBE, "clwb (%rdi)"
    access "cldemote", RDI, NONE, 0, 1, EXACT, "cldemote (%rdi)"
    access "prefetcht0", RDI, NONE, 0, 1, EXACT, "prefetcht0 (%rdi)"
    access "prefetcht1", RDI, NONE, 0, 1, EXACT, "prefetcht1 (%rdi)"
    access "prefetcht2", RDI, NONE, 0, 1, EXACT, "prefetcht2 (%rdi)"
    access "prefetchnta", RDI, NONE, 0, 1, EXACT, "prefetchnta (%rdi)"
    access "prefetchw", RDI, NONE, 0, 1, EXACT, "prefetchw (%rdi)"
    access "prefetchwt1", RDI, NONE, 0, 1, EXACT, "prefetchwt1 (%rdi)"
    access "nop with an operand", RDI, NONE, 0, 1, EXACT, "nopw (%rdi)"
    access "lea", RDI, NONE, 0, 1, EXACT, "lea (%rdi), %rax"

    access "jump", RDI, FETCH, 0, 1, EXACT, "jmp *%rdi"
    access "call of it", RDI, FETCH, 0, 1, EXACT, "call *%rdi"
    access "return to it", RDI, FETCH, 0, 1, EXACT, "ret", "push %rdi"
    access "jump through it", RDI, LOAD, 8, 1, EXACT, "jmp *(%rdi)"
    access "call through it", RDI, LOAD, 8, 1, EXACT, "call *(%rdi)"
    access "far jump through it", RDI, LOAD, 10, 1, ANY, ".byte 0x48; ljmp *(%rdi)"
    access "far call through it", RDI, LOAD, 10, 1, ANY, ".byte 0x48; lcall *(%rdi)"
    access "lss", RDI, LOAD, 6, 1, ANY, "lss (%rdi), %eax"
    access "lfs", RDI, LOAD, 6, 1, ANY, "lfs (%rdi), %eax"
    access "mov to fs", RDI, LOAD, 2, 1, ANY, "mov (%rdi), %fs"
    access "lar of it", RDI, LOAD, 2, 1, EXACT, "lar (%rdi), %rax"
    access "verw", RDI, LOAD, 2, 1, EXACT, "verw (%rdi)"
    .section .data
privileged_accesses_end:
    .quad 0

    .section .note.GNU-stack, "", @progbits
