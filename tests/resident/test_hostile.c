/* SPDX-License-Identifier: MIT */
/*
 * Ring 3 at its worst, and registers at their oddest: what goes in comes out, whatever it is; no flag, stack, segment
 * or instruction of a sandbox's reaches the kernel; and code of random bytes with random registers is reported, for
 * ever.
 */
#include "kernel.h"

static const uint64_t at = BOX_FREE;

#define KEPT_FLAGS (0xcd5ul | EFLAGS_AC | EFLAGS_ID) /* of eflags, what ring 3 may have; not TF */

static void run(struct box *box, uint64_t rip)
{
    box->params.regs.rip = rip;
    if (polder_run_sandbox(box->fd, &box->params) < 0)
        fail_msg("polder_run_sandbox: %s", strerror(errno));
}

static uint64_t odd(uint64_t *seed)
{
    static const uint64_t list[] = {0, 1, 7, 8, UINT64_MAX, 0x8000000000000000, 0x7fffffffffff, 0x800000000000,
        0xffff800000000000, 0xffffffff80000000, POLDER_STUB_BASE, POLDER_DIRECT_BASE + BOOT_RAM_BASE, BOX_DATA,
        BOX_CODE, BOX_STACK + PAGE, KERNEL_CODE};
    uint64_t n = random_next(seed);

    return n % 3 ? n : list[n / 3 % (sizeof(list) / sizeof(list[0]))];
}

static void fill(struct user_regs_struct *r, uint64_t *seed)
{
    unsigned long long *const all[] = {&r->rax, &r->rbx, &r->rcx, &r->rdx, &r->rsi, &r->rdi, &r->rbp, &r->rsp, &r->r8,
        &r->r9, &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15};

    for (size_t i = 0; i < 16; i++)
        *all[i] = odd(seed);
    r->eflags = random_next(seed) & ~EFLAGS_TF & ~EFLAGS_RF;
    r->fs_base = (uint64_t)((int64_t)random_next(seed) >> 17); /* canonical */
    r->gs_base = (uint64_t)((int64_t)random_next(seed) >> 17);
}

static void same(const struct user_regs_struct *a, const struct user_regs_struct *b, const char *what)
{
    const unsigned long long *p = (const void *)a, *q = (const void *)b;

    for (size_t i = 0; i < sizeof(*a) / 8; i++)
        if (p[i] != q[i])
            fail_msg("%s: word %zu of the registers is %#llx, not %#llx", what, i, p[i], q[i]);
}

/* Random values, in by every way and out by every way. */
static void registers_both_ways(void **state)
{
    (void)state;
    struct box box;
    struct user_regs_struct *r = &box.params.regs, wanted;
    uint64_t seed = 20020120;

    box_open(&box);
    map_code(box.fd);
    for (int i = 0; i < times(20000, 1000); i++) {
        fill(r, &seed);
        wanted = *r;
        wanted.eflags = (wanted.eflags & KEPT_FLAGS) | EFLAGS_IF | 2;
        switch (random_next(&seed) % 5) {
        case 0: /* seen from inside, and nothing changed by it */
            run(&box, SNIPPET(sn_registers));
            assert_int_equal(box.params.reason, POLDER_SYSCALL);
            const uint64_t list[] = {wanted.rax, wanted.rbx, wanted.rcx, wanted.rdx, wanted.rsi, wanted.rdi, wanted.rbp,
                wanted.rsp, wanted.r8, wanted.r9, wanted.r10, wanted.r11, wanted.r12, wanted.r13, wanted.r14,
                wanted.r15};
            for (size_t j = 0; j < 16; j++)
                assert_int_equal(box.data[j], list[j]);
            wanted.orig_rax = wanted.rax;
            wanted.rax = (uint64_t)-ENOSYS;
            wanted.rip = wanted.rcx = r->rip;
            wanted.r11 = wanted.eflags;
            same(r, &wanted, "a system call after a look from inside");
            break;
        case 1:
            run(&box, SNIPPET(sn_syscall));
            assert_int_equal(box.params.reason, POLDER_SYSCALL);
            wanted.orig_rax = wanted.rax;
            wanted.rax = (uint64_t)-ENOSYS;
            wanted.rip = wanted.rcx = SNIPPET(sn_syscall_end);
            wanted.r11 = wanted.eflags;
            same(r, &wanted, "a system call");
            break;
        case 2:
            run(&box, SNIPPET(sn_ud2));
            assert_int_equal(box.params.vector, 6);
            wanted.rip = SNIPPET(sn_ud2);
            wanted.orig_rax = UINT64_MAX;
            r->eflags &= ~EFLAGS_RF;
            same(r, &wanted, "an exception");
            break;
        case 3:
            run(&box, at);
            assert_int_equal(box.params.reason, POLDER_PAGE_FAULT);
            wanted.rip = at;
            wanted.orig_rax = UINT64_MAX;
            r->eflags &= ~EFLAGS_RF;
            same(r, &wanted, "a page fault");
            break;
        default: /* made inside, all of them; no entry has set them */
            for (size_t j = 0; j < 16; j++)
                box.data[j] = odd(&seed);
            run(&box, CODE(code_load_registers));
            assert_int_equal(box.params.vector, 6);
            const uint64_t made[] = {r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rbp, r->rsp, r->r8, r->r9,
                r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};
            for (size_t j = 0; j < 16; j++)
                assert_int_equal(made[j], box.data[j]);
            assert_int_equal(r->fs_base, wanted.fs_base);
            assert_int_equal(r->gs_base, wanted.gs_base);
        }
    }
    box_close(&box);
}

