/* SPDX-License-Identifier: MIT */
/* Kernels that fault, each in a function that a function has called: the report has to name both. */
#include "lib.h"

.macro faulty name
kernel \name
    push %rbp
    mov %rsp, %rbp
    call \name\()_fault
    pop %rbp
    shutdown 1
    .type \name\()_fault, @function
\name\()_fault:
    push %rbp
    mov %rsp, %rbp
.endm

faulty read_nowhere
    mov 0x1234, %rax

faulty write_code
    movb $0, calls(%rip)

faulty execute_data
    lea stack_top-64(%rip), %rax
    call *%rax

faulty undefined
    ud2

faulty not_canonical
    movabs $0x800000000000, %rax
    mov (%rax), %rax

/* A stack that is not there: the trap's own stack takes the frame, where the KVM knows IST. */
faulty no_stack
    movabs $0xffffa00000000000, %rsp
    push %rax

/* No handler can be called. */
faulty triple
    lidt no_idt(%rip)
    ud2

faulty hang
    jmp .

faulty wrong_port
    mov $0x3f8, %edx
    out %al, (%dx)

/* Mapped by an entry of the kernel's own, and nothing there. */
faulty beyond_ram
    movabs $FILE_WINDOW, %rcx
    call map_direct
    movabs $POLDER_DIRECT_BASE+FILE_WINDOW, %rcx
    mov (%rcx), %rax

/* The first file, which was given without rw. */
faulty write_file
    hypercall HC_FILE, 0
    mov %rax, %rcx
    call map_direct
    movabs $POLDER_DIRECT_BASE, %rax
    add %rax, %rcx
    movb $'X', (%rcx)

/* The report of ring 3's last trap, of what looks like a struct polder_params. */
faulty last_run
    lea params(%rip), %rax
    mov %rax, %gs:DATA_PARAMS
    ud2

/* Everything that a report reads is wrong. */
faulty hostile
    movabs $0xffffffffffffffff, %rax
    mov %rax, %gs:DATA_PARAMS
    lea liar(%rip), %rbp
    movabs $0xfffffffffffffffe, %rsp
    out %eax, $PORT_FAULT

/* Page tables that name page tables outside memory; a chain of frames that goes round. */
faulty hostile_tables
    lea round(%rip), %rbp
    mov %rbp, (%rbp)
    mov %cr3, %rax
    movabs $POLDER_DIRECT_BASE, %rcx
    add %rcx, %rax
    movabs $0x000ffffffffff003, %rcx
    mov %rcx, (%rax)
    mov %rcx, 8(%rax)
    movq $0x1008, %gs:DATA_PARAMS
    mov 0x1008, %rax

/* rcx: guest-physical, 2 MiB aligned: its entry in the direct map, by the tables that are there. */
    .globl map_direct
    .type map_direct, @function
map_direct:
    push %rax
    push %rbx
    push %rdx
    movabs $POLDER_DIRECT_BASE, %rbx
    mov %cr3, %rax
    mov 8*400(%rax,%rbx), %rax /* the slot of POLDER_DIRECT_BASE */
    and $~0xfff, %rax
    mov %rcx, %rdx
    shr $30, %rdx
    and $511, %edx
    lea (%rax,%rdx,8), %rax
    mov (%rax,%rbx), %rax
    and $~0xfff, %rax
    mov %rcx, %rdx
    shr $21, %rdx
    and $511, %edx
    lea (%rax,%rdx,8), %rax
    mov %rcx, %rdx
    or $0xe3, %rdx /* present, writable, accessed, dirty, 2 MiB */
    mov %rdx, (%rax,%rbx)
    pop %rdx
    pop %rbx
    pop %rax
    ret

    .section .rodata
    .balign 8
no_idt:
    .word 0
    .quad 0
liar:
    .quad 0x123456789abcdef0, -1

    .data
    .balign 16
round:
    .quad 0, calls

/* struct polder_params: the registers in the order of PTRACE_GETREGS, then what params has. */
params:
    .quad 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    .quad -38            /* rax */
    .quad 0, 0x33, 0x22, 0x11
    .quad 0x102          /* orig_rax */
    .quad 0x400123, 0x33, 0x246, 0x7ffff000, 0x2b
    .quad 0, 0, 0, 0, 0, 0
    .quad 0, 0           /* xstate */
    .long 0, 0           /* flags */
    .quad 0, 0           /* sigmask, deadline */
    .long 1, 0           /* POLDER_SYSCALL */
    .quad 0, 0
    .quad 0, 0, 0, 0, 0, 0
    .section .note.GNU-stack, "", @progbits
