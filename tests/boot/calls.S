/* SPDX-License-Identifier: MIT */
/* Each hypercall with good and bad arguments, and what came out: compared with calls.expected. */
#include "lib.h"

#define FREE (BOOT_RAM_BASE+0x800000) /* the last 4 MiB of what is there at first */
#define EXACT 0
#define POSITIVE 1

.macro row name, number, a0=0, a1=0, a2=0, a3=0, kind=EXACT
    .pushsection .rodata.text, "a"
772: .asciz "\name: "
    .popsection
    .quad 772b, \number, \a0, \a1, \a2, \a3, \kind
.endm

kernel calls
    lea rows(%rip), %rbx
1:  mov (%rbx), %rsi
    test %rsi, %rsi
    jz 4f
    call print
    mov 8(%rbx), %rax
    mov %rax, %gs:DATA_CALL
    mov 16(%rbx), %rax
    mov %rax, %gs:DATA_CALL_ARG(0)
    mov 24(%rbx), %rax
    mov %rax, %gs:DATA_CALL_ARG(1)
    mov 32(%rbx), %rax
    mov %rax, %gs:DATA_CALL_ARG(2)
    mov 40(%rbx), %rax
    mov %rax, %gs:DATA_CALL_ARG(3)
    out %al, $PORT_HYPERCALL
    mov %gs:DATA_CALL_RESULT, %rax
    cmpq $EXACT, 48(%rbx)
    je 2f
    test %rax, %rax
    jle 2f
    say "positive\n"
    jmp 3f
2:  call print_number
3:  add $56, %rbx
    jmp 1b
4:  shutdown 0

/* Hypercalls at random, the same at each run: any number but those that end or wait or start something, and arguments out
 * of a list of what is likely to be looked at too little. */
kernel fuzz
    set_gate VECTOR_NMI, ignore
    mov $5000, %ebp
    mov $1, %ebx
1:  call next_random
    mov %rax, %rcx
    shr $24, %rcx
    and $15, %ecx
    cmp $HC_SHUTDOWN, %ecx
    je 1b
    cmp $HC_IDLE, %ecx
    je 1b
    mov %rcx, %gs:DATA_CALL
    .irp n, 0, 1, 2, 3
    call random_argument
    mov %rax, %gs:DATA_CALL_ARG(\n)
    .endr
    out %al, $PORT_HYPERCALL
    dec %ebp
    jnz 1b
    shutdown 3

ignore:
    iretq

/* rax; the state is rbx. */
next_random:
    movabs $6364136223846793005, %rax
    imul %rax, %rbx
    movabs $1442695040888963407, %rax
    add %rax, %rbx
    mov %rbx, %rax
    ret

/* rax: the sum of two words of the list, so that they meet each other's edges. */
random_argument:
    lea words(%rip), %rsi
    call next_random
    shr $40, %rax
    and $31, %eax
    mov (%rsi,%rax,8), %rdi
    call next_random
    shr $40, %rax
    and $31, %eax
    mov (%rsi,%rax,8), %rax
    add %rdi, %rax
    ret

    .section .rodata
    .balign 8
words: /* no two of them make an address of the kernel or its page tables, which some calls would overwrite */
    .quad 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 63, 64, -1, -64, 0x1000, -0x1000
    .quad FREE, FREE+64, FREE+0x3ff000, FILE_WINDOW, NOWHERE, 0xfee00000
    .quad 0x200000, 0x400000, -0x200000, 0x7fffffffffffffff, 0x8000000000000000
    .quad 0x200000000, 0xf0000000, 0xffffc80100000000, 4096, 511
