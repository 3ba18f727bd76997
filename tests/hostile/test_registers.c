/* SPDX-License-Identifier: MIT */
/*
 * Registers at their oddest: what goes in comes out, whatever it is; what ring 3 cannot have is refused or reported,
 * and is never a fault of ring 0's; no flag of a sandbox's reaches the caller.
 */
#include "attack.h"

extern const char registers_begin[], registers_end[], registers_load[], registers_store_backwards[], registers_flags[],
    registers_flags_end[], registers_write_fs[], registers_write_fs_end[], registers_write_gs[],
    registers_write_gs_end[], registers_read_bases[], registers_through_fs[], registers_through_gs[];
#define REGISTERS(label) (ATTACK_CODE + (uintptr_t)((label)-registers_begin))

#define KEPT_FLAGS (0xcd5ul | EFLAGS_AC | EFLAGS_ID) /* of eflags, what ring 3 may have; not TF */
#define LAST_PAGE 0x7fffffffe000ul                   /* that can be mapped */
#define LAST_END (LAST_PAGE + PAGE)

static const uint64_t edges[] = {0, 1, 0xfff, 0x1000, 0x7fffffff, 0x80000000, UINT32_MAX, 0x100000000, 0x7ffffffff000,
    0x7fffffffffff, 0x800000000000, 0x800000000001, 0xfffffffffffff, 0x7fffffffffffffff, 0x8000000000000000,
    0xffff000000000000, 0xffff7ffffffff000, 0xffff7fffffffffff, 0xffff800000000000, 0xffffc80000000000,
    0xfffffe0000000000, 0xfffffe4000000000, 0xffffffff80000000, 0xffffffffffffffff};
#define EDGES (sizeof(edges) / sizeof(edges[0]))

static bool is_canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

static void open_attacker(struct attacker *a)
{
    attacker_open(a);
    attack_code(a, registers_begin, (size_t)(registers_end - registers_begin));
}

/* A kernel's run-time has a short way in for a run that repeats the last one, without a deadline: as often as not. */
static void aim_at(struct attacker *a, uint64_t rip, size_t i)
{
    attack_aim(a, rip);
    if (i % 2)
        a->box.params.deadline_ns = 0;
}

static void check_now_and_then(struct attacker *a, size_t i)
{
    if (i % (__STDC_HOSTED__ || !ring0_is_emulated() ? 4 : 32) == 0)
        innocent_check(a);
}

static void fill(struct user_regs_struct *r, uint64_t *seed)
{
    unsigned long long *const all[] = {&r->rax, &r->rbx, &r->rcx, &r->rdx, &r->rsi, &r->rdi, &r->rbp, &r->rsp, &r->r8,
        &r->r9, &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15};

    for (size_t i = 0; i < 16; i++)
        *all[i] = odd_value(seed);
    r->eflags = random_next(seed) & ~EFLAGS_TF & ~EFLAGS_RF;
    r->fs_base = (uint64_t)((int64_t)random_next(seed) >> 17); /* canonical */
    r->gs_base = (uint64_t)((int64_t)random_next(seed) >> 17);
}

static void same(const struct attacker *a, const struct user_regs_struct *wanted)
{
    const unsigned long long *p = (const void *)&a->box.params.regs, *q = (const void *)wanted;

    for (size_t i = 0; i < sizeof(*wanted) / 8; i++)
        if (p[i] != q[i])
            attack_failed(a, "word %zu of the registers is %#llx, not %#llx", i, p[i], q[i]);
}

static void are_in_data(const struct attacker *a, const struct user_regs_struct *r)
{
    const uint64_t list[] = {r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rbp, r->rsp, r->r8, r->r9, r->r10,
        r->r11, r->r12, r->r13, r->r14, r->r15};

    for (size_t i = 0; i < 16; i++)
        if (a->box.data[i] != list[i])
            attack_failed(a, "register %zu is %#lx in memory, %#lx in the report", i, a->box.data[i], list[i]);
}