/* The direction flag is ring 3's; what the kernel copies for it goes forwards. */
static void the_direction_flag(void **state)
{
    (void)state;
    struct box box;
    uint8_t page[PAGE], canary[64];

    box_open(&box);
    map_code(box.fd);
    memset(canary, 0x5a, sizeof(canary));
    for (int i = 0; i < times(200, 8); i++) {
        box_map_anonymous(&box, at, 2 * PAGE, RW);
        for (size_t j = 0; j < PAGE; j++)
            page[j] = (uint8_t)(j * 7 + (size_t)i);
        assert_int_equal(polder_write(box.fd, page, PAGE, at), PAGE);
        int copy = polder_copy(box.fd);
        assert_true(copy >= 0);
        /* Copied on write, and zeroed, in a fault with DF set. */
        box.params.regs.rdi = at + 100;
        box.params.regs.eflags = 2 | EFLAGS_IF | EFLAGS_DF;
        run(&box, i & 1 ? CODE(code_cow) : SNIPPET(sn_store_byte));
        assert_int_equal(box.params.reason, POLDER_SYSCALL);
        assert_true(box.params.regs.eflags & EFLAGS_DF);
        box.params.regs.rdi = at + PAGE;
        run(&box, SNIPPET(sn_load));
        assert_int_equal(box.params.regs.rbx, 0);
        uint8_t got[PAGE];
        assert_int_equal(polder_read(box.fd, got, PAGE, at), PAGE);
        for (size_t j = 0; j < PAGE; j++)
            if (j != 100)
                assert_int_equal(got[j], page[j]);
        assert_int_equal(polder_read(copy, got, PAGE, at), PAGE);
        assert_memory_equal(got, page, PAGE);
        box.params.regs.eflags |= EFLAGS_DF;
        run(&box, SNIPPET(sn_hlt));
        uint64_t flags;
        __asm__ volatile("pushf; pop %0" : "=r"(flags));
        assert_int_equal(flags & (EFLAGS_DF | EFLAGS_IF | EFLAGS_TF | EFLAGS_NT), 0);
        close(copy);
    }
    for (size_t i = 0; i < sizeof(canary); i++)
        assert_int_equal(canary[i], 0x5a);
    box_close(&box);
}

