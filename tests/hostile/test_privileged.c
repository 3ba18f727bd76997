/* SPDX-License-Identifier: MIT */
/*
 * Every way of ring 3's to reach memory, into every kind of page that it must not reach: privileged pages of its own
 * space, ring 0's areas and page tables (in a kernel also its image, the direct map and the arena), and addresses that
 * are none. The report is a page fault with the address and the error code that polder.h promises; nothing is changed.
 */
#include "attack.h"

/* code_privileged.S has these, and says what the values mean. */
struct access {
    const char *name;
    const uint8_t *code;
    uint8_t at; /* in the code: the instruction that faults; before it is what it needs */
    uint8_t length;
    uint8_t way; /* the page fault's error code, but for bit 0 */
    uint8_t base;
    uint16_t size, align;
    uint32_t flags;
};

enum { NONE = 0, FETCH = PF_U | PF_I };
enum { RDI, RSI, RSP, PUSH };
enum { ANY = 1, MAYBE = 2, CACHE = 4, NOT_TCG = 8 };

extern const struct access privileged_accesses[], privileged_accesses_end[];

/* A privileged page of the attacker's space, and a page of its own on either side. */
#define OWN_BEFORE BOX_FREE
#define PRIVILEGED (BOX_FREE + PAGE)
#define OWN_BEHIND (BOX_FREE + 2 * PAGE)
#define SECRET 0xa5ul

static bool is_here(const struct access *access)
{
    return !(access->flags & NOT_TCG) || !processor_is_tcg();
}

static bool is_hint(const struct access *access)
{
    return access->way == NONE || ((access->flags & CACHE) && processor_is_tcg());
}

/* The code is there (attack_code); address is where it leads. */
static void run_access(struct attacker *a, const struct access *access, uint64_t address)
{
    struct user_regs_struct *r = &a->box.params.regs;

    attack_aim(a, ATTACK_CODE);
    r->rdi = access->base == RDI ? address : BOX_DATA;
    r->rsi = access->base == RSI ? address : BOX_DATA;
    r->rcx = 16;
    r->rsp -= 64; /* something to pop */
    if (access->base == RSP || access->base == PUSH)
        r->rsp = address + (access->base == PUSH ? 8 : 0);
    attack_run_only(a, access->name);
}

/* A processor has no such instruction, or it is privileged: UMIP. */
static bool is_refused(const struct attacker *a, const struct access *access)
{
    const struct polder_params *p = &a->box.params;

    return (access->flags & MAYBE) && p->reason == POLDER_EXCEPTION && (p->vector == 6 || p->vector == 13) &&
           p->regs.rip == ATTACK_CODE + access->at;
}

/* first is the first byte of the access that must fault. */
static void check_fault(const struct attacker *a, const struct access *access, uint64_t first, uint64_t present)
{
    const struct polder_params *p = &a->box.params;

    if (is_refused(a, access))
        return;
    if (is_hint(access)) /* the UD2 behind it */
        expect_exception(a, 6, 0, ATTACK_CODE + access->length);
    else if (!(access->flags & ANY))
        expect_fault(a, first, access->way | present, access->way == FETCH ? first : ATTACK_CODE + access->at);
    else if (p->reason != POLDER_PAGE_FAULT || p->fault_addr - (first & ~63ul) >= PAGE ||
             (p->error_code | PF_W) != (PF_U | PF_W | present))
        attack_failed(a, "wanted a page fault from %#lx on", first);
}

static void try_page(struct attacker *a, uint64_t page, uint64_t present)
{
    for (const struct access *access = privileged_accesses; access < privileged_accesses_end; access++) {
        if (!is_here(access))
            continue;
        attack_code(a, access->code, access->length);
        run_access(a, access, page + 64);
        check_fault(a, access, page + 64, present);
    }
    innocent_check(a);
}

static void is_unchanged(struct attacker *a)
{
    uint8_t page[PAGE];

    assert_int_equal(polder_read(a->box.fd, page, PAGE, PRIVILEGED), PAGE);
    for (size_t i = 0; i < PAGE; i++)
        if (page[i] != SECRET)
            attack_failed(a, "byte %zu of the privileged page is %#x", i, page[i]);
}

static void put_secret(struct attacker *a)
{
    uint8_t page[PAGE];

    memset(page, (int)SECRET, sizeof(page));
    attack_put(a, PRIVILEGED, page, PAGE);
}

static void protect(struct attacker *a, uint64_t page, int prot)
{
    assert_ok(polder_mprotect((void *)page, PAGE, prot, a->box.fd));
}