/* Random values, in by every way and out by every way. */
static void registers_both_ways(void **state)
{
    (void)state;
    struct attacker a;
    struct user_regs_struct *r = &a.box.params.regs, wanted;
    uint64_t seed = 20020120;

    open_attacker(&a);
    for (int i = 0; i < times(20000, __STDC_HOSTED__ ? 20000 : 1000); i++) {
        const unsigned way = random_next(&seed) % 5;
        aim_at(&a, BOX_FREE, random_next(&seed) / 2);
        fill(r, &seed);
        wanted = *r;
        wanted.eflags = (wanted.eflags & KEPT_FLAGS) | EFLAGS_IF | 2;
        if (way < 2) { /* a system call, after a look from inside or not; nothing is changed by either */
            r->rip = way ? SNIPPET(sn_syscall) : SNIPPET(sn_registers);
            attack_run_only(&a, way ? "a system call" : "a look from inside, and a system call");
            expect_reason(&a, POLDER_SYSCALL);
            if (way == 0)
                are_in_data(&a, &wanted);
            wanted.rip = way ? SNIPPET(sn_syscall_end) : r->rip;
            wanted.orig_rax = wanted.rax;
            wanted.rax = (uint64_t)-ENOSYS;
            wanted.rcx = wanted.rip;
            wanted.r11 = wanted.eflags;
            same(&a, &wanted);
        } else if (way < 4) {
            wanted.rip = r->rip = way == 2 ? SNIPPET(sn_ud2) : BOX_FREE;
            attack_run_only(&a, way == 2 ? "an exception" : "a page fault");
            if (way == 2)
                expect_exception(&a, 6, 0, wanted.rip);
            else
                expect_fault(&a, BOX_FREE, PF_U | PF_I, wanted.rip);
            wanted.orig_rax = UINT64_MAX;
            r->eflags &= ~EFLAGS_RF;
            same(&a, &wanted);
        } else { /* made inside, all of them; no entry has set them */
            for (size_t j = 0; j < 16; j++)
                a.box.data[j] = odd_value(&seed);
            r->rip = REGISTERS(registers_load);
            attack_run_only(&a, "registers loaded inside");
            expect_reason(&a, POLDER_EXCEPTION);
            are_in_data(&a, r);
            if (r->fs_base != wanted.fs_base || r->gs_base != wanted.gs_base)
                attack_failed(&a, "the bases are not %#llx, %#llx", wanted.fs_base, wanted.gs_base);
        }
        if (i % 64 == 0)
            innocent_check(&a);
    }
    attacker_close(&a);
}

/* The direction flag is ring 3's; what is copied for it goes forwards. */
static void the_direction_flag(void **state)
{
    (void)state;
    const uint64_t at = BOX_FREE;
    struct attacker a;
    struct polder_params *p = &a.box.params;
    static uint8_t page[PAGE], got[PAGE];

    open_attacker(&a);
    for (int i = 0; i < times(200, 8); i++) {
        box_map_anonymous(&a.box, at, 2 * PAGE, RW);
        for (size_t j = 0; j < PAGE; j++)
            page[j] = (uint8_t)(j * 7 + (size_t)i);
        attack_put(&a, at, page, PAGE);
        int copy = polder_copy(a.box.fd);
        assert_true(copy >= 0);
        /* Copied on write, and zeroed, in a fault with DF set. */
        attack_aim(&a, i & 1 ? REGISTERS(registers_store_backwards) : SNIPPET(sn_store_byte));
        p->regs.rdi = at + 100;
        p->regs.eflags |= EFLAGS_DF;
        attack_run_only(&a, "a write with the direction flag set");
        expect_reason(&a, POLDER_SYSCALL);
        assert_true(p->regs.eflags & EFLAGS_DF);
        p->regs.rip = SNIPPET(sn_load);
        p->regs.rdi = at + PAGE;
        attack_run_only(&a, "a read with the direction flag set");
        expect_reason(&a, POLDER_SYSCALL);
        assert_int_equal(p->regs.rbx, 0);
        assert_int_equal(polder_read(a.box.fd, got, PAGE, at), PAGE);
        for (size_t j = 0; j < PAGE; j++)
            if (j != 100)
                assert_int_equal(got[j], page[j]);
        assert_int_equal(polder_read(copy, got, PAGE, at), PAGE);
        assert_memory_equal(got, page, PAGE);
        p->regs.eflags |= EFLAGS_DF;
        p->regs.rip = SNIPPET(sn_hlt);
        attack_run_only(&a, "an exception with the direction flag set");
        uint64_t flags;
        __asm__ volatile("pushf; pop %0" : "=r"(flags));
        assert_int_equal(flags & (EFLAGS_DF | EFLAGS_TF | EFLAGS_NT | EFLAGS_AC), 0);
        assert_int_equal(flags & EFLAGS_IF, __STDC_HOSTED__ ? EFLAGS_IF : 0);
        close(copy);
        innocent_check(&a);
    }
    attacker_close(&a);
}

