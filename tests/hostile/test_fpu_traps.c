/* SPDX-License-Identifier: MIT */
/*
 * Exceptions of x87 and SIMD arithmetic, states that cannot be loaded, operands that must be aligned: each is the
 * sandbox's, at its instruction, and nothing of it waits for another context.
 *
 * On PVM a #GP(0) of ring 3 is tried again by KVM's emulator, which does not know each of these (#UD), and lets FXSAVE
 * and FXRSTOR pass where they are misaligned. QEMU's
 * emulation raises no SIMD exceptions, checks little alignment, takes any MXCSR, which KVM then refuses to load, and
 * raises x87 exceptions at FWAIT only; it dies of AVX-512 and AMX.
 */
#include "attack.h"

#define MXCSR_RESET 0x1f80u
#define FCW_RESET 0x37fu
enum { IE = 1, DE = 2, ZE = 4, OE = 8, UE = 16, PE = 32 }; /* in FCW and FSW; in MXCSR masks are 7 bits further up */

/* Operands, at BOX_DATA + OPERANDS: what rsi points to. */
enum {
    OPERANDS = 2048,
    ZERO = 0,
    ONE = 4,
    THREE = 8,
    LARGEST = 12,
    SMALLEST = 16,
    DENORMAL = 20,
    DENORMAL64 = 24,
    BIG = 32,
    TINY = 48
};

static bool tcg;

static void open_attacker(struct attacker *a)
{
    tcg = processor_is_tcg();
    attacker_open(a);
    attack_code(a, "", 0);
    char *at = (char *)a->box.data + OPERANDS;
    const uint32_t words[6] = {0, 0x3f800000, 0x40400000, 0x7f7fffff, 0x00800000, 0x00000001};
    memcpy(at, words, sizeof(words));
    *(uint64_t *)(at + DENORMAL64) = 1;
    *(uint64_t *)(at + BIG) = UINT64_MAX; /* numbers of 80 bits */
    *(uint16_t *)(at + BIG + 8) = 0x7ffe;
    *(uint64_t *)(at + TINY) = 1ul << 63;
    *(uint16_t *)(at + TINY + 8) = 1;
}

static void aim_with_operands(struct attacker *a)
{
    attack_aim(a, ATTACK_CODE);
    a->box.params.regs.rdi = BOX_DATA;
    a->box.params.regs.rsi = BOX_DATA + OPERANDS;
    a->box.params.regs.rax = 7;
    a->box.params.regs.rdx = 0;
}

static void expect_protection(const struct attacker *a, uint64_t end)
{
    const struct polder_params *p = &a->box.params;

    if (ring0_is_emulated() && p->vector == 6)
        expect_exception(a, 6, 0, p->regs.rip == end ? end : ATTACK_CODE);
    else
        expect_exception(a, 13, 0, ATTACK_CODE);
}

struct operation {
    const char *name, *bytes;
    size_t length;
    unsigned exception;
    bool not_tcg; /* QEMU's emulation lets it pass */
};

static const struct operation x87_operations[] = {
    {"0/0", "\xd9\xee\xd9\xee\xde\xf9", 6, IE, false},
    {"a square root of -1", "\xd9\xe8\xd9\xe0\xd9\xfa", 6, IE, false},
    {"a full stack", "\xd9\xee\xd9\xee\xd9\xee\xd9\xee\xd9\xee\xd9\xee\xd9\xee\xd9\xee\xd9\xee", 18, IE, true},
    {"an empty stack", "\xd9\xfa", 2, IE, true},
    {"a denormal", "\xdd\x46\x18", 3, DE, true},
    {"1/0", "\xd9\xe8\xd9\xee\xde\xf9", 6, ZE, false},
    {"too large", "\xdb\x6e\x20\xd8\xc8", 5, OE, false},
    {"too small", "\xdb\x6e\x30\xd8\xc8", 5, UE, false},
    {"1/3", "\xd9\xe8\xd8\x76\x08", 5, PE, false},
};
#define X87_OPERATIONS (sizeof(x87_operations) / sizeof(x87_operations[0]))

