/* SPDX-License-Identifier: MIT */
/*
 * Every way to load a segment or to go through one, with every selector that could mean something: ring 3 has its three
 * descriptors, and whatever else it names is #GP with the selector. What code of 32 bits can do besides.
 *
 * On PVM ring 3 of 64 bits has the host's table, where Linux keeps the processor's number (0x78), which can be read.
 * What faults there is done again by KVM's emulator with the sandbox's table, and so is all code of 32 bits. The
 * emulator has #UD for a far jump to what is no code, #NP for an empty descriptor, no IRET of 32 bits, and takes a data
 * segment for IRETQ's CS. QEMU's emulation makes the stack accesses of far calls and returns as ring 0, which SMAP
 * forbids: only kernels do without that.
 */
#include "attack.h"

#define EFLAGS_ZF 0x40ul

#define TARGET (ATTACK_CODE + 0x100) /* UD2 */

enum { USER_CODE32 = 0x20, USER_DATA = 0x28, USER_CODE = 0x30, LINUX_CPU_NUMBER = 0x78 };

static bool pvm, tcg;

/* A run takes thousands of emulated instructions: less is done. */
static bool runs_are_dear(void)
{
    return !__STDC_HOSTED__ && pvm;
}

/* All that a table may hold, and some beyond it; or half of it. */
static int selector_at(int i)
{
    static const uint16_t beyond[] = {0x90, 0x97, 0x100, 0x103, 0x7ff, 0x1000, 0x1234, 0x7ff8, 0x8000, 0xfe03, 0xff28,
        0xff33, 0xfff8, 0xfffc, 0xffff};
    static const int some[] = {0, 3, 4, 7}; /* privilege 0 and 3, of either table */
    const int table = runs_are_dear() ? 0x90 / 2 : 0x90;

    if (i < table)
        return runs_are_dear() ? i / 4 * 8 + some[i % 4] : i;
    return i - table < (int)(sizeof(beyond) / sizeof(beyond[0])) ? beyond[i - table] : -1;
}

/* Privilege 0 one way, privilege 3 another. */
static bool left_out(size_t way, int i)
{
    return runs_are_dear() && (way + (size_t)i) % 2;
}

static bool is_null(int selector)
{
    return selector < 4;
}

/* Selectors of ring 3's own descriptors, whatever the privilege that they ask for. */
static bool names_code(int selector)
{
    return (selector & ~3) == USER_CODE32 || (selector & ~3) == USER_CODE;
}

static bool names_readable(int selector)
{
    return names_code(selector) || (selector & ~3) == USER_DATA;
}

static bool names_readable_here(int selector, bool narrow)
{
    return names_readable(selector) || (pvm && !narrow && (selector & ~3) == LINUX_CPU_NUMBER);
}

/* In the sandbox's table, but no descriptor of code or data. */
static bool names_no_segment(int selector)
{
    return selector < 0x50 && !(selector & 4) && (selector < 0x10 || selector >= 0x38);
}

static void open_attacker(struct attacker *a)
{
    pvm = ring0_is_emulated();
    tcg = processor_is_tcg();
    attacker_open(a);
    attack_code(a, "", 0);
}

static const char *name_of(const char *what, int selector)
{
    static char name[60];

    snprintf(name, sizeof(name), "%s, selector %#x", what, (unsigned)selector);
    return name;
}

/* attack_run_only, which puts SS back. */
static void run_keeping_ss(struct attacker *a, const char *name)
{
    a->name = name;
    if (polder_run_sandbox(a->box.fd, &a->box.params) < 0)
        attack_failed(a, "polder_run_sandbox: %s", strerror(errno));
    const char *fault = report_fault(&a->box.params);
    if (fault)
        attack_failed(a, "%s", fault);
}

static void check_innocent(struct attacker *a, int i)
{
    if (i % (__STDC_HOSTED__ || !pvm ? 4 : 32) == 0)
        innocent_check(a);
}