static void refused(struct attacker *a, const char *name)
{
    struct polder_params before = a->box.params;

    a->name = name;
    if (polder_run_sandbox(a->box.fd, &a->box.params) == 0)
        attack_failed(a, "it was not refused");
    if (errno != EINVAL)
        attack_failed(a, "it was refused with %s", strerror(errno));
    assert_memory_equal(&before, &a->box.params, sizeof(before));
}

/* Selectors, flags and bases that ring 3 cannot have are EINVAL, and nothing has changed. */
static void what_is_refused(void **state)
{
    (void)state;
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    attack_aim(&a, SNIPPET(sn_syscall));
    attack_run_only(&a, "what can be entered"); /* so that there is a context */
    for (unsigned i = 0; i < 0x200; i++) {
        /* All selectors of a table; one with each bit more; each bit alone. */
        const uint64_t value = i < 0x100   ? i
                               : i < 0x140 ? 0x33 ^ 1ul << (i - 0x100)
                               : i < 0x180 ? 0x2b ^ 1ul << (i - 0x140)
                               : i < 0x1c0 ? 0x23 ^ 1ul << (i - 0x180)
                                           : 1ul << (i - 0x1c0);
        aim_at(&a, SNIPPET(sn_syscall), i);
        p->regs.cs = value;
        if (value != 0x33 && value != 0x23)
            refused(&a, "cs");
        aim_at(&a, SNIPPET(sn_syscall), i);
        p->regs.ss = value;
        if (value != 0x2b)
            refused(&a, "ss");
    }
    innocent_check(&a);
    for (unsigned bit = 3; bit < 32; bit++) {
        attack_aim(&a, SNIPPET(sn_syscall));
        p->flags = 1u << bit;
        refused(&a, "flags");
    }
    for (uint32_t flag = POLDER_XSTATE_LOAD; flag <= POLDER_XSTATE_STORE; flag *= 2) {
        static uint8_t xstate[16384] __attribute__((aligned(64)));
        attack_aim(&a, SNIPPET(sn_syscall));
        p->flags = flag;
        refused(&a, "no state");
        p->xstate = xstate;
        p->xstate_size = polder_xstate_size() - 1;
        refused(&a, "a state that is too small");
        p->xstate = NULL;
        p->xstate_size = 0;
    }
    for (size_t i = 0; i < EDGES; i++) {
        attack_aim(&a, SNIPPET(sn_syscall));
        p->regs.fs_base = edges[i];
        if (!is_canonical(edges[i]))
            refused(&a, "the base of fs");
        attack_aim(&a, SNIPPET(sn_syscall));
        p->regs.gs_base = edges[i];
        if (!is_canonical(edges[i]))
            refused(&a, "the base of gs");
        check_now_and_then(&a, i);
    }
    attack_aim(&a, SNIPPET(sn_syscall));
    attack_run(&a, "what can be entered, once more");
    expect_syscall(&a, SNIPPET(sn_syscall_end));
#if !__STDC_HOSTED__
    assert_errno(polder_run_sandbox(a.box.fd, NULL), EFAULT);
    assert_errno(polder_run_sandbox(a.box.fd, (struct polder_params *)BOX_DATA), EFAULT);
#endif
    attacker_close(&a);
}

/* Where ring 3 begins: mapped nowhere is a page fault, not canonical #GP, both where they are. */
static void instruction_pointers(void **state)
{
    (void)state;
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    for (size_t i = 0; i < EDGES; i++)
        for (int narrow = 0; narrow < 2; narrow++) {
            static const uint64_t stacks[] = {0, BOX_STACK + PAGE, 0x800000000000, 0xfffffe0000000000};
            for (size_t j = 0; j < 4; j++) {
                char name[60];
                aim_at(&a, edges[i], j);
                p->regs.cs = narrow ? 0x23 : 0x33;
                p->regs.rsp = stacks[j];
                snprintf(name, sizeof(name), "rip %#lx, cs %#llx, rsp %#lx", edges[i], p->regs.cs, stacks[j]);
                attack_run_only(&a, name);
                if (narrow ? edges[i] >> 32 != 0 : !is_canonical(edges[i]))
                    expect_exception(&a, 13, 0, edges[i]);
                else
                    expect_fault(&a, edges[i], PF_U | PF_I, edges[i]);
                /* In code of 32 bits what is above them is nobody's; QEMU's emulation loads 32. */
                if (narrow ? (uint32_t)p->regs.rsp != (uint32_t)stacks[j] : p->regs.rsp != stacks[j])
                    attack_failed(&a, "rsp is not what it was");
            }
            check_now_and_then(&a, i);
        }
    attacker_close(&a);
}