/* fninit; fldcw (rdi); the operation; what comes next. Returns where that is. */
static uint64_t put_x87(struct attacker *a, const struct operation *o, const char *next, size_t length)
{
    uint8_t code[40] = {0xdb, 0xe3, 0xd9, 0x2f};

    memcpy(code + 4, o->bytes, o->length);
    memcpy(code + 4 + o->length, next, length);
    attack_put_code(a, code, 4 + o->length + length);
    return ATTACK_CODE + 4 + o->length;
}

/* Unmasked, it comes at the next instruction that waits; masked, or cleared by one that does not, it does not come. */
static void x87_exceptions(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
        bool waits, all_processors;
    } next[] = {{"\x9b", 1, true, true}, {"\xd9\xd0", 2, true, false}, {"\xdd\x17", 2, true, false},
        {"\x9b\xdf\xe0", 3, true, true}, {"\xdf\xe0", 2, false, true}, {"\xdb\xe2\x9b", 3, false, true},
        {"\xdb\xe3\x9b", 3, false, true}, {"\x0f\xae\x07", 3, false, true}};
    struct attacker a;

    open_attacker(&a);
    for (size_t i = 0; i < X87_OPERATIONS; i++) {
        const struct operation *o = &x87_operations[i];
        for (size_t j = 0; j < sizeof(next) / sizeof(next[0]); j++) {
            for (int masked = 0; masked < 2; masked++) {
                if (tcg && (!next[j].all_processors || o->not_tcg))
                    continue;
                const uint64_t at = put_x87(&a, o, next[j].bytes, next[j].length);
                a.box.data[0] = masked ? FCW_RESET : FCW_RESET & ~o->exception;
                aim_with_operands(&a);
                attack_run_only(&a, o->name);
                if (masked || !next[j].waits)
                    expect_exception(&a, 6, 0, at + next[j].length);
                else
                    expect_exception(&a, 16, 0, at);
            }
        }
        innocent_check(&a);
    }
    attacker_close(&a);
}

/* An exception that waits stays its context's: across a trap and runs of others, it comes when that one goes on. */
static void x87_exceptions_wait(void **state)
{
    (void)state;
    struct attacker a;
    struct box other;

    open_attacker(&a);
    box_open(&other);
    box_map_anonymous(&other, ATTACK_CODE, PAGE, ALL_RWX);
    assert_int_equal(polder_write(other.fd, "\x9b\xd9\xee\x9b\xdd\xd8\x0f\x05", 8, ATTACK_CODE), 8);
    for (size_t i = 0; i < X87_OPERATIONS; i++) {
        const struct operation *o = &x87_operations[i];
        for (int way = 0; way < 3 && !(tcg && o->not_tcg); way++) {
            /* A trap by a system call, an exception, a page fault; then FWAIT. */
            static const char *const traps[] = {"\x0f\x05\x9b", "\x0f\x0b\x9b", "\x8b\x00\x9b"};
            const uint64_t at = put_x87(&a, o, traps[way], 3);
            a.box.data[0] = FCW_RESET & ~o->exception;
            aim_with_operands(&a);
            attack_run_only(&a, o->name);
            if (way == 0)
                expect_syscall(&a, at + 2);
            else if (way == 1)
                expect_exception(&a, 6, 0, at);
            else
                expect_fault(&a, 7, PF_U, at);
#if __STDC_HOSTED__
            __asm__ volatile("fwait"); /* the caller is not concerned */
#endif
            other.params.regs.rip = ATTACK_CODE;
            other.params.regs.eflags = 2;
            assert_int_equal(polder_run_sandbox(other.fd, &other.params), 0);
            assert_int_equal(other.params.reason, POLDER_SYSCALL);
            innocent_check(&a);
            a.box.params.regs.rip = at + 2;
            attack_run_only(&a, o->name);
            expect_exception(&a, 16, 0, at + 2);
        }
    }
    box_close(&other);
    attacker_close(&a);
}

