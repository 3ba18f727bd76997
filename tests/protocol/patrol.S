/* SPDX-License-Identifier: MIT */
/*
 * The sandbox of test_stress.c: for ever from page to page, of which each eighth begins a block of 2 MiB.
 *   rdi  the first page                    rdx  the number of the page that is next
 *   rsi  what is due of each page's loads  r8   how many there are
 *   r11  and of its stores                 r9   where to count stale loads, and behind it all pages
 * What is due is read first: the page may show or get no older one then. A fault at a page is passed over by going on at
 * patrol_next.
 */
    .text
    .globl patrol_begin, patrol_next, patrol_end
    .balign 64
patrol_begin:
    mov %rdx, %rbx
    shr $3, %rbx
    shl $21, %rbx
    add %rdi, %rbx
    mov %rdx, %rcx
    and $7, %ecx
    shl $12, %rcx
    add %rcx, %rbx
    mov (%rsi, %rdx, 8), %rax
    mov (%rbx), %rcx
    cmp %rax, %rcx
    jae 1f
    incq (%r9)
1:  mov (%r11, %rdx, 8), %rax
    mov %rax, 8(%rbx)
patrol_next:
    incq 8(%r9)
    inc %rdx
    cmp %r8, %rdx
    jb patrol_begin
    xor %edx, %edx
    jmp patrol_begin
patrol_end:
    .section .note.GNU-stack, "", @progbits
