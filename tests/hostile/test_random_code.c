/* SPDX-License-Identifier: MIT */
/*
 * Random code: bytes, and instructions of the right form; with random registers and flags, in code of 64 and of 32
 * bits, in a space whose mappings change at random, in copies of it, stepped and not, one trap after the other, in one
 * process. After each trap the report must be a documented one; after each program the innocent context is looked at;
 * after each space what it had must have come back.
 *
 * POLDER_TEST_INSTRUCTIONS says how many instructions are to be started (by hand: ten million), POLDER_TEST_SEED where
 * the random numbers start. One that faults is started; one that a jump may have left out is not counted.
 */
#if __STDC_HOSTED__
#include "frames.h" /* its PAGE_SIZE before that of sys/user.h */
#else
#include <polder/resident.h>
#endif

#include "attack.h"
#include "instructions.h"

enum { PROGRAM_INSTRUCTIONS = 64, PROGRAMS = 50, AREAS = 8, AREA_PAGES = 4 };
#define AREA(i) (BOX_FREE + (i)*2 * AREA_PAGES * PAGE)
#define HUGE_AREA 0x50000000ul

/* Addresses that random registers and displacements lie near. */
static const uint64_t places[] = {BOX_DATA, BOX_DATA + PAGE, BOX_STACK + PAGE / 2, BOX_STACK + PAGE, ATTACK_CODE,
    ATTACK_CODE_END, AREA(0), AREA(1), AREA(2), AREA(3), AREA(4), AREA(5), AREA(6) + PAGE, AREA(7) + 2 * PAGE,
    HUGE_AREA + 0x1ff000, 0x1000, 0, 0xffffffff80000000};

struct program {
    uint8_t code[PAGE];
    uint32_t starts[PROGRAM_INSTRUCTIONS + 1]; /* where each instruction begins, and where the last one ends */
    bool wide, wild;
};

struct counts {
    uint64_t instructions, runs, reasons[POLDER_BUS + 1], vectors[32];
};

static uint64_t seed;

static void write_program(struct program *program, bool bytes)
{
    size_t at = 0;

    program->wide = random_next(&seed) % 8 != 0;
    program->wild = bytes;
    for (size_t i = 0; i < PROGRAM_INSTRUCTIONS; i++) {
        program->starts[i] = (uint32_t)at;
        if (bytes) {
            for (uint64_t n = 1 + random_next(&seed) % 8; n > 0; n--) {
                const uint8_t byte = (uint8_t)random_next(&seed);
                program->code[at++] = instruction_byte_is_safe(byte) ? byte : 0x0f;
            }
        } else
            at += instruction_make(
                program->code + at, program->wide, places, sizeof(places) / sizeof(places[0]), &program->wild, &seed);
    }
    program->starts[PROGRAM_INSTRUCTIONS] = (uint32_t)at;
}

static uint64_t random_address(void)
{
    return random_next(&seed) % 4
               ? places[random_next(&seed) % (sizeof(places) / sizeof(places[0]))] + (random_next(&seed) % 512 & ~7ul)
               : odd_value(&seed);
}

static uint64_t canonical_of(uint64_t address) /* a base that is not is refused */
{
    return (uint64_t)((int64_t)(address << 16) >> 16);
}