static void loads(void **state)
{
    (void)state;
    static const struct {
        const char *name, *bytes;
        size_t length;
        bool stack, narrow, popped;
    } all[] = {
        {"mov eax, ds", "\x8e\xd8", 2, false, false, false},
        {"mov eax, es", "\x8e\xc0", 2, false, false, false},
        {"mov eax, fs", "\x8e\xe0", 2, false, false, false},
        {"mov eax, gs", "\x8e\xe8", 2, false, false, false},
        {"mov eax, ss", "\x8e\xd0", 2, true, false, false},
        {"mov eax, ss in code of 32 bits", "\x8e\xd0", 2, true, true, false},
        {"mov eax, ds in code of 32 bits", "\x8e\xd8", 2, false, true, false},
        {"pop fs", "\x0f\xa1", 2, false, false, true},
        {"pop gs", "\x0f\xa9", 2, false, false, true},
        {"pop ds in code of 32 bits", "\x1f", 1, false, true, true},
        {"pop es in code of 32 bits", "\x07", 1, false, true, true},
        {"pop ss in code of 32 bits", "\x17", 1, true, true, true},
        {"lss", "\x0f\xb2\x07", 3, true, false, false},
        {"lfs", "\x0f\xb4\x07", 3, false, false, false},
        {"lgs", "\x0f\xb5\x07", 3, false, false, false},
        {"lds in code of 32 bits", "\x2e\xc5\x07", 3, false, true, false},
        {"les in code of 32 bits", "\x2e\xc4\x07", 3, false, true, false},
    };
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    for (size_t way = 0; way < sizeof(all) / sizeof(all[0]); way++) {
        const uint64_t end = attack_put_code(&a, all[way].bytes, all[way].length);
        for (int i = 0, selector; (selector = selector_at(i)) >= 0; i++) {
            if (left_out(way, i))
                continue;
            const uint64_t word = (uint64_t)selector;
            attack_aim(&a, ATTACK_CODE);
            p->regs.cs = all[way].narrow ? 0x23 : 0x33;
            p->regs.rax = word;
            p->regs.rdi = BOX_DATA;
            p->regs.rsp -= 64;
            a.box.data[0] = word << 32 | 0x12345678;
            if (all[way].popped)
                attack_put(&a, p->regs.rsp, &word, 8);
            attack_run_only(&a, name_of(all[way].name, selector));
            if (all[way].stack ? selector == (USER_DATA | 3)
                               : is_null(selector) || names_readable_here(selector, all[way].narrow))
                expect_exception(&a, 6, 0, end);
            else
                expect_exception(&a, 13, word & ~3ul, ATTACK_CODE);
            check_innocent(&a, i);
        }
        innocent_check(&a);
    }
    attacker_close(&a);
}

/* Questions about descriptors: answered for ring 3's own; on PVM about the host's table, whatever that has. */
static void questions(void **state)
{
    (void)state;
    static const uint8_t ways[4][3] = {{0x0f, 0x02, 0xd8}, {0x0f, 0x03, 0xd8}, {0x0f, 0x00, 0xe0}, {0x0f, 0x00, 0xe8}};
    static const char *const names[4] = {"lar", "lsl", "verr", "verw"};
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    for (size_t way = 0; way < 4; way++) {
        const uint64_t end = attack_put_code(&a, ways[way], 3);
        for (int i = 0, selector; (selector = selector_at(i)) >= 0; i++) {
            attack_aim(&a, ATTACK_CODE);
            p->regs.rax = (uint64_t)selector;
            p->regs.rbx = 0x5a5a;
            attack_run_only(&a, name_of(names[way], selector));
            expect_exception(&a, 6, 0, end);
            const bool yes = way == 3 ? (selector & ~3) == USER_DATA : names_readable(selector);
            if (!pvm && !(p->regs.eflags & EFLAGS_ZF) != !yes)
                attack_failed(&a, "the answer is %s", yes ? "no" : "yes");
            if (way < 2 && !(p->regs.eflags & EFLAGS_ZF) && p->regs.rbx != 0x5a5a)
                attack_failed(&a, "the answer is no, and %#llx", p->regs.rbx);
            check_innocent(&a, i);
        }
    }
    attacker_close(&a);
}

