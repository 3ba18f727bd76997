/* SPDX-License-Identifier: MIT */
/*
 * Code that changes: under its own feet, through another mapping of the same page, from outside, and by what is mapped
 * there. What runs is what was written last; no translation and no copy of an instruction is older.
 */
#include "attack.h"

#if __STDC_HOSTED__
#include <pthread.h>
#include <sched.h>
#endif

#define ALIAS_WRITE BOX_FREE
#define ALIAS_RUN (BOX_FREE + 0x100000)

/* mov $value, %eax; syscall */
static void answer(uint8_t code[8], uint32_t value)
{
    memcpy(code, "\xb8\0\0\0\0\x0f\x05", 7);
    memcpy(code + 1, &value, 4);
    code[7] = 0x90;
}

static void expect_answer(const struct attacker *a, uint64_t rip, uint64_t value)
{
    expect_syscall(a, rip);
    if (a->box.params.regs.orig_rax != value)
        attack_failed(a, "the code that ran is that of %#llx, not of %#lx", a->box.params.regs.orig_rax, value);
}

/* Runs what is at an address, whose answer must be this one. */
static void run_answer(struct attacker *a, uint64_t at, uint64_t value, const char *name)
{
    attack_aim(a, at);
    attack_run_only(a, name);
    expect_answer(a, at + 7, value);
}

/* Each instruction writes the next one, over the one that was there, and goes on to it. */
static void the_next_instruction(void **state)
{
    (void)state;
    static const char code[] = "\xc6\x05\x08\0\0\0\x41" /* movb $0x41, 1f + 2(%rip): the operand of the ADD below */
                               "\xfe\x05\x02\0\0\0"     /* incb 1f + 2(%rip) */
                               "\x83\xc0\0"             /* 1: add $0, %eax */
                               "\xff\xc9"               /* dec %ecx */
                               "\x75\xec"               /* jnz to the beginning */
                               "\x0f\x05";
    const size_t length = sizeof(code) - 1;
    struct attacker a;

    attacker_open(&a);
    attack_code(&a, code, length);
    for (uint64_t rounds = 1; rounds <= 100; rounds *= 10) {
        attack_aim(&a, ATTACK_CODE);
        a.box.params.regs.rax = 0;
        a.box.params.regs.rcx = rounds;
        attack_run(&a, "code that writes its next instruction");
        expect_answer(&a, ATTACK_CODE + length, rounds * 0x42);
    }
    attacker_close(&a);
}

