/* SPDX-License-Identifier: MIT */
/* Kernels that map what --file gives. */
#include "lib.h"

/* The first file into the direct map; rbx: its virtual address, rcx: its size. */
bring_in:
    hypercall HC_FILE, 0
    mov %rax, %rcx
    call map_direct
    movabs $POLDER_DIRECT_BASE, %rbx
    add %rcx, %rbx
    mov %gs:DATA_CALL_RESULT2, %rcx
    ret

/* Prints it, and that what follows in its last page is zero. */
kernel read_file
    call bring_in
    mov %rcx, %rbp
    lea copy(%rip), %rdi
    xor %edx, %edx
1:  mov (%rbx,%rdx), %al
    mov %al, (%rdi,%rdx)
    inc %rdx
    cmp %rcx, %rdx
    jb 1b
    mov %rdi, %rsi
    call print_bytes
    say "after it: "
    movzbl (%rbx,%rbp), %eax
    call print_number
    shutdown 0

kernel write_rw
    call bring_in
    movb $'W', (%rbx)
    movb $'W', 0xfff(%rbx)
    shutdown 0

.macro wait_for_input
9:  hypercall HC_CONSOLE_READ, PHYS(copy), 1
    cmp $-11, %rax
    jne 8f
    hypercall HC_IDLE, IDLE_CONSOLE
    jmp 9b
8:
.endm

/* Reads its sixth page, lets the test cut it off, and reads again. */
kernel cut_file
    call bring_in
    movzbl 0x5000(%rbx), %eax
    call print_number
    say "ready\n"
    wait_for_input
    movzbl 0x5000(%rbx), %eax
    call print_number
    movzbl 0x6010(%rbx), %eax
    call print_number
    movzbl (%rbx), %eax
    call print_number
    shutdown 0

/* The same in ring 3, which has the file at 0 and its code at 2 MiB. */
kernel cut_file_ring3
    set_gate 3, from_ring3
    call bring_in
    movabs $POLDER_DIRECT_BASE, %rbx
    mov %cr3, %rax
    movabs $PHYS(level3)+0x27, %rcx
    mov %rcx, (%rax,%rbx)
    movabs $PHYS(level2)+0x27, %rcx
    mov %rcx, level3(%rip)
    movabs $FILE_WINDOW+0xe5, %rcx /* read-only, of 2 MiB */
    mov %rcx, level2(%rip)
    movabs $PHYS(level1)+0x27, %rcx
    mov %rcx, level2+8(%rip)
    movabs $PHYS(ring3)+0x25, %rcx
    mov %rcx, level1(%rip)
    xor %ebp, %ebp
to_ring3:
    movq $GDT_USER_DATA, iret_frame+32(%rip)
    movq $0x1000, iret_frame+24(%rip)
    movq $2, iret_frame+16(%rip)
    movq $GDT_USER_CODE, iret_frame+8(%rip)
    movq $0x200000, iret_frame(%rip)
    lea iret_frame(%rip), %rsp
    iretq
from_ring3:
    lea stack_top(%rip), %rsp
    call print_number
    test %ebp, %ebp
    jnz 1f
    inc %ebp
    say "ready\n"
    wait_for_input
    jmp to_ring3
1:  shutdown 0

    .text
    .balign 4096
ring3:
    movzbl 0x5000, %eax
    int3
    .balign 4096

    .bss
    .balign 4096
level3:
    .skip 4096
level2:
    .skip 4096
level1:
    .skip 4096
copy:
    .skip 4096
iret_frame:
    .skip 40
    .section .note.GNU-stack, "", @progbits
