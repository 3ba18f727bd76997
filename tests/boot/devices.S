/* SPDX-License-Identifier: MIT */
/* Kernels that use what the machine has. */
#include "lib.h"

/* What the registers are at the entry; compared with entry.expected. */
    .text
    .globl entry
    .type entry, @function
entry:
    lea stack_top(%rip), %rsp
    mov %rdi, %rbx
    mov %rsi, %rbp
    say "vCPU "
    mov %rbp, %rax
    call print_number
    say "magic of the device tree "
    mov (%rbx), %eax
    bswap %eax
    call print_number
    say "fs is the data page "
    mov %fs:DATA_GDT+GDT_KERNEL_CODE, %rax
    movabs $POLDER_STUB_BASE+AREA_DATA+DATA_GDT+GDT_KERNEL_CODE, %rcx
    sub (%rcx), %rax
    call print_number
    say "rflags "
    pushf
    pop %rax
    and $~0x8d5, %rax /* the arithmetic flags are this code's */
    call print_number
    say "cs "
    mov %cs, %eax
    call print_number
    say "ss "
    mov %ss, %eax
    call print_number
    say "idt limit "
    sidt table(%rip)
    movzwl table(%rip), %eax
    call print_number
    say "idt in the area "
    mov table+2(%rip), %rax
    movabs $POLDER_STUB_BASE+AREA_IDT, %rcx
    sub %rcx, %rax
    call print_number
    say "gdt limit "
    sgdt table(%rip)
    movzwl table(%rip), %eax
    call print_number
    say "gdt in the area "
    mov table+2(%rip), %rax
    movabs $POLDER_STUB_BASE+AREA_DATA+DATA_GDT, %rcx
    sub %rcx, %rax
    call print_number
    say "efer, but for LMA "
    mov $0xc0000080, %ecx
    rdmsr
    and $~0x400, %eax
    call print_number
    say "star "
    mov $0xc0000081, %ecx
    rdmsr
    mov %edx, %eax
    call print_number
    say "sfmask "
    mov $0xc0000084, %ecx
    rdmsr
    call print_number
    say "smap, pcide, pae "
    mov %cr4, %rax
    and $0x220020, %eax
    call print_number
    say "wp, pg, pe "
    mov %cr0, %rax
    mov $0x80010001, %ecx
    and %rcx, %rax
    call print_number
    shutdown 42

/* Copies the console's input to its output until it ends, asleep where there is none. */
kernel echo
1:  hypercall HC_CONSOLE_READ, PHYS(page), 4096
    cmp $-11, %rax
    je 2f
    test %rax, %rax
    jle 3f
    mov %rax, %rcx
    lea page(%rip), %rsi
    call print_bytes
    jmp 1b
2:  hypercall HC_IDLE, IDLE_CONSOLE
    jmp 1b
3:  shutdown 7

/* Reads the console once, then never again. */
kernel deaf
    say "ready\n"
1:  hypercall HC_IDLE, 0
    jmp 1b

/* Looks for the initrd, which begins with a word that the test knows, among the pages before the device tree. */
kernel initrd
    mov %rdi, %rbp
    movabs $0x2144525449564e49, %rax
    movabs $POLDER_DIRECT_BASE+BOOT_RAM_BASE+0x200000, %rbx
1:  cmp %rax, (%rbx)
    je 2f
    add $4096, %rbx
    cmp %rbp, %rbx
    jb 1b
    shutdown 1
2:  movabs $POLDER_DIRECT_BASE, %rcx
    sub %rcx, %rbx
    mov %rbx, %gs:DATA_CALL_ARG(0)
    movq $HC_CONSOLE_WRITE, %gs:DATA_CALL
    movq $5009, %gs:DATA_CALL_ARG(1) /* as the test has made it: more than a page */
    out %al, $PORT_HYPERCALL
    shutdown 0

/* All the memory that --memory allows: 2 MiB at a time, each written and read where it comes. */
kernel memory
    xor %ebx, %ebx
1:  hypercall HC_MEMORY, 0x200000
    cmp $-12, %rax
    je 3f
    mov %rax, %rcx
    call map_direct
    movabs $POLDER_DIRECT_BASE, %rax
    add %rax, %rcx
    mov (%rcx), %rax
    or 0x1ffff8(%rcx), %rax
    jnz 2f
    mov %rcx, (%rcx)
    mov %rcx, 0x1ffff8(%rcx)
    lea 0x200000(%rcx), %rbx
    jmp 1b
2:  say "memory that is not zero\n"
    shutdown 1
3:  say "in all: "
    movabs $POLDER_DIRECT_BASE+BOOT_RAM_BASE, %rax
    sub %rax, %rbx
    mov %rbx, %rax
    call print_number
    shutdown 0

/* Buffers at the very end of memory, and across it. */
.macro at_end name, number, before, length
    movq $\number, %gs:DATA_CALL
    lea -\before(%rbx), %rax
    mov %rax, %gs:DATA_CALL_ARG(0)
    movq $\length, %gs:DATA_CALL_ARG(1)
    out %al, $PORT_HYPERCALL
    mov %gs:DATA_CALL_RESULT, %rbp
    say "\name: "
    mov %rbp, %rax
    call print_number