/* LAR of every selector that there is, in one run: how many are ring 3's, and their sum. */
static void every_selector(void **state)
{
    (void)state;
    static const char code[] = "\x31\xc9"                   /* xor %ecx, %ecx */
                               "\x0f\x02\xd1\x75\x04"       /* 1: lar %ecx, %edx; jnz 2f */
                               "\xff\xc3\x01\xce"           /* inc %ebx; add %ecx, %esi */
                               "\xff\xc1"                   /* 2: inc %ecx */
                               "\x81\xf9\0\0\x01\0\x75\xed" /* cmp $0x10000, %ecx; jnz 1b */
                               "\x0f\x05";
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    const uint64_t end = attack_put_code(&a, code, sizeof(code) - 1);
    attack_aim(&a, ATTACK_CODE);
    p->regs.rbx = p->regs.rsi = 0;
    attack_run(&a, "LAR of every selector");
    expect_syscall(&a, end);
    uint64_t count = 0, sum = 0;
    for (int selector = 0; selector < 0x80; selector++)
        if (names_readable(selector)) {
            count++;
            sum += (uint64_t)selector;
        }
    if (!pvm && (p->regs.rbx != count || p->regs.rsi != sum))
        attack_failed(&a, "it found %llu selectors whose sum is %#llx", p->regs.rbx, p->regs.rsi);
    attacker_close(&a);
}

enum { JUMP, CALL, RETURN, INTERRUPT_RETURN };

struct transfer {
    const char *name, *bytes;
    size_t length;
    int kind;
    unsigned word; /* size of what is in memory or on the stack, or pushed */
    bool narrow;
    unsigned pops; /* besides CS and RIP */
};

static void expect_transfer(const struct attacker *a, const struct transfer *t, int selector, uint64_t rsp)
{
    const struct polder_params *p = &a->box.params;
    const bool may = names_code(selector) && (t->kind < RETURN || (selector & 3) == 3);
    const bool returns = t->kind >= RETURN;

    if (tcg && __STDC_HOSTED__ && t->kind != JUMP && (returns || may)) {
        if (p->reason != POLDER_PAGE_FAULT)
            attack_failed(a, "wanted a page fault of the stack");
        expect_fault(a, rsp - (returns ? 0 : t->word), returns ? PF_P : PF_P | PF_W, ATTACK_CODE);
        return;
    }
    if (pvm && !returns && names_no_segment(selector) && !is_null(selector) && p->vector == 6)
        expect_exception(a, 6, 0, ATTACK_CODE);
    else if (pvm && t->kind == INTERRUPT_RETURN && t->word == 4 && p->vector == 13 && !p->error_code)
        expect_exception(a, 13, 0, ATTACK_CODE);
    else if (pvm && t->kind == INTERRUPT_RETURN && names_no_segment(selector) && p->vector == 11)
        expect_exception(a, 11, (uint64_t)selector & ~3ul, ATTACK_CODE);
    else if (pvm && t->kind == INTERRUPT_RETURN && selector == (USER_DATA | 3) && p->vector == 6)
        expect_exception(a, 6, 0, TARGET);
    else if (!may)
        expect_exception(a, 13, (uint64_t)selector & ~3ul, ATTACK_CODE);
    else {
        const bool long_frame = t->kind == INTERRUPT_RETURN && !t->narrow; /* it pops SS and RSP in code of 64 bits */
        expect_exception(a, 6, 0, TARGET);
        if (p->regs.cs != ((uint64_t)selector | 3))
            attack_failed(a, "it arrived in another segment");
        const uint64_t popped = t->kind == JUMP ? 0 : t->kind == CALL ? -2ul * t->word : 2ul * t->word + t->pops;
        if (p->regs.rsp != (long_frame ? rsp : rsp + popped))
            attack_failed(a, "rsp was %#lx before", rsp);
    }
    if (p->regs.ss != 0x2b)
        attack_failed(a, "ss is %#llx", p->regs.ss);
}

