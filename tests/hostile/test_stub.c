/* SPDX-License-Identifier: MIT */
/*
 * Jumps into ring 0's code, at every byte, and the one address where PVM makes a system call of it: a sandbox that
 * jumps there gets what SYSCALL with the same RCX and R11 gives, and nothing more.
 */
#include "attack.h"

#include <polder/abi.h>

#define CONTINUE (ATTACK_CODE + 0x100)                              /* UD2 */
#define SYSCALL_KEEPS (0xcd5ul | EFLAGS_TF | EFLAGS_AC | EFLAGS_ID) /* of R11, what may become eflags */
#define IMAGE 0xffffffff80000000ul                                  /* of a kernel; nothing, where hosted */

static const uint8_t jump[] = {0xff, 0xe7}, call[] = {0xff, 0xd7}, ret[] = {0x57, 0xc3};

/* Where the last jump was a system call; 0 if nowhere. */
static uint64_t entry;

static void go(struct attacker *a, uint64_t address, bool directly)
{
    attack_aim(a, directly ? address : ATTACK_CODE);
    a->box.params.regs.rdi = address;
    a->box.params.regs.rcx = CONTINUE;
    a->box.params.regs.r11 = 0x246;
    attack_run_only(a, directly ? "a run that begins in ring 0's code" : "a jump into ring 0's code");
    if (a->box.params.reason == POLDER_SYSCALL && ring0_is_emulated() && (!entry || entry == address)) {
        entry = address;
        expect_syscall(a, CONTINUE);
        assert_int_equal(a->box.params.regs.eflags, 0x246);
        return;
    }
    expect_fault(a, address, PF_U | PF_I, address);
}

static void every_byte(void **state)
{
    (void)state;
    struct attacker a;

    attacker_open(&a);
    attack_code(&a, jump, sizeof(jump));
    /* In a kernel whose ring 0 is emulated that is slow: every third, and the others until the entry is found. */
    const uint64_t step = ring0_is_emulated() && !__STDC_HOSTED__ ? 3 : 1;
    for (uint64_t start = 0; start < step && (start == 0 || !entry); start++)
        for (uint64_t i = start; i < AREA_CODE_SIZE && (start == 0 || !entry); i += step) {
            go(&a, POLDER_STUB_BASE + AREA_CODE + i, false);
            if (i % 512 == 0)
                innocent_check(&a);
        }
    /* SYSCALL works, so the entry is somewhere there. */
    assert_int_equal(entry != 0, ring0_is_emulated());
    /* What is behind the code, and a kernel's own image. */
    for (uint64_t i = 0; i < AREA_SIZE - AREA_CODE_SIZE; i += 61 * step)
        go(&a, POLDER_STUB_BASE + AREA_CODE_SIZE + i, false);
    for (uint64_t i = 0; i < 64 * PAGE; i += 211 * step)
        go(&a, IMAGE + i, false);
    innocent_check(&a);
    attack_code(&a, call, sizeof(call));
    for (uint64_t i = 0; i < AREA_CODE_SIZE; i += 17 * step)
        go(&a, POLDER_STUB_BASE + AREA_CODE + i, false);
    attack_code(&a, ret, sizeof(ret));
    for (uint64_t i = 0; i < AREA_CODE_SIZE; i += 19 * step)
        go(&a, POLDER_STUB_BASE + AREA_CODE + i, false);
    for (uint64_t i = 0; i < AREA_CODE_SIZE; i += 11 * step)
        go(&a, POLDER_STUB_BASE + AREA_CODE + i, true);
    attacker_close(&a);
}

/* A jump to the entry with these, and then a run that goes on with what was reported. */
static void forge(struct attacker *a, uint64_t rcx, uint64_t r11, uint64_t eflags)
{
    struct user_regs_struct *r = &a->box.params.regs;

    attack_aim(a, ATTACK_CODE);
    r->rdi = entry;
    r->rcx = rcx;
    r->r11 = r11;
    r->rax = 39;
    r->rsp = r11;
    r->eflags = eflags;
    attack_run_only(a, "a forged system call");
    if (rcx >> 47) { /* no code of ring 3's is there: SYSCALL could not have left that */
        expect_fault(a, entry, PF_U | PF_I, entry);
        return;
    }
    expect_syscall(a, rcx);
    assert_int_equal(r->orig_rax, 39);
    assert_int_equal(r->rsp, r11);
    assert_int_equal(r->rdi, entry);
    if (r->eflags != ((r11 & SYSCALL_KEEPS) | EFLAGS_IF | 2))
        attack_failed(a, "R11 was %#lx", r11);
    assert_int_equal(r->r11, r->eflags);
    attack_run_only(a, "the run that goes on behind a forged system call");
    if (rcx == CONTINUE)
        expect_exception(a, 6, 0, CONTINUE);
    else
        expect_reason(a, POLDER_PAGE_FAULT);
}

static void forged_system_calls(void **state)
{
    (void)state;
    static const uint64_t rcxs[] = {CONTINUE, 0, 0x7fffffffffff, 0x7ffffffff000, 0x800000000000, 0xffff7fffffffffff,
        0xffff800000000000, POLDER_STUB_BASE, UINT64_MAX, IMAGE};
    struct attacker a;
    uint64_t seed = 1020;

    attacker_open(&a);
    attack_code(&a, jump, sizeof(jump));
    if (!entry) { /* only on PVM is there one; elsewhere every_byte has seen all addresses fault */
        attacker_close(&a);
        return;
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        forge(&a, CONTINUE, 1ul << bit, EFLAGS_IF | 2);
        forge(&a, CONTINUE, ~(1ul << bit), EFLAGS_IF | 2);
        if (1ul << bit != EFLAGS_TF) /* the jump itself would be stepped */
            forge(&a, CONTINUE, 0x202, 1ul << bit);
    }
    innocent_check(&a);
    for (size_t i = 0; i < sizeof(rcxs) / sizeof(rcxs[0]); i++)
        forge(&a, rcxs[i], 0x202, EFLAGS_IF | 2);
    for (int i = 0; i < times(2000, __STDC_HOSTED__ ? 2000 : 200); i++) {
        const uint64_t rcx = random_next(&seed) % 2 ? CONTINUE : rcxs[random_next(&seed) % 10];
        forge(&a, rcx, random_next(&seed), random_next(&seed) & ~EFLAGS_TF);
        if (i % 64 == 0)
            innocent_check(&a);
    }
    attacker_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte),
        cmocka_unit_test(forged_system_calls),
    };
    return RUN_GROUP("hostile: ring 0's code", tests);
}
