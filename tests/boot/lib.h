/* SPDX-License-Identifier: MIT */
/* What the test kernels share. They are written against abi.h alone, and for a KVM that interprets ring 0: plain
 * instructions only. */
#include <polder/abi.h>

/* Guest-physical address of a symbol: the image begins at BOOT_IMAGE_MIN (kernel.ld). */
/* clang-format off */ /* the assembler takes a space for the end of a macro's argument */
#define PHYS(symbol) (symbol+BOOT_RAM_BASE-BOOT_IMAGE_MIN)
#define RAM_LIMIT 0x4000000 /* --memory of every test */
#define NOWHERE (BOOT_RAM_BASE+RAM_LIMIT-0x1000)
#define FILE_WINDOW (BOOT_RAM_BASE+RAM_LIMIT)
/* clang-format on */

/* A hypercall with constants; result in rax, and everything else as it was. */
.macro hypercall number, a0=0, a1=0, a2=0, a3=0
    movq $\number, %gs:DATA_CALL
    movabs $\a0, %rax
    mov %rax, %gs:DATA_CALL_ARG(0)
    movabs $\a1, %rax
    mov %rax, %gs:DATA_CALL_ARG(1)
    movabs $\a2, %rax
    mov %rax, %gs:DATA_CALL_ARG(2)
    movabs $\a3, %rax
    mov %rax, %gs:DATA_CALL_ARG(3)
    out %al, $PORT_HYPERCALL
    mov %gs:DATA_CALL_RESULT, %rax
.endm

.macro say text
    .pushsection .rodata.text, "a"
771: .asciz "\text"
    .popsection
    lea 771b(%rip), %rsi
    call print
.endm

.macro shutdown status=0
    hypercall HC_SHUTDOWN, \status
    ud2
.endm

/* A gate of the IDT for a handler of the test's: the same as the one that is there, but for the address. */
.macro set_gate vector, handler, cpu=0
    lea \handler(%rip), %rax
    movabs $POLDER_STUB_BASE + \cpu * AREA_STRIDE + AREA_IDT + 16 * \vector, %rdi
    mov %ax, (%rdi)
    shr $16, %rax
    mov %ax, 6(%rdi)
    shr $16, %rax
    mov %eax, 8(%rdi)
.endm

.macro kernel name
    .text
    .globl \name
    .type \name, @function
\name:
    lea stack_top(%rip), %rsp
    xor %ebp, %ebp
.endm
