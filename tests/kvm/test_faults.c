/* SPDX-License-Identifier: MIT */
/*
 * What hardware can do to a sandbox, and that all of it comes back as it is: page faults, every other exception, single
 * steps, hostile register values; and that the registers are exact on the way in and on the way out.
 */
#include "sandbox.h"

#include <cpuid.h>
#if __STDC_HOSTED__
#include <sys/prctl.h>
#include <sys/wait.h>
#endif
#include <x86intrin.h>

#define RW (PROT_READ | PROT_WRITE)

static bool have_fsgsbase(void)
{
    unsigned a, b, c, d;

    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1);
}

static void page_faults(void **state)
{
    (void)state;
    struct box box;
    const uint64_t at = BOX_FREE;

    box_open(&box);
    /* Unmapped: also where the tables above it exist and where they do not. */
    const uint64_t nowhere[] = {0, 8, BOX_CODE + PAGE, BOX_CODE - 1, at, 0x7ffffffff000, 0x7fffffffffff, 1ul << 39};
    for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
        box_fault(&box, sn_load_byte, nowhere[i], 0, nowhere[i], PF_U);
        assert_int_equal(box.params.regs.rip, SNIPPET(sn_load_byte));
        box_fault(&box, sn_store_byte, nowhere[i], 0, nowhere[i], PF_U | PF_W);
        box_fault(&box, sn_jump, nowhere[i], 0, nowhere[i], PF_U | PF_I);
        assert_int_equal(box.params.regs.rip, nowhere[i]);
        /* Once more: the same, and not because something was left behind. */
        box_fault(&box, sn_load_byte, nowhere[i], 0, nowhere[i], PF_U);
    }
    /* The address is that of the first byte that is missing. */
    box_map_anonymous(&box, at, PAGE, RW);
    box_fault(&box, sn_load, at + PAGE - 4, 0, at + PAGE, PF_U);
    box_fault(&box, sn_store, at + PAGE - 7, 0, at + PAGE, PF_U | PF_W);
    box_fault(&box, sn_load, at - 4, 0, at - 4, PF_U);
    /* Mapped, and not allowed: before any touch, and after. */
    assert_int_equal(polder_mprotect((void *)at, PAGE, PROT_READ, box.fd), 0);
    for (int touched = 0; touched < 2; touched++) {
        box_fault(&box, sn_store, at + 16, 0, at + 16, PF_P | PF_U | PF_W);
        box_fault(&box, sn_jump, at + 16, 0, at + 16, PF_P | PF_U | PF_I);
        (void)box_load(&box, at);
    }
    box_fault(&box, sn_store, SNIPPET(sn_load), 0, SNIPPET(sn_load), PF_P | PF_U | PF_W);
    box_fault(&box, sn_jump, BOX_STACK, 0, BOX_STACK, PF_P | PF_U | PF_I);
    /* A stack that is not there. */
    box.params.regs.rax = 1;
    aim(&box.params, sn_push, 0, 0);
    box.params.regs.rsp = at;
    assert_int_equal(polder_run_sandbox(box.fd, &box.params), 0);
    assert_int_equal(box.params.reason, POLDER_PAGE_FAULT);
    assert_int_equal(box.params.fault_addr, at - 8);
    assert_int_equal(box.params.error_code, PF_U | PF_W);
    assert_int_equal(box.params.regs.rsp, at);
    box_close(&box);
}

/* The upper half belongs to nobody: whatever is there for the library's sake is not mapped in the space. */
static void upper_half(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    for (uint64_t slot = 256; slot < 512; slot += scaled(256) < 256 ? 17 : 1) {
        const uint64_t base = 0xffff000000000000 | slot << 39;
        for (uint64_t page = 0; page < 4; page++) {
            const uint64_t at = base + page * PAGE + 0x100;
            box_fault(&box, sn_load, at, 0, at, PF_U);
        }
        box_fault(&box, sn_store, base, 0, base, PF_U | PF_W);
        box_fault(&box, sn_jump, base + 8, 0, base + 8, PF_U | PF_I);
    }
    box_fault(&box, sn_load_byte, UINT64_MAX, 0, UINT64_MAX, PF_U);
    box_fault(&box, sn_load_byte, UINT64_MAX - PAGE, 0, UINT64_MAX - PAGE, PF_U);
    box_close(&box);
}

/*
 * Not every processor does what its manual says. QEMU's emulation raises no SSE exceptions, has #GP for #SS, and under
 * SMAP faults at ring 3's far returns.
 */
