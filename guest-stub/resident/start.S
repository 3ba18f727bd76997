/* SPDX-License-Identifier: MIT */
/* start.S - where `polder boot` enters, on vCPU 0 and on those that polder_cpu_start starts. */
#include <polder/abi.h>

POLDER_BOOT_NOTE

    .code64
    .section .text.start, "ax", @progbits
    .globl _start
_start:
    lea boot_stack_top(%rip), %rsp
    xor %ebp, %ebp
    call resident_start
1:  hlt
    jmp 1b

/* rdi: what polder_cpu_start handed to HC_START_CPU; rsp: its stack. */
    .globl start_secondary
    .hidden start_secondary
start_secondary:
    xor %ebp, %ebp
    call resident_start_secondary
2:  hlt
    jmp 2b

    .section .bss.boot_stack, "aw", @nobits
    .balign 4096
    .skip 65536
boot_stack_top:

    .section .note.GNU-stack, "", @progbits