/* ldmxcsr (rdi); movss; movss; the operation */
static void simd_exceptions(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint8_t first, second, opcode;
        unsigned exception;
    } all[] = {
        {"0/0", ZERO, ZERO, 0x5e, IE},
        {"denormal + 0", DENORMAL, ZERO, 0x58, DE},
        {"1/0", ONE, ZERO, 0x5e, ZE},
        {"too large", LARGEST, LARGEST, 0x59, OE},
        {"too small", SMALLEST, SMALLEST, 0x59, UE},
        {"1/3", ONE, THREE, 0x5e, PE},
    };
    struct attacker a;

    open_attacker(&a);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        /* divss, divps, vdivps of 256 and of 512 bits, the same without exceptions */
        for (int form = 0; form < 5; form++) {
            static const struct {
                uint8_t bytes[5], length;
                bool raises;
            } forms[] = {{{0xf3, 0x0f}, 2, true}, {{0x0f}, 1, true}, {{0xc5, 0xfc}, 2, true},
                {{0x62, 0xf1, 0x7c, 0x48}, 4, true}, {{0x62, 0xf1, 0x7c, 0x18}, 4, false}};
            if (tcg && form > 2)
                continue;
            uint8_t code[40] = {0x0f, 0xae, 0x17, 0x0f, 0x57, 0xc0, 0x0f, 0x57, 0xc9, 0xf3, 0x0f, 0x10, 0x46,
                all[i].first, 0xf3, 0x0f, 0x10, 0x4e, all[i].second};
            size_t length = 19;
            if (form) { /* all of the register has the operands */
                memcpy(code + length, "\x0f\xc6\xc0\0\x0f\xc6\xc9\0", 8);
                length += 8;
            }
            memcpy(code + length, forms[form].bytes, forms[form].length);
            code[length + forms[form].length] = all[i].opcode;
            code[length + forms[form].length + 1] = 0xc1;
            const uint64_t at = ATTACK_CODE + length, end = attack_put_code(&a, code, length + forms[form].length + 2);
            for (int masked = 0; masked < 2; masked++) {
                a.box.data[0] = masked ? MXCSR_RESET : MXCSR_RESET & ~(all[i].exception << 7);
                aim_with_operands(&a);
                attack_run_only(&a, all[i].name);
                if (form >= 2 && a.box.params.vector == 6 && a.box.params.regs.rip == at) /* it has no AVX */
                    continue;
                if (masked || tcg || !forms[form].raises)
                    expect_exception(&a, 6, 0, end);
                else
                    expect_exception(&a, 19, 0, at);
            }
        }
        innocent_check(&a);
    }
    attacker_close(&a);
}

/* States that cannot be loaded: #GP at the instruction, and what was loaded before stays. */
static void bad_states(void **state)
{
    (void)state;
    enum { BAD_MXCSR, BAD_XSTATE_BV, BAD_XCOMP_BV, BAD_HEADER, GOOD };
    static const struct {
        const char *name, *bytes;
        size_t length;
        int what;
        unsigned misaligned;
    } all[] = {
        {"ldmxcsr", "\x0f\xae\x57\x18", 4, BAD_MXCSR, 0},
        {"vldmxcsr", "\xc5\xf8\xae\x57\x18", 5, BAD_MXCSR, 0},
        {"fxrstor", "\x0f\xae\x0f", 3, BAD_MXCSR, 0},
        {"fxrstor64", "\x48\x0f\xae\x0f", 4, BAD_MXCSR, 0},
        {"fxrstor, misaligned", "\x0f\xae\x0f", 3, GOOD, 8},
        {"fxsave, misaligned", "\x0f\xae\x07", 3, GOOD, 8},
        {"xrstor", "\x0f\xae\x2f", 3, BAD_MXCSR, 0},
        {"xrstor, xstate_bv", "\x0f\xae\x2f", 3, BAD_XSTATE_BV, 0},
        {"xrstor, xcomp_bv", "\x0f\xae\x2f", 3, BAD_XCOMP_BV, 0},
        {"xrstor, header", "\x0f\xae\x2f", 3, BAD_HEADER, 0},
        {"xrstor, misaligned", "\x0f\xae\x2f", 3, GOOD, 16},
        {"xsave, misaligned", "\x0f\xae\x27", 3, GOOD, 32},
        {"xsavec, misaligned", "\x0f\xc7\x27", 3, GOOD, 32},
        {"xrstor that is good", "\x0f\xae\x2f", 3, GOOD, 0},
        {"fxrstor that is good", "\x0f\xae\x0f", 3, GOOD, 0},
    };
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (tcg && all[i].what == BAD_MXCSR)
            continue;
        const uint64_t end = attack_put_code(&a, all[i].bytes, all[i].length);
        uint8_t *area = (uint8_t *)a.box.data;
        memset(area, 0, 1024);
        memset(area + 32, 0xff, 128); /* registers that no arithmetic makes */
        *(uint32_t *)(area + 24) = all[i].what == BAD_MXCSR ? 0xffff0000 : 0;
        uint64_t *header = (uint64_t *)(area + 512);
        header[0] = all[i].what == BAD_XSTATE_BV ? 3 | 1ul << 62 : 3;
        header[1] = all[i].what == BAD_XCOMP_BV ? 3 : 0;
        header[2] = header[7] = all[i].what == BAD_HEADER ? 1 : 0;
        aim_with_operands(&a);
        p->regs.rdi += all[i].misaligned;
        attack_run_only(&a, all[i].name);
        const bool good = all[i].what == GOOD && !all[i].misaligned;
        if (p->vector == 6 && p->regs.rip == ATTACK_CODE && all[i].bytes[1] != '\xae') /* it has none */
            continue;
        if (good)
            expect_exception(&a, 6, 0, end);
        else
            expect_protection(&a, end);
        innocent_check(&a);
    }
    attacker_close(&a);
}

