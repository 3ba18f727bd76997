/* SPDX-License-Identifier: MIT */
/*
 * Traps where ring 3 has made it hard: stack pointers that nothing can be pushed on, traps at every instruction and in
 * the middle of one, debug traps that are held back. Each is reported where it is, once, and to the context that it is
 * of.
 *
 * PVM does again by KVM's emulator what faults, and so MOV SS holds nothing back there; QEMU's emulation has no
 * alignment check and takes #GP for #SS.
 */
#include "attack.h"

#define PRIVILEGED 0x50000000ul /* a page of the attacker's space that its ring 3 cannot reach */

static bool pvm, tcg;

static void open_attacker(struct attacker *a)
{
    pvm = ring0_is_emulated();
    tcg = processor_is_tcg();
    attacker_open(a);
    box_map_anonymous(&a->box, PRIVILEGED, PAGE, RW | POLDER_PRIVILEGED);
}

static void check_now_and_then(struct attacker *a, size_t i)
{
    if (i % (__STDC_HOSTED__ || !pvm ? 4 : 32) == 0)
        innocent_check(a);
}

/* ---------------------------------------------------------------- stacks */

/* The ways out of ring 3, and where they are reported. */
struct way {
    const char *name, *bytes;
    size_t length;
    uint32_t reason, vector, tcg_vector;
    uint64_t error_code;
    uint64_t at; /* where rip is, behind the first instruction's first byte */
    uint64_t address;
    uint64_t flags; /* of eflags */
    bool narrow;    /* code of 32 bits */
    bool native;    /* PVM interprets code while rsp is not canonical, and its emulator has neither of these */
};

#define W(n, b, r, v, ...)                                                                                             \
    {                                                                                                                  \
        .name = (n), .bytes = (b), .length = sizeof(b) - 1, .reason = (r), .vector = (v), __VA_ARGS__                  \
    }

static const struct way ways[] = {
    W("syscall", "\x0f\x05", POLDER_SYSCALL, 0, .at = 2),
    W("syscall in code of 32 bits", "\x0f\x05", POLDER_EXCEPTION, 6, .narrow = true),
    W("ud2", "\x0f\x0b", POLDER_EXCEPTION, 6, ),
    W("hlt", "\xf4", POLDER_EXCEPTION, 13, ),
    W("mov to cr3", "\x0f\x22\xd8", POLDER_EXCEPTION, 13, ),
    W("div", "\x31\xc9\xf7\xf1", POLDER_EXCEPTION, 0, .at = 2),
    W("int3", "\xcc", POLDER_EXCEPTION, 3, .at = 1),
    W("int 3", "\xcd\x03", POLDER_EXCEPTION, 3, .at = 2),
    W("int 0x80", "\xcd\x80", POLDER_EXCEPTION, 13, .error_code = 0x402),
    W("int 8", "\xcd\x08", POLDER_EXCEPTION, 13, .error_code = 0x42),
    W("int 14", "\xcd\x0e", POLDER_EXCEPTION, 13, .error_code = 0x72),
    W("int 2", "\xcd\x02", POLDER_EXCEPTION, 13, .error_code = 0x12),
    W("a load", "\x48\x8b\x07", POLDER_PAGE_FAULT, 14, .error_code = PF_U, .address = BOX_FREE),
    W("a store", "\x48\x89\x07", POLDER_PAGE_FAULT, 14, .error_code = PF_U | PF_W, .address = BOX_FREE),
    W("a jump", "\xff\xe7", POLDER_PAGE_FAULT, 14, .error_code = PF_U | PF_I, .address = BOX_FREE,
        .at = BOX_FREE - ATTACK_CODE),
    W("a load of a privileged word", "\x48\x8b\x06", POLDER_PAGE_FAULT, 14, .error_code = PF_U | PF_P,
        .address = PRIVILEGED),
    W("a load through rbp that is not canonical", "\x48\x8b\x45\0", POLDER_EXCEPTION, 12, .tcg_vector = 13),
    W("a selector", "\x8e\xd8", POLDER_EXCEPTION, 13, .error_code = 0x10),
    W("a trap flag", "\x90\x90", POLDER_EXCEPTION, 1, .flags = EFLAGS_TF, .at = 1),
    W("a load that is not aligned", "\x8b\x42\x01", POLDER_EXCEPTION, 17, .tcg_vector = 6, .flags = EFLAGS_AC,
        .native = true),
    W("x87's exception", "\xdb\xe3\xd9\x2a\xd9\xee\xd9\xe8\xde\xf1\x9b", POLDER_EXCEPTION, 16, .at = 10,
        .native = true),
};