/* What ring 3 sees and what is reported, of each flag and of all but each. */
static void flags(void **state)
{
    (void)state;
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    for (unsigned i = 0; i < 2 * 64; i++)
        for (int narrow = 0; narrow < 2; narrow++) {
            const uint64_t given = i & 1 ? ~(1ul << i / 2) : 1ul << i / 2;
            const uint64_t wanted = (given & KEPT_FLAGS) | EFLAGS_IF | 2;
            char name[60];
            aim_at(&a, REGISTERS(registers_flags), i / 2);
            p->regs.cs = narrow ? 0x23 : 0x33;
            p->regs.eflags = given;
            snprintf(name, sizeof(name), "flags %#lx, cs %#llx", given, p->regs.cs);
            attack_run_only(&a, name);
            if (given & EFLAGS_TF) { /* it is there already at the first instruction */
                expect_exception(&a, 1, 0, REGISTERS(registers_flags) + 1);
                if ((p->regs.eflags & ~EFLAGS_RF) != (wanted | EFLAGS_TF))
                    attack_failed(&a, "the flags are not %#lx", wanted | EFLAGS_TF);
            } else {
                expect_exception(&a, 6, 0, REGISTERS(registers_flags_end));
                if ((p->regs.rbx & ~EFLAGS_RF) != wanted || (p->regs.eflags & ~EFLAGS_RF) != wanted)
                    attack_failed(&a, "it saw %#llx, not %#lx", p->regs.rbx, wanted);
            }
            check_now_and_then(&a, i);
        }
    attacker_close(&a);
}

/* Bases that the caller gives, that ring 3 writes, and what is reached through them. */
static void segment_bases(void **state)
{
    (void)state;
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    for (size_t i = 0; i < EDGES; i++) {
        for (int gs = 0; gs < 2; gs++) {
            const uint64_t at = gs ? REGISTERS(registers_write_gs) : REGISTERS(registers_write_fs);
            const uint64_t end = gs ? REGISTERS(registers_write_gs_end) : REGISTERS(registers_write_fs_end);
            attack_aim(&a, at);
            p->regs.fs_base = 0x1000;
            p->regs.gs_base = 0x2000;
            p->regs.rdi = edges[i];
            attack_run_only(&a, gs ? "wrgsbase" : "wrfsbase");
            const uint64_t base = gs ? p->regs.gs_base : p->regs.fs_base;
            const uint64_t other = gs ? p->regs.fs_base - 0x1000 : p->regs.gs_base - 0x2000;
            if (is_canonical(edges[i])) {
                expect_exception(&a, 6, 0, end);
                if (base != edges[i])
                    attack_failed(&a, "the base is not %#lx", edges[i]);
            } else if (!processor_is_tcg()) {
                expect_exception(&a, 13, 0, at);
                if (base != (gs ? 0x2000 : 0x1000))
                    attack_failed(&a, "a base has changed");
            } else { /* QEMU's emulation loads it, and cuts it to 48 bits at the next entry of the guest */
                expect_exception(&a, 6, 0, end);
                if (!is_canonical(base))
                    refused(&a, "a base that was reported");
            }
            if (other)
                attack_failed(&a, "the other base has changed");
            check_now_and_then(&a, i);
            if (!is_canonical(edges[i]))
                continue;
            /* Given by the caller, and used: the sum is what counts, and is cut to 64 bits. */
            aim_at(&a, REGISTERS(registers_read_bases), 1);
            p->regs.fs_base = gs ? 0x3000 : edges[i];
            p->regs.gs_base = gs ? edges[i] : 0x3000;
            attack_run_only(&a, "bases of the caller's");
            if ((gs ? p->regs.r12 : p->regs.rbx) != edges[i] || (gs ? p->regs.rbx : p->regs.r12) != 0x3000)
                attack_failed(&a, "ring 3 has the bases %#llx and %#llx", p->regs.rbx, p->regs.r12);
            const uint64_t code = gs ? REGISTERS(registers_through_gs) : REGISTERS(registers_through_fs);
            for (int j = 0; j < 4; j++) {
                const uint64_t target = j == 0   ? BOX_DATA + 8
                                        : j == 1 ? BOX_FREE
                                        : j == 2 ? 0x800000000000
                                                 : 0xfffffe0000000000;
                a.box.data[1] = 0x6261736500000000 | i;
                p->regs.rip = code;
                p->regs.rdi = target - edges[i];
                attack_run_only(&a, gs ? "through gs" : "through fs");
                if (j == 0 && (p->reason != POLDER_SYSCALL || p->regs.rbx != a.box.data[1]))
                    attack_failed(&a, "it read %#llx", p->regs.rbx);
                else if (j == 2)
                    expect_exception(&a, 13, 0, code);
                else if (j != 0)
                    expect_fault(&a, target, PF_U, code);
            }
        }
    }
    attacker_close(&a);
}