/* Operands that must be aligned whatever the flags say. */
static void aligned_operands(void **state)
{
    (void)state;
    static const struct {
        const char *name, *bytes;
        size_t length;
        bool may_be_none;
    } all[] = {
        {"movaps", "\x0f\x28\x47\x01", 4, false},
        {"movdqa to memory", "\x66\x0f\x7f\x47\x08", 5, false},
        {"movntps", "\x0f\x2b\x47\x04", 4, false},
        {"addps", "\x0f\x58\x47\x02", 4, false},
        {"vmovaps of 256 bits", "\xc5\xfc\x28\x47\x10", 5, true},
        {"vmovdqa to memory", "\xc5\xfd\x7f\x47\x08", 5, true},
        {"vmovaps of 512 bits", "\x62\xf1\x7c\x48\x28\x87\x20\0\0\0", 10, true},
        {"cmpxchg16b", "\x48\x0f\xc7\x4f\x08", 5, false},
        {"lock cmpxchg16b", "\xf0\x48\x0f\xc7\x4f\x08", 6, false},
    };
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (tcg && all[i].bytes[0] == '\x62')
            continue;
        const uint64_t end = attack_put_code(&a, all[i].bytes, all[i].length);
        aim_with_operands(&a);
        attack_run_only(&a, all[i].name);
        if (p->vector == 6 && p->regs.rip == (all[i].may_be_none ? ATTACK_CODE : tcg ? end : 0))
            continue;
        expect_protection(&a, end);
        innocent_check(&a);
    }
    attacker_close(&a);
}

/* Alignment checking is the sandbox's to switch on: #AC in code of 64 bits, by data and by the stack, by no aligned
 * one. */
static void alignment_check(void **state)
{
    (void)state;
    static const struct {
        const char *name, *bytes;
        size_t length;
        bool aligned;
    } all[] = {
        {"a load of 2", "\x66\x8b\x47\x01", 4, false},
        {"a load of 4", "\x8b\x47\x02", 3, false},
        {"a load of 8", "\x48\x8b\x47\x04", 4, false},
        {"a store of 8", "\x48\x89\x47\x07", 4, false},
        {"add", "\x01\x47\x01", 3, false},
        {"push", "\x50", 1, false},
        {"pop", "\x58", 1, false},
        {"call", "\xe8\0\0\0\0", 5, false},
        {"fldl", "\xdd\x47\x04", 3, false},
        {"fldt", "\xdb\x6f\x01", 3, false},
        {"movss", "\xf3\x0f\x10\x47\x01", 5, false},
        {"a load of 1", "\x8a\x47\x01", 3, true},
        {"an aligned load", "\x48\x8b\x47\x08", 4, true},
        {"an aligned load of 2", "\x66\x8b\x47\x02", 4, true},
    };
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const uint64_t end = attack_put_code(&a, all[i].bytes, all[i].length);
        for (int on = 0; on < 2; on++) {
            aim_with_operands(&a);
            p->regs.rsp -= 64 + 4;
            p->regs.eflags |= on ? EFLAGS_AC : 0;
            attack_run_only(&a, all[i].name);
            if (on && !all[i].aligned && !tcg)
                expect_exception(&a, 17, 0, ATTACK_CODE);
            else
                expect_exception(&a, 6, 0, end);
            if ((p->regs.eflags & EFLAGS_AC) != (on ? EFLAGS_AC : 0))
                attack_failed(&a, "AC is not as it was");
            innocent_check(&a);
        }
    }
    attacker_close(&a);
}

