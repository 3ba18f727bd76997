/* SPDX-License-Identifier: MIT */
#include "lib.h"

POLDER_BOOT_NOTE

    .text
/* rsi: a string. Changes rax. */
    .globl print
    .type print, @function
print:
    push %rcx
    xor %ecx, %ecx
1:  cmpb $0, (%rsi,%rcx)
    je 2f
    inc %rcx
    jmp 1b
2:  call print_bytes
    pop %rcx
    ret

/* rsi, rcx: bytes of the image. */
    .globl print_bytes
print_bytes:
    movq $HC_CONSOLE_WRITE, %gs:DATA_CALL
    movabs $BOOT_RAM_BASE - BOOT_IMAGE_MIN, %rax
    add %rsi, %rax
    mov %rax, %gs:DATA_CALL_ARG(0)
    mov %rcx, %gs:DATA_CALL_ARG(1)
    out %al, $PORT_HYPERCALL
    ret

/* rax: a number, printed signed, in decimal, with a newline. Changes rsi. */
    .globl print_number
    .type print_number, @function
print_number:
    push %rax
    push %rbx
    push %rcx
    push %rdx
    lea digits_end(%rip), %rsi
    mov $10, %ebx
    mov %rax, %rcx
    test %rax, %rax
    jns 1f
    neg %rax
1:  xor %edx, %edx
    div %rbx
    add $'0', %dl
    dec %rsi
    mov %dl, (%rsi)
    test %rax, %rax
    jnz 1b
    test %rcx, %rcx
    jns 2f
    dec %rsi
    movb $'-', (%rsi)
2:  call print
    pop %rdx
    pop %rcx
    pop %rbx
    pop %rax
    ret

    .data
    .skip 24
digits_end:
    .asciz "\n"

    .bss
    .balign 4096
    .skip 8192
    .globl stack_top
stack_top:
    .section .note.GNU-stack, "", @progbits