/* Stacks that nothing can be pushed on, through every way out, with every flag. */
static void stacks(void **state)
{
    (void)state;
    struct box box;
    struct polder_params *p = &box.params;
    uint64_t seed = 41;

    box_open(&box);
    map_code(box.fd);
    for (int i = 0; i < times(3000, 300); i++) {
        static const char *const ways[] = {sn_syscall, sn_ud2, sn_hlt, sn_divide, sn_int3, sn_int80};
        static const uint32_t vectors[] = {0, 6, 13, 0, 3, 13};
        size_t way = random_next(&seed) % 6;
        aim(p, ways[way], 0, 0);
        const uint64_t rsp = odd(&seed);
        p->regs.rsp = rsp;
        p->regs.eflags = (random_next(&seed) & ~EFLAGS_TF) | EFLAGS_IOPL | EFLAGS_NT;
        assert_int_equal(polder_run_sandbox(box.fd, p), 0);
        assert_int_equal(p->reason, way ? POLDER_EXCEPTION : POLDER_SYSCALL);
        assert_int_equal(p->vector, vectors[way]);
        assert_int_equal(p->regs.rsp, rsp);
        assert_int_equal(p->regs.eflags & (EFLAGS_IOPL | EFLAGS_NT | EFLAGS_VM | EFLAGS_VIF | EFLAGS_VIP), 0);
    }
    box_close(&box);
}

/* TF at a system call, MOV SS before one, both; INT1. */
static void debug_traps(void **state)
{
    (void)state;
    struct box box;
    struct polder_params *p = &box.params;

    box_open(&box);
    map_code(box.fd);
    for (int i = 0; i < 40; i++) {
        aim(p, sn_syscall, 0, 0);
        p->regs.eflags |= EFLAGS_TF;
        p->regs.rax = (uint64_t)i;
        assert_int_equal(polder_run_sandbox(box.fd, p), 0);
        assert_int_equal(p->reason, POLDER_SYSCALL);
        assert_int_equal(p->regs.orig_rax, i);
        for (int flag = 0; flag < 2; flag++) {
            aim(p, sn_syscall, 0, 0);
            p->regs.rip = CODE(code_mov_ss);
            p->regs.rbx = 0x2b;
            p->regs.rax = 41;
            p->regs.rsp = i & 1 ? 0 : BOX_STACK + PAGE;
            p->regs.eflags = 2 | EFLAGS_IF | (flag ? EFLAGS_TF : 0);
            assert_int_equal(polder_run_sandbox(box.fd, p), 0);
            if (p->reason == POLDER_EXCEPTION && flag) { /* where MOV SS holds nothing back */
                assert_int_equal(p->vector, 1);
                assert_int_equal(p->regs.rip, CODE(code_mov_ss) + 2);
                continue;
            }
            assert_int_equal(p->reason, POLDER_SYSCALL);
            assert_int_equal(p->regs.orig_rax, 41);
            assert_int_equal(p->regs.rip, CODE(code_mov_ss_end));
            assert_int_equal(p->regs.ss, 0x2b);
        }
        aim(p, sn_syscall, 0, 0);
        p->regs.rip = CODE(code_int1);
        assert_int_equal(polder_run_sandbox(box.fd, p), 0);
        assert_int_equal(p->reason, POLDER_EXCEPTION);
        assert_true(p->vector == 1 || p->vector == 6 || p->vector == 13); /* PVM emulates none */
    }
    box_syscall(&box, sn_syscall, 0, 0);
    box_close(&box);
}

/*
 * SYSCALL in code of 32 bits: #UD on Intel; on AMD it goes to CSTAR with ring 3's stack pointer, all 64 bits of it. In
 * no case is it the kernel's end.
 */