static void far_transfers(void **state)
{
    (void)state;
    static const struct transfer all[] = {
        {"ljmp m16:32", "\xff\x2f", 2, JUMP, 4, false, 0},
        {"ljmp m16:64", "\x48\xff\x2f", 3, JUMP, 8, false, 0},
        {"lcall m16:32", "\xff\x1f", 2, CALL, 4, false, 0},
        {"lcall m16:64", "\x48\xff\x1f", 3, CALL, 8, false, 0},
        {"lret", "\xcb", 1, RETURN, 4, false, 0},
        {"lretq", "\x48\xcb", 2, RETURN, 8, false, 0},
        {"lretq $16", "\x48\xca\x10\0", 4, RETURN, 8, false, 16},
        {"iret", "\xcf", 1, INTERRUPT_RETURN, 4, false, 0},
        {"iretq", "\x48\xcf", 2, INTERRUPT_RETURN, 8, false, 0},
        {"ljmp in code of 32 bits", "\x2e\xff\x2f", 3, JUMP, 4, true, 0},
        {"lcall in code of 32 bits", "\x2e\xff\x1f", 3, CALL, 4, true, 0},
        {"lret in code of 32 bits", "\xcb", 1, RETURN, 4, true, 0},
        {"iret in code of 32 bits", "\xcf", 1, INTERRUPT_RETURN, 4, true, 4},
    };
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    for (size_t way = 0; way < sizeof(all) / sizeof(all[0]); way++) {
        attack_put_code(&a, all[way].bytes, all[way].length);
        for (int i = 0, selector; (selector = selector_at(i)) >= 0; i++) {
            if (left_out(way, i))
                continue;
            const uint64_t rsp = BOX_STACK + PAGE - 256;
            const uint32_t frame[5] = {(uint32_t)TARGET, (uint32_t)selector, 0x202, (uint32_t)rsp, 0x2b};
            uint64_t wide[5];
            for (size_t j = 0; j < 5; j++)
                wide[j] = frame[j];
            const void *operand = all[way].word == 4 ? (const void *)frame : wide;
            attack_put(&a, rsp, operand, 5 * all[way].word);
            memcpy((void *)a.box.data, operand, 2 * all[way].word);
            attack_aim(&a, ATTACK_CODE);
            p->regs.cs = all[way].narrow ? 0x23 : 0x33;
            p->regs.rdi = BOX_DATA;
            p->regs.rsp = rsp;
            run_keeping_ss(&a, name_of(all[way].name, selector));
            expect_transfer(&a, &all[way], selector, rsp);
            check_innocent(&a, i);
        }
        innocent_check(&a);
    }
    attacker_close(&a);
}