/* rax and rdi, rsi, rdx, rbp as the table wants them. */
static void aim_way(struct attacker *a, const struct way *w)
{
    struct user_regs_struct *r = &a->box.params.regs;

    attack_aim(a, ATTACK_CODE);
    r->cs = w->narrow ? 0x23 : 0x33;
    r->eflags |= w->flags;
    r->rax = 0x13;
    r->rdi = BOX_FREE;
    r->rsi = PRIVILEGED;
    r->rdx = BOX_DATA;
    r->rbp = 0x800000000000;
    a->box.data[0] = 0x37f & ~4; /* division by zero is not masked */
}

static void expect_way(const struct attacker *a, const struct way *w)
{
    const struct polder_params *p = &a->box.params;
    const uint32_t vector = tcg && w->tcg_vector ? w->tcg_vector : w->vector;

    if (tcg && w->tcg_vector == 6) /* it is not there: the UD2 behind it */
        expect_exception(a, 6, 0, ATTACK_CODE + w->length);
    else if (p->reason != w->reason || p->vector != vector || p->error_code != w->error_code ||
             p->fault_addr != w->address || p->regs.rip != ATTACK_CODE + w->at)
        attack_failed(a, "wanted reason %u, vector %u, error code %#lx, address %#lx, rip %#lx", w->reason, vector,
            w->error_code, w->address, ATTACK_CODE + w->at);
}

static const uint64_t stacks[] = {0, 1, 7, 8, 0xfff, 0x1000, UINT32_MAX, UINT64_MAX, 0x8000000000000000, 0x7fffffffefff,
    0x7ffffffff000, 0x7fffffffffff, 0x800000000000, 0x800000000001, 0xffff7fffffffffff, 0xffff800000000000,
    0xffffc80000000000, 0xfffffe0000000000, 0xfffffe0000005000, 0xfffffe4000000000, 0xffffffff80000000, BOX_DATA,
    BOX_CODE + 8, BOX_STACK + 4, BOX_FREE, PRIVILEGED, PRIVILEGED + PAGE, ATTACK_CODE + 16};
#define STACKS (sizeof(stacks) / sizeof(stacks[0]))

static bool is_canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* Nothing is pushed on ring 3's stack, and it does not matter what that is. */
static void stacks_at_traps(void **state)
{
    (void)state;
    struct attacker a;
    struct polder_params *p = &a.box.params;
    uint64_t seed = 41;

    open_attacker(&a);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        const struct way *w = &ways[i];
        attack_code(&a, w->bytes, w->length);
        for (size_t j = 0; j < STACKS + (size_t)times(40, __STDC_HOSTED__ ? 40 : 2); j++) {
            const uint64_t rsp = j < STACKS ? stacks[j] : odd_value(&seed);
            if (pvm && w->native && !is_canonical(rsp))
                continue;
            aim_way(&a, w);
            p->regs.rsp = rsp;
            p->deadline_ns *= j % 2; /* a kernel's run-time has a short way in for runs without one */
            p->regs.eflags |= (random_next(&seed) & ~(EFLAGS_TF | EFLAGS_AC)) | EFLAGS_IOPL | EFLAGS_NT;
            attack_run_only(&a, w->name);
            expect_way(&a, w);
            if (w->narrow ? (uint32_t)p->regs.rsp != (uint32_t)rsp : p->regs.rsp != rsp)
                attack_failed(&a, "rsp was %#lx", rsp);
            check_now_and_then(&a, j);
        }
        innocent_check(&a);
    }
    attacker_close(&a);
}