/* The last instructions below the hole: SYSCALL's return address is behind all that can be mapped. */
static void the_end_of_the_lower_half(void **state)
{
    (void)state;
    static const uint8_t call[] = {0x0f, 0x05}, nops[] = {0x90, 0x90, 0x90}, jump[] = {0xff, 0xe7}, half[] = {0x0f},
                         load[] = {0x48, 0x8b, 0x1f};
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    assert_errno(
        polder_mmap((void *)LAST_END, PAGE, ALL_RWX, ANONYMOUS | MAP_FIXED, -1, 0, a.box.fd) == MAP_FAILED ? -1 : 0,
        ENOMEM);
    box_map_anonymous(&a.box, LAST_PAGE, PAGE, ALL_RWX);
    for (int i = 0; i < times(40, 4); i++) {
        attack_put(&a, LAST_END - 2, call, 2);
        attack_aim(&a, LAST_END - 2);
        p->regs.rcx = p->regs.r11 = edges[(size_t)i % EDGES]; /* SYSCALL takes them, whatever they are */
        attack_run(&a, "SYSCALL at the end of the lower half");
        expect_syscall(&a, LAST_END);
        if (p->regs.rcx != LAST_END || p->regs.r11 != (EFLAGS_IF | 2))
            attack_failed(&a, "rcx is %#llx, r11 %#llx", p->regs.rcx, p->regs.r11);
        attack_run(&a, "back behind it");
        expect_fault(&a, LAST_END, PF_U | PF_I, LAST_END);
        attack_put(&a, LAST_END - 3, nops, 3);
        attack_aim(&a, LAST_END - 3);
        attack_run(&a, "off the end of the lower half");
        expect_fault(&a, LAST_END, PF_U | PF_I, LAST_END);
        attack_put(&a, LAST_END - 1, half, 1);
        attack_aim(&a, LAST_END - 1);
        attack_run(&a, "half an instruction at the end of the lower half");
        expect_fault(&a, LAST_END, PF_U | PF_I, LAST_END - 1);
        attack_put(&a, LAST_END - 2, jump, 2);
        for (size_t j = 0; j < EDGES; j++) {
            const bool canonical = is_canonical(edges[j]);
            attack_aim(&a, LAST_END - 2);
            p->regs.rdi = edges[j];
            attack_run_only(&a, "a jump from the end of the lower half");
            if (canonical)
                expect_fault(&a, edges[j], PF_U | PF_I, edges[j]);
            else /* processors differ in whether the jump is done */
                expect_exception(&a, 13, 0, p->regs.rip == edges[j] ? edges[j] : LAST_END - 2);
        }
        innocent_check(&a);
        /* Data that crosses the end, and the hole. */
        attack_put(&a, LAST_END - 3, load, 3);
        for (unsigned back = 1; back < 8; back++) {
            attack_aim(&a, LAST_END - 3);
            p->regs.rdi = LAST_END - back;
            attack_run_only(&a, "a load across the end of the lower half");
            expect_fault(&a, LAST_END, PF_U, LAST_END - 3);
        }
        innocent_check(&a);
    }
    attacker_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers_both_ways),
        cmocka_unit_test(the_direction_flag),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(instruction_pointers),
        cmocka_unit_test(flags),
        cmocka_unit_test(segment_bases),
        cmocka_unit_test(the_end_of_the_lower_half),
    };
    return RUN_GROUP("hostile: registers", tests);
}