.endm

kernel edges
    hypercall HC_MEMORY, 0x200000
    lea 0x200000(%rax), %rbx
    at_end "random", HC_RANDOM, 16, 16
    at_end "random, across", HC_RANDOM, 16, 17
    at_end "random, wrapping", HC_RANDOM, 16, -1
    at_end "console-write", HC_CONSOLE_WRITE, 0, 0
    at_end "console-write, across", HC_CONSOLE_WRITE, 1, 2
    at_end "console-read, across", HC_CONSOLE_READ, 1, 2
    at_end "xstate", HC_XSTATE, 0x10000, 0
    at_end "xstate, across", HC_XSTATE, 64, 0
    shutdown 0

/* The timer's interrupt, which ends HC_IDLE; one that was taken back or replaced does not come. */
kernel timer
    set_gate VECTOR_TIMER, timer_handler
    hypercall HC_TIMER, 1
    call idle_until_interrupt
    hypercall HC_TIMER, 20000000
    call idle_until_interrupt
    hypercall HC_TIMER, 10000000
    hypercall HC_TIMER, -1
    call open_for_a_while
    hypercall HC_TIMER, 10000000
    hypercall HC_TIMER, 3600000000000
    call open_for_a_while
    hypercall HC_TIMER, 1000000
    call idle_until_interrupt
    say "interrupts: "
    mov interrupts(%rip), %rax
    call print_number
    shutdown 0

idle_until_interrupt:
    mov interrupts(%rip), %rbx
1:  hypercall HC_IDLE, 0
    sti
    .rept 16 /* a KVM that interprets this takes an interrupt some instructions late */
    nop
    .endr
    cli
    cmp %rbx, interrupts(%rip)
    je 1b
    ret

/* Interrupts are let in for 30 ms. */
open_for_a_while:
    hypercall HC_CLOCK, 0
    lea 30000000(%rax), %rbx
1:  sti
    hypercall HC_CLOCK, 0
    cli
    cmp %rbx, %rax
    jb 1b
    ret

timer_handler:
    push %rax
    push %rcx
    push %rdx
    incq interrupts(%rip)
    mov $0x80b, %ecx /* EOI of an x2APIC */
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
    pop %rdx
    pop %rcx
    pop %rax
    iretq

/* vCPU 1 is started, woken, and interrupted; each waits for the other in HC_IDLE. */
kernel cpus
    set_gate VECTOR_NMI, nmi_handler, 1
    hypercall HC_START_CPU, 1, second, second_stack, 0x1122334455667788
    mov %rax, %rbx
1:  hypercall HC_IDLE, 0
    cmpq $1, stage(%rip)
    jne 1b
    mov %rbx, %rax
    call print_number
    hypercall HC_START_CPU, 1, second, second_stack, 0
    call print_number
    movq $2, stage(%rip)
    hypercall HC_WAKE, 1
2:  hypercall HC_IDLE, 0
    cmpq $3, stage(%rip)
    jne 2b
    hypercall HC_NMI, 1
    mov %rax, %rbx
3:  hypercall HC_IDLE, 0
    cmpq $4, stage(%rip)
    jne 3b
    mov %rbx, %rax
    call print_number
    hypercall HC_NMI, 1 /* it sleeps now */
4:  hypercall HC_IDLE, 0
    cmpq $5, stage(%rip)
    jne 4b
    say "done\n"
    shutdown 0

second:
    push %rdi
    mov %rsi, %rbx
    say "vCPU "
    mov %rbx, %rax
    call print_number
    say "argument "
    pop %rax
    call print_number
    movq $1, stage(%rip)
    hypercall HC_WAKE, 0
5:  hypercall HC_IDLE, 0
    cmpq $2, stage(%rip)
    jne 5b
    movq $3, stage(%rip)
    hypercall HC_WAKE, 0
6:  cmpq $0, nmis(%rip)
    je 6b
    say "NMI\n"
    movq $4, stage(%rip)
    hypercall HC_WAKE, 0
7:  hypercall HC_IDLE, 0
    cmpq $2, nmis(%rip)
    jne 7b
    say "NMI\n"
    movq $5, stage(%rip)
    hypercall HC_WAKE, 0
8:  hypercall HC_IDLE, 0
    jmp 8b

nmi_handler:
    incq nmis(%rip)
    iretq

/* Another vCPU faults: the report is of that one, and has this one too. */
kernel second_faults
    hypercall HC_START_CPU, 1, second_fault, second_stack, 0
1:  hypercall HC_IDLE, 0
    jmp 1b
    .type second_fault, @function
second_fault:
    ud2

    .data
    .balign 8
interrupts:
    .quad 0
stage:
    .quad 0
nmis:
    .quad 0
table:
    .quad 0, 0

    .bss
    .balign 4096
page:
    .skip 4096
    .skip 8192
second_stack:
    .section .note.GNU-stack, "", @progbits