/* The same where what ends the run comes from outside. */
static void stacks_at_the_end(void **state)
{
    (void)state;
    static const char spin[] = "\xeb\xfe";
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    attack_code(&a, spin, 2);
    for (size_t i = 0; i < STACKS; i++) {
        attack_aim(&a, ATTACK_CODE);
        p->regs.rsp = stacks[i];
        p->deadline_ns = 100000;
        attack_run_only(&a, "a deadline");
        expect_reason(&a, POLDER_DEADLINE);
        if (p->regs.rsp != stacks[i] || p->regs.rip != ATTACK_CODE)
            attack_failed(&a, "rsp was %#lx", stacks[i]);
        attack_aim(&a, ATTACK_CODE);
        p->regs.rsp = stacks[i];
        assert_int_equal(polder_kick(p), 0);
        attack_run_only(&a, "a kick");
        expect_reason(&a, POLDER_KICK);
        if (p->regs.rsp != stacks[i] || p->regs.rip != ATTACK_CODE)
            attack_failed(&a, "rsp was %#lx", stacks[i]);
        check_now_and_then(&a, i);
    }
    attacker_close(&a);
}

/* ---------------------------------------------------------------- one after the other */

/* Contexts in turns, each with its own place in a row of traps; two of them share a space. */
static void in_turns(void **state)
{
    (void)state;
    enum { CONTEXTS = 3, ROW = 6 };
    /* syscall; ud2; int3; hlt; load; int 0x80; jmp to the beginning. The caller goes on behind each. */
    static const char row[] = "\x0f\x05\x0f\x0b\xcc\xf4\x48\x8b\x07\xcd\x80\xeb\xf3";
    static const struct {
        uint32_t reason, vector;
        uint64_t error_code, address;
        unsigned at, next;
    } steps[ROW] = {{POLDER_SYSCALL, 0, 0, 0, 2, 2}, {POLDER_EXCEPTION, 6, 0, 0, 2, 4},
        {POLDER_EXCEPTION, 3, 0, 0, 5, 5}, {POLDER_EXCEPTION, 13, 0, 0, 5, 6},
        {POLDER_PAGE_FAULT, 14, PF_U, BOX_FREE, 6, 9}, {POLDER_EXCEPTION, 13, 0x402, 0, 9, 11}};
    struct attacker a;
    struct box others[2]; /* the second is in the attacker's space */
    size_t place[CONTEXTS] = {0};
    uint64_t seed = 5;

    open_attacker(&a);
    attack_code(&a, row, sizeof(row) - 1);
    for (int i = 0; i < 2; i++)
        box_open(&others[i]);
    box_map_anonymous(&others[0], ATTACK_CODE, PAGE, ALL_RWX);
    assert_int_equal(polder_write(others[0].fd, row, sizeof(row) - 1, ATTACK_CODE), sizeof(row) - 1);
    struct polder_params *const all[CONTEXTS] = {&a.box.params, &others[0].params, &others[1].params};
    const int spaces[CONTEXTS] = {a.box.fd, others[0].fd, a.box.fd};
    attack_aim(&a, ATTACK_CODE);
    a.box.params.regs.rdi = BOX_FREE;
    for (size_t i = 0; i < CONTEXTS; i++) {
        all[i]->regs = a.box.params.regs;
        all[i]->regs.rbx = all[i]->regs.r15 = all[i]->regs.rsp = i << 60 | i;
    }
    for (int i = 0; i < times(20000, __STDC_HOSTED__ ? 10000 : 2000); i++) {
        const size_t who = random_next(&seed) % CONTEXTS;
        struct polder_params *p = all[who];
        const size_t step = place[who]++ % ROW;
        const uint64_t number = p->regs.rax = random_next(&seed);
        p->deadline_ns = 0;
        if (polder_run_sandbox(spaces[who], p) < 0)
            fail_msg("polder_run_sandbox: %s", strerror(errno));
        if (p->reason != steps[step].reason || p->vector != steps[step].vector ||
            p->error_code != steps[step].error_code || p->fault_addr != steps[step].address ||
            p->regs.rip != ATTACK_CODE + steps[step].at || (step == 0 ? p->regs.orig_rax : p->regs.rax) != number ||
            p->regs.rbx != (who << 60 | who) || p->regs.r15 != p->regs.rbx || p->regs.rsp != p->regs.rbx)
            fail_msg("round %d, context %zu, step %zu: reason %u, vector %u, error code %#lx, address %#lx, rip %#llx, "
                     "rax %#llx, orig_rax %#llx, rbx %#llx, rsp %#llx",
                i, who, step, p->reason, p->vector, p->error_code, p->fault_addr, p->regs.rip, p->regs.rax,
                p->regs.orig_rax, p->regs.rbx, p->regs.rsp);
        p->regs.rip = ATTACK_CODE + steps[step].next;
        if (i % 64 == 0)
            innocent_check(&a);
    }
    for (int i = 0; i < 2; i++)
        box_close(&others[i]);
    attacker_close(&a);
}