static bool processor_is_emulated(void)
{
#if __STDC_HOSTED__
    unsigned max, name[3];

    __cpuid(0x40000000, max, name[0], name[1], name[2]);
    return memcmp(name, "TCGTCGTCGTCG", sizeof(name)) == 0;
#else
    return shim_processor_is_tcg();
#endif
}

static void exceptions(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    for (int round = 0; round < 2; round++) {
        box_exception(&box, sn_divide, 0, 0, 0, SNIPPET(sn_divide_insn));
        box_exception(&box, sn_ud2, 0, 6, 0, SNIPPET(sn_ud2));
        box_exception(&box, sn_int3, 0, 3, 0, SNIPPET(sn_int3_end)); /* a trap: after the instruction */
        box_exception(&box, sn_hlt, 0, 13, 0, SNIPPET(sn_hlt));
        box_exception(&box, sn_cli, 0, 13, 0, SNIPPET(sn_cli));
        box_exception(&box, sn_sti, 0, 13, 0, SNIPPET(sn_sti));
        box_exception(&box, sn_out, 0, 13, 0, SNIPPET(sn_out));
        box_exception(&box, sn_in, 0, 13, 0, SNIPPET(sn_in));
        box_exception(&box, sn_read_cr3, 0, 13, 0, SNIPPET(sn_read_cr3));
        box_exception(&box, sn_write_cr0, 0, 13, 0, SNIPPET(sn_write_cr0));
        box_exception(&box, sn_rdmsr, 0, 13, 0, SNIPPET(sn_rdmsr) + 5);
        box_exception(&box, sn_wrmsr, 0, 13, 0, SNIPPET(sn_wrmsr) + 5);
        box_exception(&box, sn_lgdt, BOX_DATA, 13, 0, SNIPPET(sn_lgdt));
        box_exception(&box, sn_invlpg, BOX_DATA, 13, 0, SNIPPET(sn_invlpg));
        box_exception(&box, sn_swapgs, 0, 13, 0, SNIPPET(sn_swapgs));
        box_exception(&box, sn_sysretq, 0, 13, 0, SNIPPET(sn_sysretq));
        if (!processor_is_emulated())
            box_exception(&box, sn_iret_ring0, 0, 13, 8, SNIPPET(sn_iret_ring0_insn));
        /* Not canonical: #GP through a data segment, #SS through the stack's; no page fault, no fault address. */
        box_exception(&box, sn_load, 0x8000000000000000, 13, 0, SNIPPET(sn_load));
        box_exception(&box, sn_store, 0x0000800000000000, 13, 0, SNIPPET(sn_store));
        box_exception(&box, sn_load, 0xffff7fffffffffff, 13, 0, SNIPPET(sn_load));
    }
    box_close(&box);
}

/* A gate that ring 3 may not use: #GP with the vector in the error code, on every KVM (SDM vol. 3A, 6.13). */
static void software_interrupts(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    box_exception(&box, sn_int80, 0, 13, 0x80 << 3 | 2, SNIPPET(sn_int80));
    box_exception(&box, sn_int42, 0, 13, 0x42 << 3 | 2, SNIPPET(sn_int42));
    box_exception(&box, sn_int_timer, 0, 13, 0x20 << 3 | 2, SNIPPET(sn_int_timer));
    box_exception(&box, sn_int_double_fault, 0, 13, 8 << 3 | 2, SNIPPET(sn_int_double_fault));
    box_exception(&box, sn_int_page_fault, 0, 13, 14 << 3 | 2, SNIPPET(sn_int_page_fault));
    box_syscall(&box, sn_syscall, 0, 0);
    box_close(&box);
}

/* SYSENTER has no entry point here: AMD raises #UD in long mode, Intel #GP. */
static void sysenter(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    assert_int_equal(box_run(&box, sn_sysenter, 0, 0), POLDER_EXCEPTION);
    assert_true(box.params.vector == 6 || box.params.vector == 13);
    assert_int_equal(box.params.error_code, 0);
    assert_int_equal(box.params.regs.rip, SNIPPET(sn_sysenter));
    box_syscall(&box, sn_syscall, 0, 0);
    box_close(&box);
}

static void floating_point_exceptions(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    *(volatile uint32_t *)box.data = 0x1f80 & ~0x200u; /* zero divide unmasked */
    if (!processor_is_emulated())
        box_exception(&box, sn_sse_divide, BOX_DATA, 19, 0, SNIPPET(sn_sse_divide_insn));
    *(volatile uint16_t *)box.data = 0x37f & ~4u;
    box_exception(&box, sn_x87_divide, BOX_DATA, 16, 0, SNIPPET(sn_x87_divide_insn));
    /* Another context is not concerned. */
    struct box other = box;
    polder_params_init(&other.params);
    *(volatile uint32_t *)box.data = 0x1f80;
    box_syscall(&other, sn_sse_divide, BOX_DATA, 0);
    polder_params_fini(&other.params);
    box_close(&box);
}

