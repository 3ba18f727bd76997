/* SPDX-License-Identifier: MIT */
/*
 * The least that a guest can do: the floor under every round trip. Two pages, copied into the guest's memory: the
 * supervisor's and ring 3's. The offsets are known to bare.c.
 */
    .section .rodata
    .balign 4096
    .globl bare_supervisor, bare_user
bare_supervisor:
    .org bare_supervisor + 0x00 /* ring 0, out for ever */
1:  out %al, $0x10
    jmp 1b
    .org bare_supervisor + 0x40 /* SYSCALL arrives here */
    out %al, $0x11
    sysretq
    /*
     * Page fault. PVM lets SYSCALL arrive at its target without the change to ring 0, so that fetching there faults:
     * the way back is to what SYSCALL left in rcx and r11.
     */
    .org bare_supervisor + 0x80
    out %al, $0x12
    add $8, %rsp
    mov %rcx, (%rsp)
    mov %r11, 16(%rsp)
    iretq
    .org bare_supervisor + 0xc0 /* anything else is a mistake */
    out %al, $0x13
    hlt
    .org bare_supervisor + 4096
bare_user:
1:  syscall
    jmp 1b
    .org bare_user + 4096
    .section .note.GNU-stack, "", @progbits
