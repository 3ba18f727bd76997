/* SPDX-License-Identifier: MIT */
/*
 * The ring-3 code that the tests run. Everything is position-independent and inside one page, so that the page can be
 * copied into a file and mapped anywhere, or run where it is when the space is the test's own process. A snippet takes
 * its arguments in rdi and rsi and says that it is done with a system call.
 */
#define DATA 0x20000000 /* sandbox.h's BOX_DATA: below 2 GiB, so that it can be addressed without a register */

.macro snippet name
    .balign 8
    .globl \name
\name:
.endm

    .text
    .balign 4096
    .globl snippets_begin
snippets_begin:

snippet sn_syscall
    syscall
    .globl sn_syscall_end
sn_syscall_end:
    ud2

snippet sn_syscalls /* one after the other, for ever */
1:  syscall
    jmp 1b

snippet sn_load
    mov (%rdi), %rbx
    syscall

snippet sn_load_byte
    movzbl (%rdi), %ebx
    syscall

snippet sn_store
    mov %rsi, (%rdi)
    syscall

snippet sn_store_byte
    mov %sil, (%rdi)
    syscall

snippet sn_jump
    jmp *%rdi

snippet sn_call_aligned /* a C function of rsi, rdx that keeps the ABI; its result goes into rbx */
    and $-16, %rsp
    mov %rdi, %rax
    mov %rsi, %rdi
    mov %rdx, %rsi
    call *%rax
    mov %rax, %rbx
    syscall
    .globl sn_call_aligned_end
sn_call_aligned_end:

snippet sn_ud2
    ud2

snippet sn_divide
    xor %ecx, %ecx
    xor %edx, %edx
    mov $1, %eax
    .globl sn_divide_insn
sn_divide_insn:
    div %ecx
    syscall

snippet sn_hlt
    hlt

snippet sn_int3
    int3
    .globl sn_int3_end
sn_int3_end:
    syscall

snippet sn_int80
    int $0x80
    syscall

snippet sn_int42
    int $0x42
    syscall

snippet sn_int_timer
    int $0x20
    syscall

snippet sn_int_double_fault
    int $8
    syscall

snippet sn_int_page_fault
    int $14
    syscall

snippet sn_out
    out %al, $0x80
    syscall

snippet sn_in
    in $0x60, %al
    syscall

snippet sn_cli
    cli
    syscall

snippet sn_sti
    sti
    syscall

snippet sn_read_cr3
    mov %cr3, %rax
    syscall

snippet sn_write_cr0
    mov %rax, %cr0
    syscall

snippet sn_rdmsr
    mov $0xc0000080, %ecx
    rdmsr
    syscall

snippet sn_wrmsr
    mov $0xc0000080, %ecx
    wrmsr
    syscall

snippet sn_lgdt
    lgdt (%rdi)
    syscall

snippet sn_invlpg
    invlpg (%rdi)
    syscall

snippet sn_swapgs
    swapgs
    syscall

snippet sn_iret_ring0 /* asks for CPL 0 */
    mov %rsp, %rax
    push $0
    push %rax
    pushf
    push $8
    lea 1f(%rip), %rax
    push %rax
    .globl sn_iret_ring0_insn
sn_iret_ring0_insn:
    iretq
1:  syscall

snippet sn_sysretq
    sysretq

snippet sn_sysenter
    sysenter
    syscall

snippet sn_push
    push %rax
    syscall

snippet sn_load_rbp
    mov (%rbp), %rax
    syscall

snippet sn_trap_flag /* sets TF itself: the #DB comes after the instruction that follows popf */
    pushf
    orl $0x100, (%rsp)
    popf
    nop
    .globl sn_trap_flag_end
sn_trap_flag_end:
    nop
    syscall

snippet sn_nops
    nop
    nop
    nop
    syscall
    .globl sn_nops_end
sn_nops_end:
    nop
    ud2

snippet sn_flags
    pushf
    pop %rbx
    syscall

snippet sn_cpuid
    mov %edi, %eax
    mov %esi, %ecx
    cpuid
    syscall

snippet sn_rdtsc
    rdtsc
    shl $32, %rdx
    or %rdx, %rax
    mov %rax, %rbx
    syscall

snippet sn_spin /* says that it is there, then never ends */
    movq $1, (%rdi)
1:  jmp 1b

snippet sn_count /* counts for ever, through one mapping */
1:  incq (%rdi)
    jmp 1b

snippet sn_lock_count
1:  lock incq (%rdi)
    jmp 1b

snippet sn_reader /* for ever: rdi to rsi, and counts at 8(rsi); once the count has moved by two, the value is new */
1:  mov (%rdi), %rax
    mov %rax, (%rsi)
    incq 8(%rsi)
    jmp 1b