/* Not every processor does what its manual says: QEMU's emulation lets unaligned accesses pass. */
static bool processor_checks_alignment(void)
{
#if __STDC_HOSTED__
    pid_t child = fork();

    if (child == 0) {
        static uint64_t words[2];
        prctl(PR_SET_DUMPABLE, 0);
        __asm__ volatile("pushf; orl %0, (%%rsp); popf; mov 1(%1), %%rax" ::"i"(EFLAGS_AC), "r"(words)
                         : "rax", "memory");
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status);
#else
    return !processor_is_emulated();
#endif
}

static void alignment_check(void **state)
{
    (void)state;
    struct box box;

    if (!processor_checks_alignment()) {
        print_message("needs a processor that checks alignment\n");
        skip();
    }
    box_open(&box);
    assert_int_equal(box_run(&box, sn_unaligned, BOX_DATA, 0), POLDER_SYSCALL);
    aim(&box.params, sn_unaligned, BOX_DATA, 0);
    box.params.regs.eflags |= EFLAGS_AC;
    assert_int_equal(polder_run_sandbox(box.fd, &box.params), 0);
    assert_int_equal(box.params.reason, POLDER_EXCEPTION);
    assert_int_equal(box.params.vector, 17);
    assert_int_equal(box.params.error_code, 0);
    assert_int_equal(box.params.regs.rip, SNIPPET(sn_unaligned));
    assert_true(box.params.regs.eflags & EFLAGS_AC);
    box_close(&box);
}

static void not_canonical(void **state)
{
    (void)state;
    struct box box;
    const uint64_t odd[] = {0x800000001000, 0x8000000000000000, 0xffff7fffffffffff, 0x1234567812345678};

    const uint32_t stack_vector = processor_is_emulated() ? 13 : 12;

    box_open(&box);
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        struct polder_params *p = &box.params;
        /* As the rip of an entry. */
        aim(p, sn_syscall, 0, 0);
        p->regs.rip = odd[i];
        assert_int_equal(polder_run_sandbox(box.fd, p), 0);
        assert_int_equal(p->reason, POLDER_EXCEPTION);
        assert_int_equal(p->vector, 13);
        assert_int_equal(p->error_code, 0);
        assert_int_equal(p->regs.rip, odd[i]);
        assert_int_equal(p->regs.rsp, BOX_STACK + PAGE);
        box_syscall(&box, sn_syscall, 0, 0);
        /* As the target of a jump: reported where the processor reports it, at the jump or at the target. */
        assert_int_equal(box_run(&box, sn_jump, odd[i], 0), POLDER_EXCEPTION);
        assert_int_equal(p->vector, 13);
        assert_int_equal(p->error_code, 0);
        assert_true(p->regs.rip == SNIPPET(sn_jump) || p->regs.rip == odd[i]);
        /* As the stack: harmless until it is used, then #SS. */
        aim(p, sn_push, 0, 0);
        p->regs.rsp = odd[i];
        assert_int_equal(polder_run_sandbox(box.fd, p), 0);
        assert_int_equal(p->reason, POLDER_EXCEPTION);
        assert_int_equal(p->vector, stack_vector);
        assert_int_equal(p->error_code, 0);
        assert_int_equal(p->regs.rsp, odd[i]);
        aim(p, sn_load_rbp, 0, 0);
        p->regs.rbp = odd[i];
        assert_int_equal(polder_run_sandbox(box.fd, p), 0);
        assert_int_equal(p->vector, stack_vector);
        aim(p, sn_syscall, 0, 0);
        p->regs.rsp = odd[i];
        assert_int_equal(polder_run_sandbox(box.fd, p), 0);
        assert_int_equal(p->reason, POLDER_SYSCALL);
        assert_int_equal(p->regs.rsp, odd[i]);
        /* As a segment base: refused or reported, and the next run is none the worse. */
        aim(p, sn_syscall, 0, 0);
        p->regs.fs_base = odd[i];
        if (polder_run_sandbox(box.fd, p) < 0)
            assert_int_equal(errno, EINVAL);
        p->regs.fs_base = 0;
        p->regs.gs_base = odd[i];
        if (polder_run_sandbox(box.fd, p) < 0)
            assert_int_equal(errno, EINVAL);
        p->regs.gs_base = 0;
        box_syscall(&box, sn_syscall, 0, 0);
    }
    /* Stacks that nothing can be pushed on, through every way out. */
    const uint64_t stacks[] = {0, 1, 7, UINT64_MAX, 0xffffffff80000000};
    for (size_t i = 0; i < sizeof(stacks) / sizeof(stacks[0]); i++) {
        const char *snippets[] = {sn_syscall, sn_ud2, sn_hlt, sn_divide, sn_int3};
        for (size_t j = 0; j < sizeof(snippets) / sizeof(snippets[0]); j++) {
            aim(&box.params, snippets[j], 0, 0);
            box.params.regs.rsp = stacks[i];
            assert_int_equal(polder_run_sandbox(box.fd, &box.params), 0);
            assert_int_equal(box.params.reason, j ? POLDER_EXCEPTION : POLDER_SYSCALL);
            assert_int_equal(box.params.regs.rsp, stacks[i]);
        }
    }
    box_close(&box);
}