/* IRETQ with each flag, and with every one: what arrives is what ring 3 can have, and can go in again. */
static void flags_of_iret(void **state)
{
    (void)state;
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    if (tcg) {
        attacker_close(&a);
        print_message("needs a processor: QEMU's emulation lets IRET of ring 3 set what flags it likes\n");
        skip();
    }
    const uint8_t target[] = {0xee, 0x0f, 0x0b}; /* out al, dx */
    attack_put_code(&a, "\x48\xcf", 2);
    attack_put(&a, TARGET, target, sizeof(target));
    for (unsigned i = 0; i < 2 * 24; i++) {
        const unsigned bit = i / 2;
        const uint64_t flags = bit == 23 ? UINT64_MAX & ~EFLAGS_TF : 1ul << bit;
        const uint64_t frame[5] = {TARGET, i & 1 ? 0x23 : 0x33, flags, BOX_STACK + PAGE - 128, 0x2b};
        const uint64_t rsp = BOX_STACK + PAGE - 256;
        attack_put(&a, rsp, frame, sizeof(frame));
        attack_aim(&a, ATTACK_CODE);
        p->regs.rsp = rsp;
        char name[60];
        snprintf(name, sizeof(name), "iretq with eflags %#lx, cs %#lx", flags, frame[1]);
        run_keeping_ss(&a, name);
        expect_exception(&a, 13, 0, TARGET);
        attack_run_only(&a, "the same again");
        expect_exception(&a, 13, 0, TARGET);
        innocent_check(&a);
    }
    attacker_close(&a);
}

/* With NT set IRET would be a task switch, which there is none in code of 64 bits. */
static void nested_task(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x9d, 0x48, 0xcf, 0x0f, 0x0b};
    struct attacker a;

    open_attacker(&a);
    attack_put(&a, ATTACK_CODE, code, sizeof(code));
    const uint64_t frame[6] = {EFLAGS_NT, TARGET, 0x33, 2, BOX_STACK + PAGE, 0x2b};
    attack_put(&a, BOX_STACK, frame, sizeof(frame));
    attack_aim(&a, ATTACK_CODE);
    a.box.params.regs.rsp = BOX_STACK;
    attack_run(&a, "iretq with NT");
    expect_exception(&a, 13, 0, ATTACK_CODE + 1);
    attacker_close(&a);
}

/* To where no code can be: reported at the instruction or at its target, as the processor does. */
static void transfers_to_nowhere(void **state)
{
    (void)state;
    static const struct {
        const char *name, *bytes;
        size_t length;
        bool far;
    } all[] = {{"ret", "\xc3", 1, false}, {"ret $8", "\xc2\x08\0", 3, false}, {"jmp *(%rdi)", "\xff\x27", 2, false},
        {"call *(%rdi)", "\xff\x17", 2, false}, {"lretq", "\x48\xcb", 2, true}, {"iretq", "\x48\xcf", 2, true}};
    static const uint64_t targets[] = {0x800000000000, 0xffff7fffffffffff, 0x8000000000000000, 0x1234567812345678};
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    for (size_t way = 0; way < sizeof(all) / sizeof(all[0]); way++) {
        if (tcg && all[way].far) /* far_transfers says why */
            continue;
        attack_put_code(&a, all[way].bytes, all[way].length);
        for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
            const uint64_t frame[5] = {targets[i], 0x33, 0x202, BOX_STACK + PAGE - 128, 0x2b};
            const uint64_t rsp = BOX_STACK + PAGE - 256;
            attack_put(&a, rsp, frame, sizeof(frame));
            a.box.data[0] = targets[i];
            attack_aim(&a, ATTACK_CODE);
            p->regs.rdi = BOX_DATA;
            p->regs.rsp = rsp;
            attack_run_only(&a, all[way].name);
            if (pvm && all[way].far && p->vector == 6) /* its emulator cannot */
                expect_exception(&a, 6, 0, ATTACK_CODE);
            else
                expect_exception(&a, 13, 0, p->regs.rip == targets[i] ? targets[i] : ATTACK_CODE);
            innocent_check(&a);
        }
    }
    attacker_close(&a);
}