/* Instructions that fault more than once: each fault is reported when it comes, and what is done stays done. */
static void faults_in_one_instruction(void **state)
{
    (void)state;
    const uint64_t from = BOX_FREE, to = BOX_FREE + 16 * PAGE, stack = BOX_FREE + 32 * PAGE;
    static const struct {
        const char *name, *bytes;
        size_t length;
        bool pushes; /* on a stack that is not there; else it writes to rdi */
    } all[] = {{"movsq", "\x48\xa5", 2, false}, {"push (%rsi)", "\xff\x36", 2, true},
        {"call *(%rsi)", "\xff\x16", 2, true}, {"pop (%rdi)", "\x8f\x07", 2, false}};
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const bool pop = all[i].bytes[0] == '\x8f';
        const uint64_t read = pop ? stack : from, written = all[i].pushes ? stack - 8 : to;
        attack_put(&a, ATTACK_CODE_END - all[i].length, all[i].bytes, all[i].length);
        attack_aim(&a, ATTACK_CODE_END - all[i].length);
        const uint64_t at = p->regs.rip;
        p->regs.rsi = from;
        p->regs.rdi = to;
        p->regs.rsp = stack;
        const struct user_regs_struct before = p->regs;
        attack_run(&a, all[i].name);
        expect_fault(&a, read, PF_U, at);
        box_map_anonymous(&a.box, read, PAGE, RW);
        p->regs = before;
        attack_run(&a, all[i].name);
        expect_fault(&a, written, PF_U | PF_W, at);
        if (p->regs.rsp != stack || p->regs.rsi != from || p->regs.rdi != to)
            attack_failed(&a, "something was done");
        box_map_anonymous(&a.box, written & ~(PAGE - 1), PAGE, PROT_READ);
        attack_run(&a, all[i].name);
        expect_fault(&a, written, PF_U | PF_W | PF_P, at);
        assert_int_equal(polder_mprotect((void *)(written & ~(PAGE - 1)), PAGE, RW, a.box.fd), 0);
        attack_run(&a, all[i].name);
        if (all[i].bytes[1] == '\x16')
            expect_fault(&a, 0, PF_U | PF_I, 0);
        else
            expect_fault(&a, ATTACK_CODE_END, PF_U | PF_I, ATTACK_CODE_END);
        assert_int_equal(polder_munmap((void *)from, 64 * PAGE, a.box.fd), 0);
    }
    /* A string that runs out of memory in the middle. */
    attack_code(&a, "\xf3\xa4", 2);
    for (unsigned back = 0; back < 24; back++) {
        box_map_anonymous(&a.box, from, PAGE, RW);
        box_map_anonymous(&a.box, to, PAGE, RW);
        attack_aim(&a, ATTACK_CODE);
        p->regs.rcx = PAGE;
        p->regs.rsi = from + PAGE - 12;
        p->regs.rdi = to + PAGE - back;
        attack_run_only(&a, "rep movsb");
        const unsigned done = back < 12 ? back : 12;
        if (done == 12)
            expect_fault(&a, from + PAGE, PF_U, ATTACK_CODE);
        else
            expect_fault(&a, to + PAGE, PF_U | PF_W, ATTACK_CODE);
        if (p->regs.rcx != PAGE - done || p->regs.rsi != from + PAGE - 12 + done ||
            p->regs.rdi != to + PAGE - back + done)
            attack_failed(&a, "rcx is %#llx, rsi %#llx, rdi %#llx", p->regs.rcx, p->regs.rsi, p->regs.rdi);
        check_now_and_then(&a, back);
    }
    /* The rest of the instruction is not there, nor what it would reach: the instruction is first. */
    attack_put(&a, ATTACK_CODE_END - 2, "\x48\x8b", 2);
    attack_aim(&a, ATTACK_CODE_END - 2);
    attack_run(&a, "a load that is not all there");
    expect_fault(&a, ATTACK_CODE_END, PF_U | PF_I, ATTACK_CODE_END - 2);
    attacker_close(&a);
}