static void fill_registers(struct user_regs_struct *r, uint64_t pattern)
{
    unsigned long long *const fields[] = {&r->rax, &r->rbx, &r->rcx, &r->rdx, &r->rsi, &r->rdi, &r->rbp, &r->rsp,
        &r->r8, &r->r9, &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15};

    for (size_t i = 0; i < 16; i++)
        *fields[i] = pattern ^ (0x0101010101010101ul * (i + 1));
}

#define PATTERN 0xf00dcafe12345678ul

static void assert_registers(const struct user_regs_struct *got, const struct user_regs_struct *wanted)
{
#define SAME(name)                                                                                                     \
    if (got->name != wanted->name)                                                                                     \
    fail_msg(#name " is %#llx, not %#llx", (unsigned long long)got->name, (unsigned long long)wanted->name)
    SAME(rax);
    SAME(rbx);
    SAME(rcx);
    SAME(rdx);
    SAME(rsi);
    SAME(rdi);
    SAME(rbp);
    SAME(rsp);
    SAME(r8);
    SAME(r9);
    SAME(r10);
    SAME(r11);
    SAME(r12);
    SAME(r13);
    SAME(r14);
    SAME(r15);
    SAME(rip);
    SAME(eflags);
    SAME(orig_rax);
    SAME(cs);
    SAME(ss);
    SAME(ds);
    SAME(es);
    SAME(fs);
    SAME(gs);
    SAME(fs_base);
    SAME(gs_base);
#undef SAME
}

/* RF is the processor's own affair: it is set in what a fault pushes, and means nothing to the next entry. */
static void registers_through_faults(void **state)
{
    (void)state;
    struct box box;
    const char *snippets[] = {sn_ud2, sn_hlt};

    box_open(&box);
    for (int round = 0; round < 4; round++) {
        for (size_t i = 0; i < 3; i++) {
            struct user_regs_struct wanted = box.params.regs;
            fill_registers(&wanted, PATTERN * (uint64_t)(round + 1) + i);
            wanted.fs_base = 0x123456789000 + (uint64_t)round * 8;
            wanted.gs_base = 0xffff912345678000 + i;
            wanted.eflags = 2 | EFLAGS_IF | (round & 1 ? 0x8d5 | EFLAGS_DF : 0);
            wanted.rip = i < 2 ? SNIPPET(snippets[i]) : BOX_FREE;
            wanted.orig_rax = (unsigned long long)-1;
            box.params.regs = wanted;
            box.params.regs.orig_rax = 39; /* of an older call: it is not the entry's business */
            assert_int_equal(polder_run_sandbox(box.fd, &box.params), 0);
            assert_int_equal(box.params.reason, i < 2 ? POLDER_EXCEPTION : POLDER_PAGE_FAULT);
            box.params.regs.eflags &= ~EFLAGS_RF;
            assert_registers(&box.params.regs, &wanted);
        }
    }
    box_close(&box);
}

static void registers_through_system_calls(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    for (uint64_t round = 0; round < 8; round++) {
        struct user_regs_struct wanted = box.params.regs;
        fill_registers(&wanted, PATTERN + round * 0x1111);
        wanted.fs_base = 0x7f0012340000 + round;
        wanted.gs_base = round;
        wanted.eflags = 2 | EFLAGS_IF | (round & 1 ? 0x8d5 | EFLAGS_DF : 0);
        wanted.rip = SNIPPET(sn_syscall);
        box.params.regs = wanted;
        assert_int_equal(polder_run_sandbox(box.fd, &box.params), 0);
        assert_int_equal(box.params.reason, POLDER_SYSCALL);
        wanted.orig_rax = wanted.rax; /* all 64 bits of it */
        wanted.rax = (unsigned long long)-ENOSYS;
        wanted.rip = SNIPPET(sn_syscall_end);
        wanted.rcx = wanted.rip;
        wanted.r11 = wanted.eflags;
        assert_registers(&box.params.regs, &wanted);
    }
    box_close(&box);
}

/* The entry, seen from inside: after a system call and after a fault, which may come back by different instructions. */
static void registers_on_entry(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    for (uint64_t round = 0; round < 6; round++) {
        box_run(&box, round & 1 ? sn_ud2 : sn_syscall, 0, 0);
        struct user_regs_struct wanted = box.params.regs;
        fill_registers(&wanted, PATTERN + round);
        wanted.rip = SNIPPET(sn_registers);
        wanted.eflags = 2;
        box.params.regs = wanted;
        assert_int_equal(polder_run_sandbox(box.fd, &box.params), 0);
        assert_int_equal(box.params.reason, POLDER_SYSCALL);
        const uint64_t list[] = {wanted.rax, wanted.rbx, wanted.rcx, wanted.rdx, wanted.rsi, wanted.rdi, wanted.rbp,
            wanted.rsp, wanted.r8, wanted.r9, wanted.r10, wanted.r11, wanted.r12, wanted.r13, wanted.r14, wanted.r15};
        for (size_t i = 0; i < 16; i++)
            if (box.data[i] != list[i])
                fail_msg("round %lu: register %zu of the list is %#lx, not %#lx", round, i, box.data[i], list[i]);
    }
    box_close(&box);
}

static void flags_are_sanitised(void **state)
{
    (void)state;
    struct box box;
    const uint64_t kept = 0xcd5 | EFLAGS_AC | EFLAGS_ID; /* arithmetic and direction too */
    const uint64_t refused = EFLAGS_IOPL | EFLAGS_NT | EFLAGS_VM | EFLAGS_VIF | EFLAGS_VIP;

    box_open(&box);
    for (int way = 0; way < 2; way++) {
        aim(&box.params, sn_flags, 0, 0);
        box.params.regs.eflags = kept | refused; /* and no IF */
        assert_int_equal(polder_run_sandbox(box.fd, &box.params), 0);
        assert_int_equal(box.params.reason, POLDER_SYSCALL);
        assert_int_equal(box.params.regs.rbx, kept | EFLAGS_IF | 2);
        assert_int_equal(box.params.regs.eflags, kept | EFLAGS_IF | 2);
        assert_int_equal(box.params.regs.r11, kept | EFLAGS_IF | 2);
        aim(&box.params, sn_ud2, 0, 0);
        box.params.regs.eflags = UINT64_MAX & ~(EFLAGS_TF | EFLAGS_RF);
        assert_int_equal(polder_run_sandbox(box.fd, &box.params), 0);
        assert_int_equal(box.params.vector, 6);
        assert_int_equal(box.params.regs.eflags & ~EFLAGS_RF, kept | EFLAGS_IF | 2);
    }
    /* popf in ring 3 cannot have more either, and what it set is no trouble on the way out. */
    box_syscall(&box, sn_syscall, 0, 0);
    box_close(&box);
}

static void trap_flag(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    /* The sandbox's own. */
    box_exception(&box, sn_trap_flag, 0, 1, 0, SNIPPET(sn_trap_flag_end));
    assert_true(box.params.regs.eflags & EFLAGS_TF);
    /* The caller's, without asking for a step. */
    aim(&box.params, sn_nops, 0, 0);
    box.params.regs.eflags |= EFLAGS_TF;
    assert_int_equal(polder_run_sandbox(box.fd, &box.params), 0);
    assert_int_equal(box.params.reason, POLDER_EXCEPTION);
    assert_int_equal(box.params.vector, 1);
    assert_int_equal(box.params.error_code, 0);
    assert_int_equal(box.params.regs.rip, SNIPPET(sn_nops) + 1);
    /* A system call under TF is a system call: SYSCALL masks the flag before it could trap. */
    aim(&box.params, sn_syscall, 0, 0);
    box.params.regs.eflags |= EFLAGS_TF;
    assert_int_equal(polder_run_sandbox(box.fd, &box.params), 0);
    assert_int_equal(box.params.reason, POLDER_SYSCALL);
    assert_int_equal(box.params.regs.rip, SNIPPET(sn_syscall_end));
    box_syscall(&box, sn_syscall, 0, 0);
    box_close(&box);
}

static void single_step(void **state)
{
    (void)state;
    struct box box;
    struct polder_params *p = &box.params;

    box_open(&box);
    for (int round = 0; round < 3; round++) {
        aim(p, sn_nops, 0, 0);
        p->flags = POLDER_SINGLE_STEP;
        for (uint64_t i = 1; i <= 3; i++) {
            assert_int_equal(polder_run_sandbox(box.fd, p), 0);
            assert_int_equal(p->reason, POLDER_STEP);
            assert_int_equal(p->vector, 1);
            assert_int_equal(p->error_code, 0);
            assert_int_equal(p->regs.orig_rax, -1);
            assert_int_equal(p->regs.rip, SNIPPET(sn_nops) + i);
        }
        /* The system call itself, then the instruction after it. */
        p->regs.rax = 39;
        assert_int_equal(polder_run_sandbox(box.fd, p), 0);
        assert_int_equal(p->reason, POLDER_SYSCALL);
        assert_int_equal(p->regs.orig_rax, 39);
        assert_int_equal(p->regs.rip, SNIPPET(sn_nops_end));
        assert_int_equal(polder_run_sandbox(box.fd, p), 0);
        assert_int_equal(p->reason, POLDER_STEP);
        assert_int_equal(p->regs.rip, SNIPPET(sn_nops_end) + 1);
        /* An instruction that faults is no step. */
        assert_int_equal(polder_run_sandbox(box.fd, p), 0);
        assert_int_equal(p->reason, POLDER_EXCEPTION);
        assert_int_equal(p->vector, 6);
        assert_int_equal(p->regs.rip, SNIPPET(sn_nops_end) + 1);
        aim(p, sn_load, BOX_FREE, 0);
        assert_int_equal(polder_run_sandbox(box.fd, p), 0);
        assert_int_equal(p->reason, POLDER_PAGE_FAULT);
        assert_int_equal(p->regs.rip, SNIPPET(sn_load));
        /* Without the flag it is over, also from the middle of a sequence of steps. */
        aim(p, sn_nops, 0, 0);
        assert_int_equal(polder_run_sandbox(box.fd, p), 0);
        assert_int_equal(p->reason, POLDER_STEP);
        p->flags = 0;
        assert_int_equal(polder_run_sandbox(box.fd, p), 0);
        assert_int_equal(p->reason, POLDER_SYSCALL);
        assert_int_equal(p->regs.rip, SNIPPET(sn_nops_end));
    }
    /* A first touch is part of the step: there is only one instruction to be seen. */
    box_map_anonymous(&box, BOX_FREE, PAGE, RW);
    aim(p, sn_store, BOX_FREE, 7);
    p->flags = POLDER_SINGLE_STEP;
    assert_int_equal(polder_run_sandbox(box.fd, p), 0);
    assert_int_equal(p->reason, POLDER_STEP);
    assert_int_equal(p->regs.rip, SNIPPET(sn_store) + 3);
    p->flags = 0;
    assert_int_equal(box_load(&box, BOX_FREE), 7);
    box_close(&box);
}

static void selectors(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    box.params.regs.ds = box.params.regs.es = box.params.regs.fs = box.params.regs.gs = 0x2b;
    box_syscall(&box, sn_selectors, 0, 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(box.data[i], 0);
    assert_int_equal(box.data[4], 0x33);
    assert_int_equal(box.data[5], 0x2b);
    /* What the sandbox loads is not reported and reaches no other context. A flat selector in fs and gs clears their
     * bases. */
    box.params.regs.fs_base = 0x1000;
    box.params.regs.gs_base = 0x2000;
    box_syscall(&box, sn_set_selectors, 0, 0);
    assert_int_equal(box.params.regs.ds, 0x2b);
    assert_int_equal(box.params.regs.es, 0x2b);
    assert_int_equal(box.params.regs.fs, 0x2b);
    assert_int_equal(box.params.regs.gs, 0x2b);
    assert_int_equal(box.params.regs.fs_base, 0);
    assert_int_equal(box.params.regs.gs_base, 0);
    polder_params_fini(&box.params);
    polder_params_init(&box.params);
    box_syscall(&box, sn_selectors, 0, 0);
    /* PVM does not carry selectors at all: the one flat one that ring 3 can load may still be there. */
    for (size_t i = 0; i < 4; i++)
        assert_true(box.data[i] == 0 || box.data[i] == 0x2b);
    box_close(&box);
}

static void segment_bases(void **state)
{
    (void)state;
    struct box box;
    struct polder_params *p = &box.params;

    box_open(&box);
    for (uint64_t i = 1; i < 5; i++) {
        box.data[i] = 100 + i;
        box.data[i + 100] = 200 + i;
        p->regs.fs_base = BOX_DATA + 8 * i;
        p->regs.gs_base = BOX_DATA + 8 * (i + 100);
        box_syscall(&box, sn_load_fs, 0, 0);
        assert_int_equal(p->regs.rbx, 100 + i);
        assert_int_equal(p->regs.r12, 200 + i);
        assert_int_equal(p->regs.fs_base, BOX_DATA + 8 * i);
        assert_int_equal(p->regs.gs_base, BOX_DATA + 8 * (i + 100));
        /* Not changed by the caller: not moved, and still there. */
        box_syscall(&box, sn_load_fs, 0, 0);
        assert_int_equal(p->regs.rbx, 100 + i);
        assert_int_equal(p->regs.r12, 200 + i);
    }
    box_close(&box);
}

static void segment_bases_written_inside(void **state)
{
    (void)state;
    struct box box;
    struct polder_params *p = &box.params;

    if (!have_fsgsbase()) {
        print_message("needs a processor with FSGSBASE\n");
        skip();
    }
    box_open(&box);
    for (uint64_t i = 0; i < 4; i++) {
        const uint64_t fs = 0x111111000 + i, gs = 0xffff800000000000 + i;
        box_syscall(&box, sn_write_bases, fs, gs);
        assert_int_equal(p->regs.fs_base, fs);
        assert_int_equal(p->regs.gs_base, gs);
        box_syscall(&box, sn_read_bases, 0, 0);
        assert_int_equal(p->regs.rbx, fs);
        assert_int_equal(p->regs.r12, gs);
        assert_int_equal(p->regs.fs_base, fs);
        box_run(&box, sn_write_bases_fault, fs + 1000, gs + 1000);
        assert_int_equal(p->vector, 6);
        assert_int_equal(p->regs.fs_base, fs + 1000);
        assert_int_equal(p->regs.gs_base, gs + 1000);
        /* Written inside and set back by the caller before the next entry. */
        p->regs.fs_base = fs;
        box_syscall(&box, sn_read_bases, 0, 0);
        assert_int_equal(p->regs.rbx, fs);
        assert_int_equal(p->regs.r12, gs + 1000);
    }
    box_close(&box);
}

static void code_of_32_bits(void **state)
{
    (void)state;
    struct box box;
    struct polder_params *p = &box.params;

    box_open(&box);
    aim(p, sn_code32, 0, 0);
    p->regs.cs = 0x23;
    p->regs.rax = 41;
    assert_int_equal(polder_run_sandbox(box.fd, p), 0);
    assert_int_equal(p->reason, POLDER_EXCEPTION);
    assert_int_equal(p->vector, 6);
    assert_int_equal(p->regs.rip, SNIPPET(sn_code32) + 1);
    assert_int_equal(p->regs.rax, 42);
    assert_int_equal(p->regs.cs, 0x23);
    assert_int_equal(p->regs.ss, 0x2b);
    /* And back, in the same context. */
    p->regs.cs = 0x33;
    p->regs.rax = 41;
    assert_int_equal(box_run(&box, sn_code32, 0, 0), POLDER_EXCEPTION);
    assert_int_equal(p->regs.rip, SNIPPET(sn_code32));
    assert_int_equal(p->regs.rax, 41);
    /* The sandbox can go there by itself. */
    if (!processor_is_emulated()) {
        assert_int_equal(box_run(&box, sn_far_return32, 0, 0), POLDER_EXCEPTION);
        assert_int_equal(p->regs.cs, 0x23);
        assert_int_equal(p->regs.rip, SNIPPET(sn_code32) + 1);
    }
    /* SYSCALL there is #UD on Intel and something else on AMD; what it must not be is the end of anything else. */
    aim(p, sn_syscall32, 0, 0);
    assert_int_equal(polder_run_sandbox(box.fd, p), 0);
    assert_true(p->reason == POLDER_EXCEPTION || p->reason == POLDER_SYSCALL);
    aim(p, sn_int80, 0, 0);
    p->regs.cs = 0x23;
    assert_int_equal(polder_run_sandbox(box.fd, p), 0);
    assert_int_equal(p->reason, POLDER_EXCEPTION);
    assert_int_equal(p->vector, 13);
    assert_int_equal(p->error_code, 0x80 << 3 | 2);
    p->regs.cs = 0x33;
    box_syscall(&box, sn_syscall, 0, 0);
    box_close(&box);
}

/* Where the kernel does not trust the TSC, KVM moves a vCPU's offset about so that it does not run backwards. */
static bool tsc_is_stable(void)
{
#if __STDC_HOSTED__
    char sources[256] = "";
    FILE *file = fopen("/sys/devices/system/clocksource/clocksource0/available_clocksource", "re");

    if (file) {
        if (!fgets(sources, sizeof(sources), file))
            sources[0] = 0;
        fclose(file);
    }
    return strstr(sources, "tsc") != NULL;
#else
    return true; /* it is the same virtual processor's, in ring 0 and in ring 3 */
#endif
}

static void time_stamps(void **state)
{
    (void)state;
    struct box box;

    if (!tsc_is_stable()) {
        print_message("needs a kernel that trusts its time-stamp counter\n");
        skip();
    }

    box_open(&box);
    for (int i = 0; i < scaled(100); i++) {
        uint64_t before = __rdtsc();
        box_syscall(&box, sn_rdtsc, 0, 0);
        uint64_t after = __rdtsc();
        if (box.params.regs.rbx < before || box.params.regs.rbx > after)
            fail_msg("inside %llu, outside %lu to %lu", box.params.regs.rbx, before, after);
    }
    box_close(&box);
}

/* The processor that the sandbox sees has the vector instructions that the caller's has. */
static void cpuid_inside(void **state)
{
    (void)state;
    struct box box;
    unsigned a, b, c, d;

    box_open(&box);
    __cpuid(1, a, b, c, d);
    box_syscall(&box, sn_cpuid, 1, 0); /* its ecx is lost in the system call */
    assert_int_equal(box.params.regs.rdx & (bit_SSE | bit_SSE2 | bit_FXSAVE), d & (bit_SSE | bit_SSE2 | bit_FXSAVE));
    const unsigned bits = bit_AVX2 | bit_AVX512F | bit_BMI | bit_BMI2;
    __cpuid_count(7, 0, a, b, c, d);
    box_syscall(&box, sn_cpuid, 7, 0);
    assert_int_equal(box.params.regs.rbx & bits, b & bits);
    box_close(&box);
}

/* System calls one after the other, with faults among them: the way out leaves nothing behind for the next. */
static void one_after_the_other(void **state)
{
    (void)state;
    struct box box;
    uint64_t seed = 4711;

    box_open(&box);
    for (int i = 0; i < scaled(3000); i++) {
        switch (random_next(&seed) >> 61) {
        case 0:
            box_fault(&box, sn_load, BOX_FREE + (uint64_t)i * 8, 0, BOX_FREE + (uint64_t)i * 8, PF_U);
            break;
        case 1:
            box_exception(&box, sn_ud2, 0, 6, 0, SNIPPET(sn_ud2));
            break;
        case 2:
            box_exception(&box, sn_load, 0x8000000000000000, 13, 0, SNIPPET(sn_load));
            break;
        case 3:
            box_exception(&box, sn_int3, 0, 3, 0, SNIPPET(sn_int3_end));
            break;
        case 4:
            box_exception(&box, sn_trap_flag, 0, 1, 0, SNIPPET(sn_trap_flag_end));
            break;
        default:
            box.params.regs.rax = (uint64_t)i;
            box_syscall(&box, sn_syscall, 0, 0);
            assert_int_equal(box.params.regs.orig_rax, i);
        }
    }
    box_close(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_faults),
        cmocka_unit_test(upper_half),
        cmocka_unit_test(exceptions),
        cmocka_unit_test(software_interrupts),
        cmocka_unit_test(sysenter),
        cmocka_unit_test(floating_point_exceptions),
        cmocka_unit_test(alignment_check),
        cmocka_unit_test(not_canonical),
        cmocka_unit_test(registers_through_faults),
        cmocka_unit_test(registers_through_system_calls),
        cmocka_unit_test(registers_on_entry),
        cmocka_unit_test(flags_are_sanitised),
        cmocka_unit_test(trap_flag),
        cmocka_unit_test(single_step),
        cmocka_unit_test(selectors),
        cmocka_unit_test(segment_bases),
        cmocka_unit_test(segment_bases_written_inside),
        cmocka_unit_test(code_of_32_bits),
        cmocka_unit_test(time_stamps),
        cmocka_unit_test(cpuid_inside),
        cmocka_unit_test(one_after_the_other),
    };
    return RUN_GROUP("faults", tests);
}