/* Stacks that end where addresses do: a word that is not canonical is #SS (QEMU's emulation: #GP). */
static void stacks_at_the_hole(void **state)
{
    (void)state;
    static const struct {
        const char *name, *bytes;
        size_t length;
    } all[] = {{"push", "\x50", 1}, {"pushf", "\x9c", 1}, {"call", "\xe8\0\0\0\0", 5}, {"enter", "\xc8\0\0\0", 4}};
    static const uint64_t ends[] = {0x7ffffffff008, 0x800000000000, 0x800000000004, 0x800000000008, 0x800000001000,
        0xffff800000000000, 0xffff800000000004, 0xffff800000000010, 0xfffffe0000000010};
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    for (size_t way = 0; way < sizeof(all) / sizeof(all[0]); way++) {
        attack_put_code(&a, all[way].bytes, all[way].length);
        for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
            const uint64_t word = ends[i] - 8;
            const bool begins = (uint64_t)((int64_t)(word << 16) >> 16) == word;
            attack_aim(&a, ATTACK_CODE);
            p->regs.rsp = ends[i];
            attack_run_only(&a, all[way].name);
            if (begins && p->reason == POLDER_PAGE_FAULT)
                expect_fault(&a, word, PF_U | PF_W, ATTACK_CODE);
            else if (begins && ends[i] != 0x800000000004)
                attack_failed(&a, "wanted a page fault");
            else
                expect_exception(&a, tcg ? 13 : 12, 0, ATTACK_CODE);
            if (p->regs.rsp != ends[i])
                attack_failed(&a, "rsp is not %#lx", ends[i]);
            innocent_check(&a);
        }
    }
    attacker_close(&a);
}

/* Nothing is at 0, in code of 64 bits and of 32: a jump there is what it is, and no system call. */
static void jumps_to_null(void **state)
{
    (void)state;
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    attack_put_code(&a, "\xff\xe0", 2);
    for (int narrow = 0; narrow < 2; narrow++) {
        for (int way = 0; way < 2; way++) {
            attack_aim(&a, way ? 0 : ATTACK_CODE);
            p->regs.cs = narrow ? 0x23 : 0x33;
            p->regs.rax = 0;
            attack_run(&a, "a jump to 0");
            expect_fault(&a, 0, PF_U | PF_I, 0);
            if (p->regs.cs != (narrow ? 0x23 : 0x33))
                attack_failed(&a, "in another segment");
        }
    }
    attacker_close(&a);
}

/* Addresses of 32 bits end at 4 GiB: behind that is 0, or the segment's limit. */
static void the_end_of_32_bits(void **state)
{
    (void)state;
    static const uint8_t load[] = {0x8b, 0x4d, 0x10, 0x0f, 0x0b}; /* mov 0x10(%ebp), %ecx */
    static const struct {
        uint64_t rbp, address;
    } all[] = {{0xfffffff8, 8}, {0x12345678fffffff0, 0}, {0xffffffff00000ff0, 0x1000}, {0x100000ff0, 0x1000}};
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    attack_put(&a, ATTACK_CODE, load, sizeof(load));
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        attack_aim(&a, ATTACK_CODE);
        p->regs.cs = 0x23;
        p->regs.rbp = all[i].rbp;
        attack_run(&a, "a load in code of 32 bits");
        expect_fault(&a, all[i].address, PF_U, ATTACK_CODE);
    }
    /* Code that runs on to 4 GiB. */
    box_map_anonymous(&a.box, 0xfffff000, PAGE, ALL_RWX);
    const uint8_t nop = 0x90;
    attack_put(&a, 0xffffffff, &nop, 1);
    attack_aim(&a, 0xffffffff);
    p->regs.cs = 0x23;
    attack_run(&a, "code of 32 bits that ends at 4 GiB");
    expect_fault(&a, 0, PF_U | PF_I, 0);
    /* 64-bit code does not end there. */
    attack_aim(&a, 0xffffffff);
    attack_run(&a, "code of 64 bits that runs over 4 GiB");
    expect_fault(&a, 0x100000000, PF_U | PF_I, 0x100000000);
    attacker_close(&a);
}