rows:
    row "no such call", HC_COUNT
    row "no such call, far from it", -1
    row "console-write", HC_CONSOLE_WRITE, PHYS(text), 3
    row "console-write, nothing", HC_CONSOLE_WRITE, PHYS(text), 0
    row "console-write, address 0", HC_CONSOLE_WRITE, 0, 1
    row "console-write, below RAM", HC_CONSOLE_WRITE, BOOT_RAM_BASE-1, 1
    row "console-write, a virtual address", HC_CONSOLE_WRITE, text, 3
    row "console-write, beyond what is there", HC_CONSOLE_WRITE, NOWHERE, 1
    row "console-write, across the end", HC_CONSOLE_WRITE, PHYS(text), RAM_LIMIT
    row "console-write, a length that wraps", HC_CONSOLE_WRITE, PHYS(text), -1
    row "console-write, an address that wraps", HC_CONSOLE_WRITE, -1, 2
    row "console-write, a negative length", HC_CONSOLE_WRITE, PHYS(text), 0x8000000000000000
    row "console-write, the local APIC", HC_CONSOLE_WRITE, 0xfee00000, 4
    row "console-read, nothing", HC_CONSOLE_READ, PHYS(buffer), 0
    row "console-read, beyond what is there", HC_CONSOLE_READ, NOWHERE, 1
    row "console-read", HC_CONSOLE_READ, PHYS(buffer), 64
    row "console-read, all is read", HC_CONSOLE_READ, PHYS(buffer), 64
    row "console-write, what was read", HC_CONSOLE_WRITE, PHYS(buffer), 6
    row "memory, none", HC_MEMORY, 0
    row "memory, one page", HC_MEMORY, 0x1000
    row "memory, not a multiple", HC_MEMORY, 0x200001
    row "memory, negative", HC_MEMORY, -0x200000
    row "memory, more than the limit", HC_MEMORY, RAM_LIMIT
    row "memory", HC_MEMORY, 0x200000, kind=POSITIVE
    row "file", HC_FILE, 0, kind=POSITIVE
    row "file again", HC_FILE, 0, kind=POSITIVE
    row "file, empty", HC_FILE, 1, kind=POSITIVE
    row "file that is not there", HC_FILE, 2
    row "file -1", HC_FILE, -1
    row "file 2^32", HC_FILE, 0x100000000
    row "console-write, from a file", HC_CONSOLE_WRITE, FILE_WINDOW, 4
    row "console-read, into a file", HC_CONSOLE_READ, FILE_WINDOW, 4
    row "clock, monotonic", HC_CLOCK, 0, kind=POSITIVE
    row "clock, of the day", HC_CLOCK, 1, kind=POSITIVE
    row "clock 2", HC_CLOCK, 2
    row "timer, in an hour", HC_TIMER, 3600000000000
    row "timer, in centuries", HC_TIMER, -2
    row "timer, none", HC_TIMER, -1
    row "random", HC_RANDOM, PHYS(buffer), 16
    row "random, none", HC_RANDOM, PHYS(buffer), 0
    row "random, beyond what is there", HC_RANDOM, NOWHERE, 16
    row "random, much", HC_RANDOM, (BOOT_RAM_BASE+0x800000), 0x200000
    row "shutdown with 256", HC_SHUTDOWN, 256
    row "shutdown with -1", HC_SHUTDOWN, -1
    row "start-cpu, this one", HC_START_CPU, 0, calls, stack_top
    row "start-cpu, one that is not there", HC_START_CPU, 2, calls, stack_top
    row "start-cpu 2^32", HC_START_CPU, 0x100000000, calls, stack_top
    row "start-cpu at no canonical address", HC_START_CPU, 1, 0x800000000000, stack_top
    row "start-cpu with no canonical stack", HC_START_CPU, 1, calls, 0x8000000000000000
    row "wake, this one", HC_WAKE, 0
    row "idle, woken before", HC_IDLE, 0
    row "idle, unknown flags", HC_IDLE, 2
    row "timer, now", HC_TIMER, 0
    row "idle, until the timer", HC_IDLE, IDLE_CONSOLE
    row "wake, one that is not there", HC_WAKE, 2
    row "wake -1", HC_WAKE, -1
    row "nmi, one that does not run", HC_NMI, 1
    row "nmi, one that is not there", HC_NMI, 2
    row "exits", HC_EXITS, kind=POSITIVE
    row "xstate, neither", HC_XSTATE, 0, 0
    row "xstate, save", HC_XSTATE, PHYS(xstate), 0
    row "xstate, load", HC_XSTATE, 0, PHYS(xstate)
    row "xstate, both", HC_XSTATE, PHYS(xstate), PHYS(xstate)
    row "xstate, save, not aligned", HC_XSTATE, PHYS(xstate)+8, 0
    row "xstate, load, not aligned", HC_XSTATE, 0, PHYS(xstate)+32
    row "xstate, save, beyond what is there", HC_XSTATE, NOWHERE, 0
    row "xstate, load, beyond what is there", HC_XSTATE, 0, NOWHERE
    row "xstate, load, across the end", HC_XSTATE, 0, -64
    row "xstate, load, reserved bits", HC_XSTATE, 0, PHYS(bad_xstate)
    .quad 0
text: .ascii "abc"

    .data
    .balign 64
/* MXCSR has no bits above 16. */
bad_xstate:
    .skip 24
    .long -1
    .skip 512 - 28
    .quad 3
    .skip 65536

    .bss
    .balign 64
buffer:
    .skip 4096
xstate:
    .skip 65536
    .section .note.GNU-stack, "", @progbits