static void system_calls_of_32_bits(void **state)
{
    (void)state;
    struct box box;
    struct polder_params *p = &box.params;
    static const uint64_t rsps[] = {BOX_STACK + PAGE, 0, 0xfffffff8, UINT64_MAX, 0xffffffff80000000, 0x8000000000000000,
        0xfffffe0000004c00, 0x7fffffffffff};

    box_open(&box);
    map_code(box.fd);
    for (size_t i = 0; i < 2 * sizeof(rsps) / sizeof(rsps[0]); i++) {
        const uint64_t rsp = i / 2 ? rsps[i / 2] : rsps[0];
        aim(p, sn_syscall32, 0, 0);
        p->regs.rsp = rsp;
        if (i & 1) { /* straight in, or by a jump of its own from code of 64 bits */
            p->regs.cs = 0x23;
        } else {
            *(volatile uint32_t *)box.data = (uint32_t)CODE(code_compat_target);
            ((volatile uint16_t *)box.data)[2] = 0x23;
            p->regs.rip = CODE(code_compat_syscall);
            p->regs.rdi = BOX_DATA;
            p->regs.rsi = rsp;
        }
        p->regs.rax = 20;
        p->regs.rdi = BOX_DATA;
        assert_int_equal(polder_run_sandbox(box.fd, p), 0);
        assert_int_equal(p->reason, POLDER_EXCEPTION);
        assert_int_equal(p->vector, 6);
        assert_int_equal(p->error_code, 0);
        assert_int_equal(p->regs.cs, 0x23);
        assert_int_equal(p->regs.rip, i & 1 ? SNIPPET(sn_syscall32) : CODE(code_compat_target));
        assert_int_equal(p->regs.rax, 20);
        p->regs.cs = 0x33;
        box_syscall(&box, sn_syscall, 0, 0);
    }
    box_close(&box);
}

/* What an iretq would fault at, in ring 0, is reported or refused; the kernel lives. */
static void what_cannot_be_entered(void **state)
{
    (void)state;
    struct box box;
    struct polder_params *p = &box.params;

    box_open(&box);
    aim(p, sn_syscall, 0, 0);
    p->regs.cs = 0x23;
    p->regs.rip = 0x100000000 + SNIPPET(sn_syscall);
    assert_int_equal(polder_run_sandbox(box.fd, p), 0);
    assert_int_equal(p->reason, POLDER_EXCEPTION);
    assert_int_equal(p->vector, 13);
    assert_int_equal(p->regs.rip, 0x100000000 + SNIPPET(sn_syscall));
    p->regs.cs = 0x33;
    box_syscall(&box, sn_syscall, 0, 0);
    assert_errno(polder_run_sandbox(box.fd, NULL), EFAULT);
    assert_errno(polder_run_sandbox(box.fd, (struct polder_params *)BOX_DATA), EFAULT);
    box_syscall(&box, sn_syscall, 0, 0);
    box_close(&box);
}

/* Faults by the thousand, of every kind, from one context and another. */
static void storms(void **state)
{
    (void)state;
    struct box box;
    struct polder_params other;

    box_open(&box);
    polder_params_init(&other);
    for (int i = 0; i < times(20000, 2000); i++) {
        struct polder_params *p = i % 7 ? &box.params : &other;
        aim(p, i % 3 ? sn_ud2 : sn_hlt, 0, 0);
        assert_int_equal(polder_run_sandbox(box.fd, p), 0);
        assert_int_equal(p->vector, i % 3 ? 6 : 13);
    }
    polder_params_fini(&other);
    box_close(&box);
}

/* Every INT n. */
static void software_interrupts(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    box_map_anonymous(&box, at, PAGE, ALL_RWX);
    for (unsigned n = 0; n < 256; n++) {
        const uint8_t code[] = {0xcd, (uint8_t)n, 0x0f, 0x0b};
        assert_int_equal(polder_write(box.fd, code, sizeof(code), at), sizeof(code));
        aim(&box.params, sn_syscall, 0, 0);
        run(&box, at);
        assert_int_equal(box.params.reason, POLDER_EXCEPTION);
        if (n == 3) { /* as int3 is */
            assert_int_equal(box.params.vector, 3);
            assert_int_equal(box.params.regs.rip, at + 2);
            continue;
        }
        /* PVM takes these for itself, and goes on behind them. */
        if (shim_ring0_is_emulated() && (n == 0x17 || n == 0x19 || n == 0x1a)) {
            assert_int_equal(box.params.regs.rip, at + 2);
            continue;
        }
        assert_int_equal(box.params.vector, 13);
        assert_int_equal(box.params.error_code, n << 3 | 2);
        assert_int_equal(box.params.regs.rip, at);
    }
    box_close(&box);
}