/* Tiles that are set up badly: #GP where the sandbox may use AMX at all. */
static void tiles(void **state)
{
    (void)state;
    static const char *const codes[] = {"\xc4\xe2\x78\x49\x07", "\xc4\xe2\x7b\x4b\x04\x07", "\xc4\xe2\x73\x5e\xc2"};
    static const size_t lengths[] = {5, 6, 5};
    struct attacker a;
    struct polder_params *p = &a.box.params;

    open_attacker(&a);
    for (size_t i = 0; i < 3 && !tcg; i++) {
        attack_put_code(&a, codes[i], lengths[i]);
        memset((void *)a.box.data, 0xff, 64);
        aim_with_operands(&a);
        attack_run(&a, i ? "tiles that are not set up" : "ldtilecfg of a palette that there is not");
        expect_exception(&a, p->vector == 13 ? 13 : 6, 0, ATTACK_CODE);
    }
    attacker_close(&a);
}

/* Upper halves that VZEROUPPER cleared stay clear, and those of others stay theirs. */
static void upper_halves(void **state)
{
    (void)state;
    /* all ones; vzeroupper where wanted; syscall; then vmovups to memory; syscall */
    static const uint8_t code[] = {
        0xc5, 0xfd, 0x76, 0xc0, 0xc5, 0xf8, 0x77, 0x0f, 0x05, 0xc5, 0xfc, 0x11, 0x07, 0x0f, 0x05};
    struct attacker a;
    struct polder_params *p = &a.box.params, other;

    open_attacker(&a);
    polder_params_init(&other);
    attack_put_code(&a, code, sizeof(code));
    for (int round = 0; round < 8; round++) {
        aim_with_operands(&a);
        attack_run_only(&a, "vpcmpeqd, vzeroupper");
        if (p->vector == 6 && p->regs.rip == ATTACK_CODE) /* no AVX of 256 bits */
            break;
        expect_syscall(&a, ATTACK_CODE + 9);
        /* The same registers, all of them full, in another context and in the innocent one. */
        other.regs = p->regs;
        other.regs.rip = ATTACK_CODE;
        static const uint8_t full[] = {0x0f, 0x1f, 0x00};
        attack_put(&a, ATTACK_CODE + 4, full, sizeof(full));
        assert_int_equal(polder_run_sandbox(a.box.fd, &other), 0);
        assert_int_equal(other.reason, POLDER_SYSCALL);
        attack_put(&a, ATTACK_CODE + 4, code + 4, sizeof(full));
        if (round & 1)
            innocent_check(&a);
        attack_run_only(&a, "vmovups");
        expect_syscall(&a, ATTACK_CODE + sizeof(code));
        for (int i = 0; i < 4; i++)
            if (a.box.data[i] != (i < 2 ? UINT64_MAX : 0))
                attack_failed(&a, "word %d of ymm0 is %#lx", i, a.box.data[i]);
        assert_int_equal(polder_run_sandbox(a.box.fd, &other), 0);
        assert_int_equal(other.reason, POLDER_SYSCALL);
        for (int i = 0; i < 4; i++)
            if (a.box.data[i] != UINT64_MAX)
                attack_failed(&a, "word %d of the other context's ymm0 is %#lx", i, a.box.data[i]);
    }
    polder_params_fini(&other);
    attacker_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x87_exceptions),
        cmocka_unit_test(x87_exceptions_wait),
        cmocka_unit_test(simd_exceptions),
        cmocka_unit_test(bad_states),
        cmocka_unit_test(aligned_operands),
        cmocka_unit_test(alignment_check),
        cmocka_unit_test(tiles),
        cmocka_unit_test(upper_halves),
    };
    return RUN_GROUP("hostile: FPU traps", tests);
}
