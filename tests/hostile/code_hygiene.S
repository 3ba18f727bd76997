/* SPDX-License-Identifier: MIT */
/* What a context sees at its first instruction, and a state full of secrets. Copied to ATTACK_CODE. */
#define DATA 0x20000000 /* sandbox.h's BOX_DATA */
#define IMAGE (DATA + 4096)
#define SEEN (DATA + 768)
#define COMPONENTS (DATA + 4088) /* for XSAVE and XRSTOR; 0 where there is neither */

    .text
    .balign 16
    .globl hygiene_begin, hygiene_end, hygiene_look, hygiene_fill, hygiene_spin, hygiene_nop, hygiene_x87
    .globl hygiene_zero, hygiene_write, hygiene_components
hygiene_begin:

hygiene_look:
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
    movq $DATA + 256, %rsp
    pushfq
    popq DATA + 128
    movw %cs, DATA + 136
    movw %ss, DATA + 138
    movw %ds, DATA + 140
    movw %es, DATA + 142
    movw %fs, DATA + 144
    movw %gs, DATA + 146
    rdfsbase %rax
    movq %rax, DATA + 152
    rdgsbase %rax
    movq %rax, DATA + 160
    fxsave64 DATA + 256
    movl COMPONENTS, %eax
    movl COMPONENTS + 4, %edx
    testl %eax, %eax
    jz 1f
    xsave64 SEEN
1:  fnstenv DATA + 196 /* the last instruction and its operand, which FXSAVE can leave out; masks exceptions */
    fldenv DATA + 196
    syscall

/*
 * From IMAGE: first the legacy part, and then everything. The last x87 instruction
 * has an operand: its address and the operand's are state too.
 */
hygiene_fill:
    fxrstor64 IMAGE
    movl COMPONENTS, %eax
    movl COMPONENTS + 4, %edx
    andl $0xe7, %eax /* not the protection keys: they would be obeyed */
    jz 1f
    xrstor64 IMAGE
1:
hygiene_x87:
    fcoms IMAGE + 64
    syscall

hygiene_spin:
    jmp hygiene_spin

hygiene_nop:
    nop
    ud2

hygiene_components: /* to rbx: XCR0, or 0 */
    movl $1, %eax
    cpuid
    xorl %ebx, %ebx
    btl $27, %ecx /* OSXSAVE */
    jnc 1f
    xorl %ecx, %ecx
    xgetbv
    movl %eax, %ebx
1:  syscall

hygiene_zero: /* are rcx words at rdi zero? UD2 after the first that is not */
    xorl %eax, %eax
    repe scasq
    je 1f
    ud2
1:  syscall

hygiene_write:
    rep stosq
    syscall
hygiene_end:

    .section .note.GNU-stack, "", @progbits