/* From code of 64 bits to code of 32 and back, many times in one run, then the system call. */
static void to_and_fro(void **state)
{
    (void)state;
    static const char code[0x40] = "\xff\x2f\x90\x90\x90\x90\x90\x90"       /* ljmp *(%rdi): to the next line */
                                   "\x40\x83\xe9\x01\x74\x07"               /* inc %eax; sub $1, %ecx; jz 1f */
                                   "\xea\0\0\0\x12\x33\0"                   /* ljmp $0x33, $ATTACK_CODE */
                                   "\xea\x20\0\0\x12\x33\0\x90\x90\x90\x90" /* 1: ljmp $0x33, $ATTACK_CODE + 0x20 */
                                   "\x0f\x05\x0f\x0b";                      /* syscall */
    struct attacker a;
    struct polder_params *p = &a.box.params;

    _Static_assert(ATTACK_CODE == 0x12000000, "the code above says so");
    open_attacker(&a);
    attack_put(&a, ATTACK_CODE, code, sizeof(code));
    for (uint64_t i = 1; i <= 256; i *= 16) {
        a.box.data[0] = 0x23ul << 32 | (ATTACK_CODE + 8);
        attack_aim(&a, ATTACK_CODE);
        p->regs.rdi = BOX_DATA;
        p->regs.rax = 0;
        p->regs.rcx = i;
        attack_run(&a, "to code of 32 bits and back");
        expect_syscall(&a, ATTACK_CODE + 0x22);
        if (p->regs.orig_rax != i || p->regs.cs != 0x33)
            attack_failed(&a, "wanted %lu rounds, and code of 64 bits", i);
    }
    attacker_close(&a);
}

/*
 * SYSCALL in code of 32 bits: #UD on Intel; on AMD it goes to CSTAR with ring 3's stack pointer, all 64 bits of it.
 * What is reported is #UD, but for RCX and R11, which are gone on AMD.
 */
static void system_calls_of_32_bits(void **state)
{
    (void)state;
    static const char code[0x20] = "\x48\x89\xf4\xff\x2f\x90\x90\x90" /* mov %rsi, %rsp; ljmp *(%rdi) */
                                   "\x0f\x05\x0f\x0b";                /* to here: syscall */
    static const uint64_t rsps[] = {BOX_STACK + PAGE, 0, 0xfffffff8, UINT64_MAX, 0xffffffff80000000, 0x8000000000000000,
        0xfffffe0000004c00, 0x7fffffffffff};
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    attack_put(&a, ATTACK_CODE, code, sizeof(code));
    for (size_t i = 0; i < 2 * sizeof(rsps) / sizeof(rsps[0]); i++) {
        const uint64_t rsp = rsps[i / 2];
        const bool straight = i & 1; /* or by a jump from code of 64 bits */
        a.box.data[0] = 0x23ul << 32 | (ATTACK_CODE + 8);
        attack_aim(&a, straight ? ATTACK_CODE + 8 : ATTACK_CODE);
        p->regs.cs = straight ? 0x23 : 0x33;
        p->regs.rsp = rsp;
        p->regs.rsi = rsp;
        p->regs.rdi = BOX_DATA;
        p->regs.rax = 20;
        attack_run(&a, "SYSCALL in code of 32 bits");
        expect_exception(&a, 6, 0, ATTACK_CODE + 8);
        if (p->regs.cs != 0x23 || p->regs.rax != 20)
            attack_failed(&a, "it went elsewhere");
    }
    attacker_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads),
        cmocka_unit_test(questions),
        cmocka_unit_test(every_selector),
        cmocka_unit_test(far_transfers),
        cmocka_unit_test(flags_of_iret),
        cmocka_unit_test(nested_task),
        cmocka_unit_test(transfers_to_nowhere),
        cmocka_unit_test(stacks_at_the_hole),
        cmocka_unit_test(jumps_to_null),
        cmocka_unit_test(the_end_of_32_bits),
        cmocka_unit_test(to_and_fro),
        cmocka_unit_test(system_calls_of_32_bits),
    };
    return RUN_GROUP("hostile: segments", tests);
}