/* A file mapped twice, to write and to run: by one run that does both, and by runs in turns. */
static void through_an_alias(void **state)
{
    (void)state;
    /* mov %esi, 1(%rdi); jmp *%rbx */
    static const uint8_t writer[] = {0x89, 0x77, 0x01, 0xff, 0xe3};
    struct attacker a;
    struct polder_params *p = &a.box.params;
    uint8_t code[8];
    const int fd = make_file(2, 0);

    attacker_open(&a);
    attack_code(&a, writer, sizeof(writer));
    answer(code, 1);
    for (int far = 0; far < 2; far++) { /* over the end of a page too */
        const uint64_t offset = far ? PAGE - 3 : 64;
        box_map(&a.box, ALIAS_WRITE, 2 * PAGE, RW, MAP_SHARED, fd, 0);
        box_map(&a.box, ALIAS_RUN, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
        attack_put(&a, ALIAS_WRITE + offset, code, sizeof(code));
        run_answer(&a, ALIAS_RUN + offset, 1, "an alias, first");
        for (uint32_t i = 2; i < 20; i++) {
            attack_aim(&a, ATTACK_CODE);
            p->regs.rdi = ALIAS_WRITE + offset;
            p->regs.rsi = i;
            p->regs.rbx = ALIAS_RUN + offset;
            attack_run_only(&a, "a write through an alias");
            expect_answer(&a, ALIAS_RUN + offset + 7, i);
            uint8_t other[8];
            answer(other, i + 1000);
            if (i & 1)
                attack_put(&a, ALIAS_WRITE + offset, other, sizeof(other));
            else
                assert_int_equal(pwrite(fd, other, sizeof(other), (off_t)offset), sizeof(other));
            run_answer(&a, ALIAS_RUN + offset, i + 1000, "a write from outside");
        }
        innocent_check(&a);
        /* The mapping that runs cannot be written, and what was tried changes nothing. */
        attack_aim(&a, ATTACK_CODE);
        p->regs.rdi = ALIAS_RUN + offset;
        p->regs.rsi = 5;
        attack_run(&a, "a write to what runs");
        expect_fault(&a, ALIAS_RUN + offset + 1, PF_U | PF_W | PF_P, ATTACK_CODE);
        run_answer(&a, ALIAS_RUN + offset, 1019, "after a write that was refused");
    }
    attacker_close(&a);
    close(fd);
}

/* Written while it cannot run, then run while it cannot be written, again and again. */
static void protections_in_turns(void **state)
{
    (void)state;
    static const uint8_t writer[] = {0x89, 0x77, 0x01, 0x0f, 0x05}; /* mov %esi, 1(%rdi); syscall */
    struct attacker a;
    struct polder_params *p = &a.box.params;
    uint8_t code[8];

    attacker_open(&a);
    attack_code(&a, writer, sizeof(writer));
    box_map_anonymous(&a.box, BOX_FREE, PAGE, RW);
    answer(code, 0);
    attack_put(&a, BOX_FREE, code, sizeof(code));
    for (uint32_t i = 1; i < (uint32_t)times(64, 16); i++) {
        assert_ok(polder_mprotect((void *)BOX_FREE, PAGE, RW, a.box.fd));
        attack_aim(&a, ATTACK_CODE);
        p->regs.rdi = BOX_FREE;
        p->regs.rsi = i;
        attack_run_only(&a, "a write to what cannot run");
        expect_syscall(&a, ATTACK_CODE + sizeof(writer));
        attack_aim(&a, BOX_FREE);
        attack_run_only(&a, "a jump to what cannot run");
        expect_fault(&a, BOX_FREE, PF_U | PF_I | PF_P, BOX_FREE);
        assert_ok(polder_mprotect((void *)BOX_FREE, PAGE, PROT_READ | PROT_EXEC, a.box.fd));
        run_answer(&a, BOX_FREE, i, "what was written before it could run");
        attack_aim(&a, ATTACK_CODE);
        p->regs.rdi = BOX_FREE;
        p->regs.rsi = 0xbad;
        attack_run_only(&a, "a write to what cannot be written");
        expect_fault(&a, BOX_FREE + 1, PF_U | PF_W | PF_P, ATTACK_CODE);
        run_answer(&a, BOX_FREE, i, "after a write that was refused");
        if (i % 8 == 0)
            innocent_check(&a);
    }
    attacker_close(&a);
}

/* Other code at the same address: another page of a file, a page that is new, one that is copied, none. */
static void remapped_between_runs(void **state)
{
    (void)state;
    enum { FILE_PAGES = 4 };
    struct attacker a;
    uint8_t code[8];
    const int fd = make_file(FILE_PAGES, 0);

    attacker_open(&a);
    for (uint32_t i = 0; i < FILE_PAGES; i++) {
        answer(code, i);
        assert_int_equal(pwrite(fd, code, sizeof(code), (off_t)(i * PAGE)), sizeof(code));
    }
    for (uint32_t i = 0; i < (uint32_t)times(60, 15); i++) {
        const uint32_t page = i * 7 % FILE_PAGES;
        box_map(
            &a.box, BOX_FREE, PAGE, PROT_READ | PROT_EXEC, i & 1 ? MAP_SHARED : MAP_PRIVATE, fd, (off_t)(page * PAGE));
        run_answer(&a, BOX_FREE, page, "another page of a file");
        box_map_anonymous(&a.box, BOX_FREE, PAGE, ALL_RWX);
        answer(code, i + 100);
        attack_put(&a, BOX_FREE, code, sizeof(code));
        run_answer(&a, BOX_FREE, i + 100, "a new page");
        /* A copy whose code is changed, and the original, in turns on this vCPU. */
        const int copy = polder_copy(a.box.fd), own = a.box.fd;
        assert_true(copy >= 0);
        answer(code, i + 200);
        assert_int_equal(polder_write(copy, code, sizeof(code), BOX_FREE), sizeof(code));
        run_answer(&a, BOX_FREE, i + 100, "the original");
        a.box.fd = copy;
        run_answer(&a, BOX_FREE, i + 200, "the copy");
        a.box.fd = own;
        run_answer(&a, BOX_FREE, i + 100, "the original again");
        close(copy);
        assert_ok(polder_munmap((void *)BOX_FREE, PAGE, a.box.fd));
        attack_aim(&a, BOX_FREE);
        attack_run_only(&a, "no page");
        expect_fault(&a, BOX_FREE, PF_U | PF_I, BOX_FREE);
        if (i % 8 == 0)
            innocent_check(&a);
    }
    attacker_close(&a);
    close(fd);
}

/* A page of code among those that one entry of 2 MiB maps: changed, taken away, and the others still run. */
static void in_a_huge_page(void **state)
{
    (void)state;
    enum { STEP = 51, LAST = 510 };
    const uint64_t at = 0x50000000;
    struct attacker a;
    uint8_t code[8];

    attacker_open(&a);
    box_map_anonymous(&a.box, at, HUGE_PAGE, ALL_RWX);
    for (uint32_t i = 0; i <= LAST; i += STEP) {
        answer(code, i);
        attack_put(&a, at + i * PAGE, code, sizeof(code));
    }
    for (uint32_t i = 0; i < LAST; i += STEP) {
        const uint64_t page = at + i * PAGE;
        run_answer(&a, page, i, "a page of 2 MiB");
        answer(code, i + 1000);
        attack_put(&a, page, code, sizeof(code));
        run_answer(&a, page, i + 1000, "a page of 2 MiB, changed");
        box_map_anonymous(&a.box, page, PAGE, ALL_RWX);
        answer(code, i + 2000);
        attack_put(&a, page, code, sizeof(code));
        run_answer(&a, page, i + 2000, "a page of its own");
        assert_ok(polder_mprotect((void *)page, PAGE, RW, a.box.fd));
        attack_aim(&a, page);
        attack_run_only(&a, "a page that cannot run any more");
        expect_fault(&a, page, PF_U | PF_I | PF_P, page);
        run_answer(&a, at + LAST * PAGE, LAST, "the last one");
        innocent_check(&a);
    }
    attacker_close(&a);
}

/* Traps in each other's place: the code that is looked at to tell INT n is that which ran. */
static void the_code_of_a_trap(void **state)
{
    (void)state;
    static const uint8_t codes[][2] = {{0xcd, 0x80}, {0x0f, 0x0b}, {0xcd, 0x03}, {0xf4, 0x90}, {0x0f, 0x05}};
    static const struct {
        uint32_t vector;
        uint64_t error_code, rip;
    } wanted[] = {{13, 0x402, 0}, {6, 0, 0}, {3, 0, 2}, {13, 0, 0}, {0, 0, 2}};
    struct attacker a;
    uint64_t seed = 7;

    attacker_open(&a);
    for (int i = 0; i < times(200, 40); i++) {
        const size_t which = random_next(&seed) % 5;
        attack_put(&a, ATTACK_CODE, codes[which], 2);
        attack_aim(&a, ATTACK_CODE);
        attack_run_only(&a, "a trap in the place of another");
        if (which == 4)
            expect_syscall(&a, ATTACK_CODE + 2);
        else
            expect_exception(&a, wanted[which].vector, wanted[which].error_code, ATTACK_CODE + wanted[which].rip);
    }
    attacker_close(&a);
}

#if __STDC_HOSTED__
static void *run_to_the_end(void *arg)
{
    struct attacker *a = arg;

    assert_int_equal(polder_run_sandbox(a->box.fd, &a->box.params), 0);
    return NULL;
}

/* A loop whose instruction another thread changes, without any trap: it must become the new one. */
static void written_by_another_thread(void **state)
{
    (void)state;
    /* mov $0, %eax, whose operand is aligned; mov %eax, (%rdi); cmp $-1, %eax; jne to the beginning; syscall */
    static const char code[] = "\x90\x90\x90\xb8\0\0\0\0\x89\x07\x83\xf8\xff\x75\xf4\x0f\x05";
    struct attacker a;
    pthread_t thread;

    attacker_open(&a);
    box_map(&a.box, ALIAS_RUN, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, a.box.data_fd, 0);
    memcpy((void *)a.box.data, code, sizeof(code));
    volatile uint32_t *operand = (volatile uint32_t *)a.box.data + 1, *seen = operand + 1024;
    attack_aim(&a, ALIAS_RUN + 3);
    a.box.params.deadline_ns = 0;
    a.box.params.regs.rdi = BOX_DATA + ((uintptr_t)seen - (uintptr_t)a.box.data);
    assert_int_equal(pthread_create(&thread, NULL, run_to_the_end, &a), 0);
    for (uint32_t i = 1; i < (uint32_t)scaled(1000); i++) {
        *operand = i;
        while (*seen != i) {
            sched_yield();
            /* QEMU's emulation may miss a store to code that another processor is about to translate. */
            if (processor_is_tcg())
                *operand = i;
        }
    }
    *operand = UINT32_MAX;
    while (processor_is_tcg() && *seen != UINT32_MAX) {
        sched_yield();
        *operand = UINT32_MAX;
    }
    pthread_join(thread, NULL);
    expect_syscall(&a, ALIAS_RUN + sizeof(code) - 1);
    attacker_close(&a);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_instruction),
        cmocka_unit_test(through_an_alias),
        cmocka_unit_test(protections_in_turns),
        cmocka_unit_test(remapped_between_runs),
        cmocka_unit_test(in_a_huge_page),
        cmocka_unit_test(the_code_of_a_trap),
#if __STDC_HOSTED__ /* kernels of these tests have one vCPU */
        cmocka_unit_test(written_by_another_thread),
#endif
    };
    return RUN_GROUP("hostile: code that changes", tests);
}