/* ---------------------------------------------------------------- debug traps */

/* Nothing is pending in the attacker's own context either: its NOP is not trapped. */
static void nothing_comes_late(struct attacker *a)
{
    struct polder_params *p = &a->box.params;

    innocent_check(a);
    attack_aim(a, SNIPPET(sn_nops));
    attack_run_only(a, "what comes after it");
    expect_syscall(a, SNIPPET(sn_nops_end));
    assert_int_equal(p->regs.eflags & EFLAGS_TF, 0);
}

/* TF or not, set at the entry, by POPF just before, held back by MOV SS or POP SS: then each way out. */
static void held_back(void **state)
{
    (void)state;
    static const struct {
        const char *name, *bytes;
        size_t length;
        bool narrow, sets_tf;
    } befores[] = {
        {"nothing", "", 0, false, false},
        {"mov ss", "\x8e\xd3", 2, false, false},
        {"mov ss twice", "\x8e\xd3\x8e\xd3", 4, false, false},
        {"popf", "\x9d", 1, false, true},
        {"popf, mov ss", "\x9d\x8e\xd3", 3, false, true},
        {"pop ss", "\x17", 1, true, false},
    };
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    for (size_t i = 0; i < sizeof(befores) / sizeof(befores[0]); i++)
        for (size_t j = 0; j < sizeof(ways) / sizeof(ways[0]); j++) {
            const struct way *w = &ways[j];
            if (w->native || w->flags || (befores[i].narrow && w->bytes[0] == '\x48'))
                continue; /* several instructions, or other flags, or other instructions in code of 32 bits */
            const bool narrow = befores[i].narrow || w->narrow;
            const bool by_entry = !befores[i].sets_tf;
            const bool is_syscall = w->reason == POLDER_SYSCALL;
            const size_t skipped = w->vector == 0 && !is_syscall ? 2 : 0; /* of div's two instructions, the first */
            uint8_t code[32];
            if (narrow && befores[i].bytes[0] == '\x9d')
                continue; /* the slot has another size */
            memcpy(code, befores[i].bytes, befores[i].length);
            memcpy(code + befores[i].length, w->bytes + skipped, w->length - skipped);
            attack_code(&a, code, befores[i].length + w->length - skipped);
            for (int tf = 0; tf < 2; tf++) {
                const uint64_t word = befores[i].sets_tf ? 0x202 | (tf ? EFLAGS_TF : 0) : 0x2b;
                const uint64_t rsp = BOX_STACK + PAGE - 64;
                const uint64_t at = ATTACK_CODE + befores[i].length;
                char name[80];
                aim_way(&a, w);
                p->regs.cs = narrow ? 0x23 : 0x33;
                p->regs.rbx = 0x2b;
                p->regs.rcx = 0;
                p->regs.rsp = rsp;
                attack_put(&a, rsp, &word, 8);
                p->regs.eflags |= by_entry && tf ? EFLAGS_TF : 0;
                snprintf(name, sizeof(name), "%s, %s%s", befores[i].name, w->name, tf ? ", TF" : "");
                attack_run_only(&a, name);
                /* MOV SS holds it back, or not; twice, the second perhaps does not. POPF's begins with the next. */
                const bool between = tf && befores[i].length && p->reason == POLDER_EXCEPTION && p->vector == 1;
                if (between && p->regs.rip > ATTACK_CODE && p->regs.rip <= at &&
                    !(befores[i].sets_tf && p->regs.rip == ATTACK_CODE + 1)) {
                    expect_exception(&a, 1, 0, p->regs.rip);
                } else if (is_syscall && narrow) {
                    expect_exception(&a, 6, 0, at);
                } else if (tf && w->address == BOX_FREE && w->at) { /* the jump is done, and trapped */
                    expect_exception(&a, 1, 0, BOX_FREE);
                } else {
                    struct way moved = *w;
                    moved.at -= skipped;
                    if (w->address != BOX_FREE || !w->at)
                        moved.at += befores[i].length;
                    if (w->narrow)
                        moved.at = befores[i].length;
                    /* Without REX what follows is the same; a word that is not canonical is none in 32 bits. */
                    expect_way(&a, &moved);
                }
                check_now_and_then(&a, i + j);
                if (tf)
                    nothing_comes_late(&a);
            }
        }
    attacker_close(&a);
}