/* Where the tables are is nobody's business: UMIP, where the processor has it; a fault or an answer, and no harm. */
static void descriptor_tables(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    map_code(box.fd);
    box.params.regs.rdi = BOX_DATA;
    run(&box, CODE(code_descriptors));
    assert_true(box.params.reason == POLDER_SYSCALL || box.params.vector == 13);
    box_close(&box);
}

/* Code of random bytes, with random registers. Whatever it does, it comes back, and the kernel's memory is as it was.
 */
static void random_code(void **state)
{
    (void)state;
    struct box box;
    struct polder_params *p = &box.params;
    const char *choice = getenv("seed");
    uint64_t seed = choice ? strtoull(choice, NULL, 0) | 1 : 1812, reasons[16] = {0};
    uint64_t *canary = malloc(PAGE);

    box_open(&box);
    for (size_t i = 0; i < 512; i++)
        canary[i] = i;
    box_map_anonymous(&box, at, 2 * PAGE, ALL_RWX);
    for (int i = 0; i < times(20000, 600); i++) {
        uint8_t code[64];
        static const uint8_t interesting[] = {0x0f, 0x48, 0xf0, 0xf3, 0x66, 0xcd, 0xcf, 0xcb, 0x8e, 0x17, 0x9d, 0xfd,
            0x05, 0x01, 0xae, 0xc7, 0xff, 0xea, 0x65, 0x64};
        for (size_t j = 0; j < sizeof(code); j++) {
            uint64_t n = random_next(&seed);
            code[j] = n % 4 ? (uint8_t)(n >> 8) : interesting[(n >> 8) % sizeof(interesting)];
        }
        assert_int_equal(polder_write(box.fd, code, sizeof(code), at), sizeof(code));
        fill(&p->regs, &seed);
        p->regs.cs = random_next(&seed) % 8 ? 0x33 : 0x23;
        p->flags = random_next(&seed) % 8 ? 0 : POLDER_SINGLE_STEP;
        if (random_next(&seed) % 4 == 0)
            p->regs.eflags |= EFLAGS_TF;
        p->deadline_ns = 3000000;
        run(&box, at);
        assert_true(p->reason >= POLDER_SYSCALL && p->reason <= POLDER_BUS);
        reasons[p->reason]++;
        /* On QEMU's emulation an IRET of 32-bit code goes to virtual-8086 mode, which no processor does. */
        if (p->regs.cs != 0x33 && p->regs.cs != 0x23 && !shim_processor_is_tcg())
            fail_msg("cs %#llx, reason %u, vector %u, rip %#llx", p->regs.cs, p->reason, p->vector, p->regs.rip);
        assert_true(p->regs.ss == 0x2b || shim_processor_is_tcg());
        p->regs.ss = 0x2b;
        if (p->reason == POLDER_PAGE_FAULT)
            assert_int_equal(p->error_code & ~0x17ul, 0);
        if (i % 64 == 0) {
            for (size_t j = 0; j < 512; j++)
                assert_int_equal(canary[j], j);
            p->regs.cs = 0x33;
            p->flags = 0;
            p->deadline_ns = 0;
            p->regs.fs_base = p->regs.gs_base = 0;
            box_map_anonymous(&box, at, 2 * PAGE, ALL_RWX);
            box_syscall(&box, sn_syscall, 0, 0);
        }
    }
    print_message("%lu system calls, %lu page faults, %lu exceptions, %lu steps, %lu deadlines\n", reasons[1],
        reasons[2], reasons[3], reasons[4], reasons[7]);
    free(canary);
    box_close(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers_both_ways),
        cmocka_unit_test(the_direction_flag),
        cmocka_unit_test(stacks),
        cmocka_unit_test(debug_traps),
        cmocka_unit_test(system_calls_of_32_bits),
        cmocka_unit_test(what_cannot_be_entered),
        cmocka_unit_test(storms),
        cmocka_unit_test(software_interrupts),
        cmocka_unit_test(descriptor_tables),
        cmocka_unit_test(random_code),
    };
    return RUN_GROUP("hostile", tests);
}