static void random_registers(struct user_regs_struct *r)
{
    unsigned long long *const all[] = {&r->rax, &r->rbx, &r->rcx, &r->rdx, &r->rsi, &r->rdi, &r->rbp, &r->rsp, &r->r8,
        &r->r9, &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        *all[i] = random_address();
    if (random_next(&seed) % 4) /* REP is not for ever */
        r->rcx = random_next(&seed) % 64;
    r->eflags = random_next(&seed) & ~(EFLAGS_TF | EFLAGS_AC);
    if (random_next(&seed) % 16 == 0)
        r->eflags |= random_next(&seed) & (EFLAGS_TF | EFLAGS_AC);
    r->fs_base = canonical_of(random_address());
    r->gs_base = canonical_of(random_address());
}

static void change_map(struct attacker *a, int space)
{
    static const int prots[] = {PROT_NONE, PROT_READ, RW, PROT_READ | PROT_EXEC, ALL_RWX, RW | POLDER_PRIVILEGED, RW};
    const uint64_t which = random_next(&seed) % AREAS;
    const size_t pages = 1 + random_next(&seed) % AREA_PAGES;
    int prot = prots[random_next(&seed) % (sizeof(prots) / sizeof(prots[0]))];
    void *at = (void *)AREA(which);

    if (processor_is_tcg()) /* it does not survive any code: see instruction_byte_is_safe */
        prot &= ~PROT_EXEC;
    switch (random_next(&seed) % 6) {
    case 0:
        assert_ok(polder_munmap(at, pages * PAGE, space));
        break;
    case 1:
        if (polder_mprotect(at, pages * PAGE, prot, space) < 0) /* there may be nothing */
            assert_int_equal(errno, ENOMEM);
        break;
    case 2:
        assert_ptr_equal(polder_mmap(at, pages * PAGE, prot, MAP_SHARED | MAP_FIXED, a->box.data_fd, 0, space), at);
        break;
    case 3:
        at = (void *)HUGE_AREA;
        assert_ptr_equal(polder_mmap(at, HUGE_PAGE, prot, ANONYMOUS | MAP_FIXED, -1, 0, space), at);
        break;
    default:
        assert_ptr_equal(polder_mmap(at, pages * PAGE, prot, ANONYMOUS | MAP_FIXED, -1, 0, space), at);
    }
}

/* The first instruction of the program that begins behind offset. */
static size_t instruction_after(const struct program *program, uint64_t offset)
{
    size_t i = 0;

    while (i < PROGRAM_INSTRUCTIONS && program->starts[i] <= offset)
        i++;
    return i;
}

static void run_program(struct attacker *a, const struct program *program, int space, struct counts *counts)
{
    struct polder_params *p = &a->box.params;
    const uint32_t end = program->starts[PROGRAM_INSTRUCTIONS];
    const int own = a->box.fd;
    size_t next = 0, counted = 0; /* the instruction to begin at, and how many before it have been counted */

    attack_aim(a, ATTACK_CODE);
    random_registers(&p->regs);
    a->box.fd = space;
    for (int runs = 0; runs < 3 * PROGRAM_INSTRUCTIONS; runs++) {
        p->regs.cs = program->wide ? 0x33 : 0x23;
        p->regs.rip = ATTACK_CODE + program->starts[next];
        /* QEMU's emulation loses flags of ring 3's where a fault ends a block of several instructions. */
        p->flags = random_next(&seed) % 16 && !processor_is_tcg() ? 0 : POLDER_SINGLE_STEP;
        p->deadline_ns = 3000000;
        attack_run_only(a, "random code");
        counts->runs++;
        counts->reasons[p->reason]++;
        if (p->vector < 32)
            counts->vectors[p->vector]++;
        const uint64_t offset = p->regs.rip - ATTACK_CODE;
        const bool inside = offset < end;
        /* A trap is before its instruction: go on behind that. A system call, a step and a #DB are behind theirs. */
        const bool behind = p->reason == POLDER_SYSCALL || p->reason == POLDER_STEP || p->vector == 1;
        const size_t reached = inside ? instruction_after(program, behind ? offset - 1 : offset) : PROGRAM_INSTRUCTIONS;
        if (program->wild)
            counts->instructions++;
        else if (reached > counted) {
            counts->instructions += inside ? reached - counted : 1;
            counted = reached;
        }
        if (inside && reached > next)
            next = reached;
        else
            next++;
        if (next >= PROGRAM_INSTRUCTIONS || p->reason == POLDER_DEADLINE || offset == end)
            break;
        if (random_next(&seed) % 2)
            random_registers(&p->regs);
        else /* what was made inside, but for what cannot be entered */
            p->regs.eflags &= ~(random_next(&seed) % 2 ? EFLAGS_TF : 0);
        /* QEMU's emulation lets WRFSBASE load what is not canonical. */
        p->regs.fs_base = canonical_of(p->regs.fs_base);
        p->regs.gs_base = canonical_of(p->regs.gs_base);
        if (random_next(&seed) % 32 == 0)
            change_map(a, space);
    }
    a->box.fd = own;
    innocent_check(a);
}

static uint64_t memory_in_use(void)
{
#if __STDC_HOSTED__
    return frames_in_use();
#else
    return polder_memory_used();
#endif
}

static void one_space(struct counts *counts)
{
    struct attacker a;
    static struct program program;

    attacker_open(&a);
    for (int i = 0; i < PROGRAMS; i++) {
        write_program(&program, random_next(&seed) % 3 == 0);
        attack_code(&a, program.code, program.starts[PROGRAM_INSTRUCTIONS]);
        if (processor_is_tcg())
            assert_ok(polder_mprotect((void *)ATTACK_CODE, ATTACK_CODE_PAGES * PAGE, PROT_READ | PROT_EXEC, a.box.fd));
        for (uint64_t n = random_next(&seed) % 4; n > 0; n--)
            change_map(&a, a.box.fd);
        if (random_next(&seed) % 8 == 0) {
            int copy = polder_copy(a.box.fd);
            assert_true(copy >= 0);
            run_program(&a, &program, copy, counts);
            assert_int_equal(close(copy), 0);
        } else
            run_program(&a, &program, a.box.fd, counts);
        /* Random code wrote to its own code and stack, or took them away. */
        box_map_anonymous(&a.box, ATTACK_CODE, ATTACK_CODE_PAGES * PAGE, ALL_RWX);
        a.code_length = 0;
        box_map_anonymous(&a.box, BOX_STACK, PAGE, RW);
    }
    attacker_close(&a);
}

static void random_code(void **state)
{
    (void)state;
    const char *choice = getenv("POLDER_TEST_SEED"), *wanted = getenv("POLDER_TEST_INSTRUCTIONS");
    const uint64_t instructions =
        wanted ? strtoull(wanted, NULL, 0) : (uint64_t)times(100000, __STDC_HOSTED__ ? 100000 : 3000);
    struct counts counts = {0};
    uint64_t before = 0;

    seed = choice ? strtoull(choice, NULL, 0) | 1 : 18120121;
    one_space(&counts); /* what is made at the first use stays */
    for (unsigned spaces = 0; counts.instructions < instructions; spaces++) {
        const uint64_t first = seed;
        one_space(&counts);
        /* Spaces are given back when the next one is opened: compare behind such a one. */
        int fd = polder_open("/proc/mm");
        assert_true(fd >= 0);
        uint64_t now = memory_in_use();
        close(fd);
        if (!spaces)
            before = now;
        if (now > before)
            fail_msg("the space that began with POLDER_TEST_SEED=%#lx left memory in use: %lu, then %lu", first, before,
                now);
#if __STDC_HOSTED__
        alarm(TEST_SECONDS);
#endif
    }
    print_message("%lu instructions in %lu runs: %lu system calls, %lu page faults, %lu exceptions, %lu steps, %lu "
                  "deadlines, %lu beyond a file\n",
        counts.instructions, counts.runs, counts.reasons[POLDER_SYSCALL], counts.reasons[POLDER_PAGE_FAULT],
        counts.reasons[POLDER_EXCEPTION], counts.reasons[POLDER_STEP], counts.reasons[POLDER_DEADLINE],
        counts.reasons[POLDER_BUS]);
    for (size_t i = 0; i < 32; i++)
        if (counts.vectors[i])
            print_message("vector %zu: %lu\n", i, counts.vectors[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_code),
    };
    return RUN_GROUP("hostile: random code", tests);
}