/* A step over each kind of instruction; what it is over is reported as it is without. */
static void single_steps(void **state)
{
    (void)state;
    enum { NARROW = 1, HOLDS = 2, REPEATS = 4, OPTIONAL = 8, AT_TARGET = 16, NOT_TCG = 32 };
    static const struct {
        const char *name, *bytes;
        size_t length;
        unsigned what;
    } all[] = {
        {"nop", "\x90", 1, 0},
        {"nop in code of 32 bits", "\x90", 1, NARROW},
        {"mov", "\x48\x89\xd8", 3, 0},
        {"a load", "\x48\x8b\x02", 3, 0},
        {"a store", "\x48\x89\x02", 3, 0},
        {"push", "\x50", 1, 0},
        {"pushf", "\x9c", 1, 0},
        {"popf", "\x9d", 1, 0},
        {"cpuid", "\x0f\xa2", 2, 0},
        {"rdtsc", "\x0f\x31", 2, 0},
        {"rdtscp", "\x0f\x01\xf9", 3, OPTIONAL},
        {"pause", "\xf3\x90", 2, NOT_TCG},
        {"cld", "\xfc", 1, 0},
        {"wrfsbase", "\xf3\x48\x0f\xae\xd2", 5, 0},
        {"fninit", "\xdb\xe3", 2, 0},
        {"movups", "\x0f\x10\x02", 3, 0},
        {"lock add", "\xf0\x01\x02", 3, 0},
        {"clflush", "\x0f\xae\x3a", 3, 0},
        {"lsl", "\x0f\x03\xc3", 3, 0},
        {"mov ds", "\x8e\xdb", 2, 0},
        {"mov ss", "\x8e\xd3\x90", 2, HOLDS},
        {"pop ss", "\x17\x90", 1, HOLDS | NARROW},
        {"rep stosb", "\xf3\xaa", 2, REPEATS},
        {"rep movsb", "\xf3\xa4", 2, REPEATS},
        {"repe cmpsb", "\xf3\xa6", 2, REPEATS},
        {"jmp", "\xff\xe0", 2, AT_TARGET},
        {"call", "\xff\xd0", 2, AT_TARGET},
        {"push, ret", "\xc3", 1, AT_TARGET},
        {"iretq", "\x48\xcf", 2, AT_TARGET},
        {"lretq", "\x48\xcb", 2, AT_TARGET},
    };
    static const uint64_t targets[] = {
        ATTACK_CODE + 0x80, BOX_FREE, PRIVILEGED, 0x1000, 0x7ffffffff000, 0xffff800000000000, 0xfffffe0000000000};
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const unsigned what = all[i].what;
        if (tcg && what & NOT_TCG) /* a step over it goes further */
            continue;
        attack_code(&a, all[i].bytes, what & HOLDS ? all[i].length + 1 : all[i].length);
        for (size_t j = 0; j < (what & AT_TARGET ? sizeof(targets) / sizeof(targets[0]) : 2); j++) {
            const uint64_t frame[5] = {what & AT_TARGET            ? targets[j]
                                       : all[i].bytes[0] == '\x9d' ? 0x202 | (j ? EFLAGS_TF : 0)
                                                                   : 0x2b,
                0x33, 0x202 | (j & 1 ? EFLAGS_TF : 0), BOX_STACK + PAGE - 64, 0x2b};
            const uint64_t rsp = BOX_STACK + PAGE - 256;
            attack_put(&a, rsp, frame, sizeof(frame));
            attack_put(&a, targets[0], "\x0f\x0b", 2);
            attack_aim(&a, ATTACK_CODE);
            p->regs.cs = what & NARROW ? 0x23 : 0x33;
            p->regs.rax = what & AT_TARGET ? targets[j] : 0;
            p->regs.rbx = 0x2b;
            p->regs.rcx = 3;
            p->regs.rdx = p->regs.rsi = BOX_DATA;
            p->regs.rdi = BOX_DATA + 64;
            p->regs.rsp = rsp;
            memset((void *)a.box.data, 0, 128);
            p->flags = POLDER_SINGLE_STEP;
            attack_run_only(&a, all[i].name);
            if (tcg && all[i].bytes[0] == '\x48' && what & AT_TARGET && p->reason == POLDER_PAGE_FAULT)
                continue; /* QEMU's emulation pops the frame as ring 0 */
            if (pvm && all[i].bytes[1] == '\xcf' && p->reason == POLDER_EXCEPTION && p->vector == 6)
                continue; /* its emulator cannot */
            if (what & OPTIONAL && p->reason == POLDER_EXCEPTION && p->vector == 6)
                continue;
            expect_reason(&a, POLDER_STEP);
            if (p->regs.eflags & EFLAGS_TF)
                attack_failed(&a, "its flag is reported");
            const uint64_t end = what & AT_TARGET ? targets[j] : ATTACK_CODE + all[i].length;
            if (what & REPEATS) { /* one at a time, or more */
                unsigned left = (unsigned)p->regs.rcx;
                for (int k = 0; k < 3 && p->regs.rip == ATTACK_CODE; k++) {
                    if (p->regs.rcx > 2 || p->regs.rcx > left)
                        attack_failed(&a, "rcx is %#llx", p->regs.rcx);
                    left = (unsigned)p->regs.rcx;
                    attack_run_only(&a, all[i].name);
                    expect_reason(&a, POLDER_STEP);
                }
            }
            if (p->regs.rip != end && !(what & HOLDS && p->regs.rip == end + 1))
                attack_failed(&a, "wanted the step to %#lx", end);
            /* And from there on. */
            if (what & AT_TARGET && j > 0) {
                attack_run_only(&a, "a step to nowhere");
                expect_fault(&a, end, PF_U | PF_I | (end == PRIVILEGED ? PF_P : 0), end);
            } else {
                attack_run_only(&a, "the step behind it");
                if (!(what & HOLDS && p->reason == POLDER_STEP))
                    expect_exception(&a, 6, 0, p->regs.rip);
            }
            check_now_and_then(&a, j);
        }
        nothing_comes_late(&a);
    }
    /* What faults, or is another way out, is no step. */
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        const struct way *w = &ways[i];
        if ((w->native && !w->flags) || w->vector == 1 || (w->vector == 0 && w->reason != POLDER_SYSCALL) ||
            w->address == BOX_FREE)
            continue;
        attack_code(&a, w->bytes, w->length);
        aim_way(&a, w);
        p->flags = POLDER_SINGLE_STEP;
        attack_run_only(&a, w->name);
        if (tcg && w->tcg_vector == 6)
            expect_reason(&a, POLDER_STEP);
        else
            expect_way(&a, w);
        if (p->regs.eflags & EFLAGS_TF)
            attack_failed(&a, "its flag is reported");
        nothing_comes_late(&a);
    }
    attacker_close(&a);
}