static void map_pages(struct attacker *a)
{
    box_map_anonymous(&a->box, OWN_BEFORE, 3 * PAGE, ALL_RWX);
    put_secret(a);
    protect(a, PRIVILEGED, ALL_RWX | POLDER_PRIVILEGED);
}

/* ---------------------------------------------------------------- privileged pages of its own space */

static void of_its_own_space(void **state)
{
    (void)state;
    struct attacker a;

    attacker_open(&a);
    map_pages(&a);
    try_page(&a, PRIVILEGED, PF_P);
    is_unchanged(&a);
    /* Not present yet: the same report. */
    box_map_anonymous(&a.box, PRIVILEGED, PAGE, RW | POLDER_PRIVILEGED);
    try_page(&a, PRIVILEGED, PF_P);
    put_secret(&a);
    try_page(&a, PRIVILEGED, PF_P);
    is_unchanged(&a);
    /* Ring 3 has had it. */
    protect(&a, PRIVILEGED, ALL_RWX);
    assert_int_equal(box_load(&a.box, PRIVILEGED), 0x0101010101010101ul * SECRET);
    protect(&a, PRIVILEGED, ALL_RWX | POLDER_PRIVILEGED);
    try_page(&a, PRIVILEGED, PF_P);
    is_unchanged(&a);
    /* Shared memory, that it sees elsewhere. */
    box_map(&a.box, PRIVILEGED, PAGE, ALL_RWX | POLDER_PRIVILEGED, MAP_SHARED, a.box.data_fd, PAGE);
    put_secret(&a);
    try_page(&a, PRIVILEGED, PF_P);
    is_unchanged(&a);
    assert_int_equal(box_load(&a.box, BOX_DATA + PAGE), 0x0101010101010101ul * SECRET);
    attacker_close(&a);
}

/* What a copy of a space has of its privileged pages is as privileged, and so is what the first keeps. */
static void of_a_copy(void **state)
{
    (void)state;
    struct attacker a;

    attacker_open(&a);
    map_pages(&a);
    try_page(&a, PRIVILEGED, PF_P);
    const int own = a.box.fd, copy = polder_copy(own);
    assert_true(copy >= 0);
    a.box.fd = copy;
    try_page(&a, PRIVILEGED, PF_P);
    is_unchanged(&a);
    put_secret(&a); /* a page of the copy's own */
    try_page(&a, PRIVILEGED, PF_P);
    is_unchanged(&a);
    a.box.fd = own;
    try_page(&a, PRIVILEGED, PF_P);
    is_unchanged(&a);
    close(copy);
    attacker_close(&a);
}

/* One page among 512 that one entry maps. */
static void of_a_huge_page(void **state)
{
    (void)state;
    const uint64_t start = 0x50000000;
    struct attacker a;

    attacker_open(&a);
    box_map_anonymous(&a.box, start, 2 * HUGE_PAGE, ALL_RWX);
    box_store(&a.box, start, 1);
    for (uint64_t page = 1; page < 512; page += 170) {
        const uint64_t at = start + page * PAGE;
        box_store(&a.box, at + 64, page);
        protect(&a, at, RW | POLDER_PRIVILEGED);
        try_page(&a, at, PF_P);
        uint64_t word;
        assert_int_equal(polder_read(a.box.fd, &word, 8, at + 64), 8);
        assert_int_equal(word, page);
        box_store(&a.box, at - 8, page + 1);
        assert_int_equal(box_load(&a.box, at - 8), page + 1);
        box_store(&a.box, at + PAGE, page + 2);
    }
    assert_ok(polder_mprotect((void *)(start + HUGE_PAGE), HUGE_PAGE, ALL_RWX | POLDER_PRIVILEGED, a.box.fd));
    try_page(&a, start + HUGE_PAGE, PF_P);
    try_page(&a, start + 2 * HUGE_PAGE - PAGE, PF_P);
    attacker_close(&a);
}