snippet sn_count_syscalls /* count, system call, for ever */
1:  incq (%rdi)
    syscall
    jmp 1b

snippet sn_touch_pages /* one byte in each of rsi pages from rdi */
1:  movb $1, (%rdi)
    add $4096, %rdi
    dec %rsi
    jnz 1b
    syscall

snippet sn_registers /* every register, as the entry left it, goes to DATA */
    movq %rax, DATA
    movq %rbx, DATA+8
    movq %rcx, DATA+16
    movq %rdx, DATA+24
    movq %rsi, DATA+32
    movq %rdi, DATA+40
    movq %rbp, DATA+48
    movq %rsp, DATA+56
    movq %r8, DATA+64
    movq %r9, DATA+72
    movq %r10, DATA+80
    movq %r11, DATA+88
    movq %r12, DATA+96
    movq %r13, DATA+104
    movq %r14, DATA+112
    movq %r15, DATA+120
    syscall

snippet sn_selectors
    xor %eax, %eax
    mov %ds, %ax
    mov %rax, DATA
    mov %es, %ax
    mov %rax, DATA+8
    mov %fs, %ax
    mov %rax, DATA+16
    mov %gs, %ax
    mov %rax, DATA+24
    mov %cs, %ax
    mov %rax, DATA+32
    mov %ss, %ax
    mov %rax, DATA+40
    syscall

snippet sn_set_selectors
    mov $0x2b, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    syscall

snippet sn_load_fs
    mov %fs:0, %rbx
    mov %gs:0, %r12
    syscall

snippet sn_write_bases
    wrfsbase %rdi
    wrgsbase %rsi
    syscall

snippet sn_read_bases
    rdfsbase %rbx
    rdgsbase %r12
    syscall

snippet sn_write_bases_fault
    wrfsbase %rdi
    wrgsbase %rsi
    ud2

snippet sn_unaligned
    mov 1(%rdi), %rax
    syscall

snippet sn_sse_divide /* 1/0 with the zero-divide exception unmasked in the MXCSR at rdi */
    ldmxcsr (%rdi)
    mov $1, %eax
    cvtsi2ss %eax, %xmm0
    xorps %xmm1, %xmm1
    .globl sn_sse_divide_insn
sn_sse_divide_insn:
    divss %xmm1, %xmm0
    syscall

snippet sn_x87_divide
    fninit
    fldcw (%rdi)
    fld1
    fldz
    fdivrp
    .globl sn_x87_divide_insn
sn_x87_divide_insn:
    fwait
    syscall

snippet sn_xmm_load
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movups \n*16(%rdi), %xmm\n
    .endr
    syscall

snippet sn_xmm_store
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movups %xmm\n, \n*16(%rdi)
    .endr
    syscall

snippet sn_ymm_load
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    vmovups \n*32(%rdi), %ymm\n
    .endr
    syscall

snippet sn_ymm_store
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    vmovups %ymm\n, \n*32(%rdi)
    .endr
    syscall

snippet sn_zmm_load /* 32 registers, then the eight masks of 16 bits */
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    vmovups \n*64(%rdi), %zmm\n
    .endr
    .irp n, 0,1,2,3,4,5,6,7
    kmovw 2048+\n*2(%rdi), %k\n
    .endr
    syscall

snippet sn_zmm_store
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    vmovups %zmm\n, \n*64(%rdi)
    .endr
    .irp n, 0,1,2,3,4,5,6,7
    kmovw %k\n, 2048+\n*2(%rdi)
    .endr
    syscall

snippet sn_control_load /* MXCSR at 0, x87 control word at 4 */
    ldmxcsr (%rdi)
    fldcw 4(%rdi)
    syscall

snippet sn_control_store
    stmxcsr (%rdi)
    fnstcw 4(%rdi)
    syscall

snippet sn_x87_load /* eight values of ten bytes, sixteen apart */
    fninit
    .irp n, 7,6,5,4,3,2,1,0
    fldt \n*16(%rdi)
    .endr
    syscall

snippet sn_x87_store
    .irp n, 0,1,2,3,4,5,6,7
    fstpt \n*16(%rdi)
    .endr
    syscall

snippet sn_code32 /* 32 bits: inc %eax, ud2. 64 bits: a REX prefix and ud2 */
    .byte 0x40, 0x0f, 0x0b

snippet sn_syscall32
    .byte 0x0f, 0x05, 0x0f, 0x0b

snippet sn_far_return32 /* from code of 64 bits to the code of 32 bits above */
    push $0x23
    lea sn_code32(%rip), %rax
    push %rax
    lretq

    .balign 8
    .globl snippets_end
snippets_end:
    .balign 4096
    .section .note.GNU-stack, "", @progbits