/* A sandbox that keeps TF set: each instruction is an exception of its own, until the caller takes it away. */
static void trapped_for_ever(void **state)
{
    (void)state;
    /* pushf; orl $0x100, (%rsp); popf; 1: nop; jmp 1b */
    static const char code[] = "\x9c\x81\x0c\x24\0\x01\0\0\x9d\x90\xeb\xfd";
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    attack_code(&a, code, sizeof(code) - 1);
    attack_aim(&a, ATTACK_CODE);
    for (int i = 0; i < times(400, __STDC_HOSTED__ ? 400 : 60); i++) {
        p->flags = i % 3 == 2 ? POLDER_SINGLE_STEP : 0; /* its own flag is there already */
        attack_run_only(&a, "TF that stays");
        expect_exception(&a, 1, 0, ATTACK_CODE + (i % 2 ? 9 : 10));
        if (!(p->regs.eflags & EFLAGS_TF))
            attack_failed(&a, "TF is lost");
        check_now_and_then(&a, (size_t)i);
    }
    p->flags = 0;
    p->regs.eflags &= ~EFLAGS_TF;
    p->deadline_ns = 1000000;
    attack_run(&a, "TF that was taken away");
    expect_reason(&a, POLDER_DEADLINE);
    nothing_comes_late(&a);
    attacker_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stacks_at_traps),
        cmocka_unit_test(stacks_at_the_end),
        cmocka_unit_test(in_turns),
        cmocka_unit_test(faults_in_one_instruction),
        cmocka_unit_test(held_back),
        cmocka_unit_test(single_steps),
        cmocka_unit_test(trapped_for_ever),
    };
    return RUN_GROUP("hostile: traps", tests);
}