/* From a page of its own into a privileged one, and back out of it, with every part of every width on either side. */
static void across_the_edge(void **state)
{
    (void)state;
    struct attacker a;

    attacker_open(&a);
    map_pages(&a);
    for (const struct access *access = privileged_accesses; access < privileged_accesses_end; access++) {
        if (!is_here(access) || access->size <= access->align)
            continue;
        attack_code(&a, access->code, access->length);
        /* Of the large ones some; where ring 0 is emulated and the test is in it, each is slow. */
        const uint64_t step = (access->size > 64 ? 7 : times(1, __STDC_HOSTED__ ? 1 : 3)) * access->align;
        for (uint64_t before = access->align; before < access->size; before += step) {
            static const uint64_t own[8] = {0x1122334455667788, 0x99aabbccddeeff00, 3, 4, 5, 6, 7, 8};
            uint64_t got[8];
            attack_put(&a, PRIVILEGED - sizeof(own), own, sizeof(own));
            run_access(&a, access, PRIVILEGED - before);
            check_fault(&a, access, PRIVILEGED, PF_P);
            assert_int_equal(polder_read(a.box.fd, got, sizeof(own), PRIVILEGED - sizeof(own)), sizeof(own));
            /* Nothing is stored, not even the part that may; but QEMU's emulation stores 16 bytes as twice 8. */
            if (!(access->flags & ANY) && (!processor_is_tcg() || access->size < 16))
                assert_memory_equal(got, own, sizeof(own));
            run_access(&a, access, OWN_BEHIND - before);
            check_fault(&a, access, OWN_BEHIND - before, PF_P);
        }
        is_unchanged(&a);
        innocent_check(&a);
    }
    /* A string goes as far as it may, and says how far. */
    attack_code(&a, (const uint8_t[]){0xf3, 0xa4}, 2);
    attack_aim(&a, ATTACK_CODE);
    a.box.params.regs.rsi = BOX_DATA;
    a.box.params.regs.rdi = PRIVILEGED - 100;
    a.box.params.regs.rcx = 300;
    attack_run(&a, "rep movsb over the edge");
    expect_fault(&a, PRIVILEGED, PF_P | PF_U | PF_W, ATTACK_CODE);
    assert_int_equal(a.box.params.regs.rcx, 200);
    assert_int_equal(a.box.params.regs.rdi, PRIVILEGED);
    is_unchanged(&a);
    attacker_close(&a);
}

/* An instruction that lies on both. */
static void code_across_the_edge(void **state)
{
    (void)state;
    /* movabs $imm64, %rax; syscall: 12 bytes, begun up to 11 bytes before the edge */
    static const uint8_t code[] = {0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 0x0f, 0x05};
    struct attacker a;

    attacker_open(&a);
    map_pages(&a);
    for (uint64_t before = 1; before < sizeof(code); before++) {
        const uint64_t begin = PRIVILEGED - before;
        attack_put(&a, begin, code, before);
        assert_int_equal(
            polder_write(a.box.fd, code + before, sizeof(code) - before, PRIVILEGED), (ssize_t)(sizeof(code) - before));
        protect(&a, PRIVILEGED, ALL_RWX);
        attack_aim(&a, begin);
        attack_run_only(&a, "an instruction over the edge of a page");
        expect_syscall(&a, begin + sizeof(code));
        assert_int_equal(a.box.params.regs.orig_rax, 0x0807060504030201);
        protect(&a, PRIVILEGED, ALL_RWX | POLDER_PRIVILEGED);
        attack_aim(&a, begin);
        a.box.params.regs.rax = 99;
        attack_run(&a, "an instruction over the edge of a privileged page");
        /* Nothing of it has been done; with ten bytes or more before the edge it is the second one. */
        expect_fault(&a, PRIVILEGED, PF_P | PF_U | PF_I, begin + (before >= 10 ? 10 : 0));
        assert_int_equal(a.box.params.regs.rax, before >= 10 ? 0x0807060504030201 : 99);
    }
    attacker_close(&a);
}

/* ---------------------------------------------------------------- ring 0's */

static void of_ring_0(void **state)
{
    (void)state;
    struct attacker a;

    attacker_open(&a);
    map_pages(&a);
    /* The areas of the first vCPUs, some table memory; in a kernel its image, RAM and arena. */
    static const struct {
        uint64_t start, pages;
    } ranges[] = {{0xfffffe0000000000, 64}, {0xfffffe0000040000, 4}, {0xffffc80000000000, 4}, {0xffffc80008000000, 4},
        {0xfffffe4000000000, 4}, {0xffffffff80000000, 16}, {0xffff800000000000, 1}, {0xfffffffffffff000, 1}};
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        /* Every page where it is quick; else those with something in them, and some others. */
        const uint64_t step = times(64, 64) >= 64 && !ring0_is_emulated() ? 1 : ranges[i].pages / 4 + 1;
        for (uint64_t n = 0; n < ranges[i].pages; n += step)
            try_page(&a, ranges[i].start + n * PAGE, 0);
    }
    is_unchanged(&a);
    attacker_close(&a);
}

/* ---------------------------------------------------------------- addresses that nothing can have */

/* #GP, or #SS by way of the stack. */
static void of_no_meaning(void **state)
{
    (void)state;
    static const uint64_t addresses[] = {0x0000800000000000, 0x0000800000001000, 0x8000000000000000, 0xffff7fffffffffc0,
        0x5555555555555540, 0xfff0000000000000};
    struct attacker a;

    attacker_open(&a);
    for (const struct access *access = privileged_accesses; access < privileged_accesses_end; access++) {
        if (!is_here(access))
            continue;
        attack_code(&a, access->code, access->length);
        for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
            const struct polder_params *p = &a.box.params;
            run_access(&a, access, addresses[i]);
            if (is_hint(access)) {
                check_fault(&a, access, addresses[i], 0);
                continue;
            }
            /* PVM emulates what has caused a #GP: its FXSAVE is a page fault, and what it does not know is #UD. */
            if ((access->flags & ANY) && p->reason == POLDER_PAGE_FAULT && p->fault_addr - addresses[i] < 576)
                continue;
            if (p->reason != POLDER_EXCEPTION || p->error_code ||
                (p->vector != 13 && p->vector != 12 &&
                    !((access->flags & (ANY | MAYBE) || ring0_is_emulated()) && p->vector == 6)))
                attack_failed(&a, "wanted #GP or #SS at %#lx", addresses[i]);
        }
        innocent_check(&a);
    }
    attacker_close(&a);
}

/* Where addresses begin and end: page 0, the last page that can be mapped, both ends of what is canonical, and eight
 * bytes of which the last are at the other end. */
static void at_the_ends(void **state)
{
    (void)state;
    static const uint8_t load[] = {0x48, 0x8b, 0x07}, store[] = {0x48, 0x89, 0x07};
    struct attacker a;

    attacker_open(&a);
    box_map_anonymous(&a.box, PAGE, PAGE, ALL_RWX);
    box_map_anonymous(&a.box, 0x7fffffffe000, PAGE, ALL_RWX);
    for (int way = 0; way < 2; way++) {
        const uint64_t error = way ? PF_U | PF_W : PF_U;
        attack_code(&a, way ? store : load, 3);
        for (uint64_t before = 1; before < 8; before++) {
            const uint64_t beyond = 0x7ffffffff000, last = 0x800000000000;
            const struct {
                uint64_t address, fault;
            } cases[] = {{beyond - before, beyond}, {last - 8 - before, last - 8 - before},
                {PAGE - before, PAGE - before}, {before, before},
                {0xffff800000000000 + before, 0xffff800000000000 + before}};
            for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                attack_aim(&a, ATTACK_CODE);
                a.box.params.regs.rdi = cases[i].address;
                attack_run_only(&a, "an access at an end of the space");
                expect_fault(&a, cases[i].fault, error, ATTACK_CODE);
            }
            /* The processor looks first whether it is canonical (#GP), or whether the first part is there. */
            const uint64_t split[] = {last - before, 0 - before, 0xffff800000000000 - before};
            for (size_t i = 0; i < sizeof(split) / sizeof(split[0]); i++) {
                const struct polder_params *p = &a.box.params;
                attack_aim(&a, ATTACK_CODE);
                a.box.params.regs.rdi = split[i];
                attack_run_only(&a, "an access that is at both ends");
                if (p->reason == POLDER_PAGE_FAULT && p->error_code == error &&
                    (p->fault_addr == split[i] || p->fault_addr == split[i] + before))
                    continue;
                expect_exception(&a, 13, 0, ATTACK_CODE);
            }
        }
        innocent_check(&a);
    }
    /* Code that begins in page 0, code that goes on there, and code that runs out of the space. */
    static const struct {
        uint64_t at, end;
    } codes[] = {{0, 0}, {PAGE - 1, PAGE - 1}, {0x7fffffffeffe, 0x7ffffffff000}, {0x7fffffffefff, 0x7ffffffff000},
        {0x7ffffffff000, 0x7ffffffff000}, {0x7fffffffffff, 0x7fffffffffff}};
    attack_put(&a, 0x7fffffffeffe, "\x90\x48", 2); /* NOP, and a prefix of what is not there */
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        attack_aim(&a, codes[i].at);
        attack_run(&a, "code at an end of the space");
        expect_fault(&a, codes[i].end, PF_U | PF_I, codes[i].at == 0x7fffffffeffe ? 0x7fffffffefff : codes[i].at);
    }
    attacker_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_its_own_space),
        cmocka_unit_test(of_a_copy),
        cmocka_unit_test(of_a_huge_page),
        cmocka_unit_test(across_the_edge),
        cmocka_unit_test(code_across_the_edge),
        cmocka_unit_test(of_ring_0),
        cmocka_unit_test(of_no_meaning),
        cmocka_unit_test(at_the_ends),
    };
    return RUN_GROUP("hostile: privileged memory", tests);
}
