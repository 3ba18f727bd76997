/* SPDX-License-Identifier: MIT */
/*
 * Exits in the middle of an instruction, and kicks in the middle of a trap: memory that is gone from under a mapping,
 * and runs that are ended while they fault. Nothing of them may reach whoever runs next on that vCPU: no exit that is
 * left unfinished runs his code in ring 0, and no exception that was under way is his.
 */
#include "attack.h"

#include <pthread.h>
#if __STDC_HOSTED__
#include <signal.h>
#endif

#define HOLE BOX_FREE
#define HOLE_PAGES 4

/* Accesses of every kind to RDI; RSI and RSP are good addresses. */
static const struct {
    const char *name;
    uint8_t code[8], length;
} accesses[] = {
    {"load", {0x48, 0x8b, 0x07}, 3},
    {"store", {0x48, 0x89, 0x07}, 3},
    {"lock inc", {0xf0, 0x48, 0xff, 0x07}, 4},
    {"rep movsb to it", {0xf3, 0xa4}, 2},
    {"rep stosq", {0xf3, 0x48, 0xab}, 3},
    {"movups from it", {0x0f, 0x10, 0x07}, 3},
    {"movups to it", {0x0f, 0x11, 0x07}, 3},
    {"fxsave", {0x0f, 0xae, 0x07}, 3},
    {"fxrstor", {0x0f, 0xae, 0x0f}, 3},
    {"push (rdi)", {0xff, 0x37}, 2},
    {"pop (rdi)", {0x8f, 0x07}, 2},
    {"jump", {0xff, 0xe7}, 2},
    {"jump through it", {0xff, 0x27}, 2},
    {"cmpxchg16b", {0x48, 0x0f, 0xc7, 0x0f}, 4},
};

static const uint8_t read_cr3[] = {0x0f, 0x20, 0xd8, 0x0f, 0x0b};

/* An other context, on this vCPU, in the attacker's space: it must be in ring 3. */
static void is_in_ring_3(struct attacker *a, struct polder_params *other)
{
    polder_params_init(other);
    other->regs.rip = ATTACK_CODE + PAGE;
    other->regs.rsp = BOX_STACK + PAGE;
    assert_int_equal(polder_run_sandbox(a->box.fd, other), 0);
    if (other->reason != POLDER_EXCEPTION || other->vector != 13 || other->regs.rip != ATTACK_CODE + PAGE)
        fail_msg("%s: the next context could read CR3: reason %u, vector %u, rip %#llx, rax %#llx", a->name,
            other->reason, other->vector, other->regs.rip, other->regs.rax);
    polder_params_fini(other);
}

static void memory_that_is_gone(void **state)
{
    (void)state;
    struct polder_params other;
    struct attacker a;

    attacker_open(&a);
    attack_put(&a, ATTACK_CODE + PAGE, read_cr3, sizeof(read_cr3));
    for (unsigned round = 0; round < 4; round++) {
        const bool shared = round & 1, present = round & 2;
        int file = make_file(HOLE_PAGES, 0x1000);
        box_map(&a.box, HOLE, HOLE_PAGES * PAGE, ALL_RWX, shared ? MAP_SHARED : MAP_PRIVATE, file, 0);
        for (size_t i = 0; i < sizeof(accesses) / sizeof(accesses[0]); i++) {
            assert_int_equal(ftruncate(file, HOLE_PAGES * PAGE), 0);
            if (present) /* brought in, and so KVM_RUN meets the hole, not a fault */
                assert_int_equal(box_load(&a.box, HOLE + PAGE), file_word(file, PAGE));
            assert_int_equal(ftruncate(file, PAGE), 0);
            attack_code(&a, accesses[i].code, accesses[i].length);
            attack_aim(&a, ATTACK_CODE);
            a.box.params.regs.rdi = HOLE + PAGE;
            a.box.params.regs.rsi = BOX_DATA;
            a.box.params.regs.rcx = 8;
            a.box.params.regs.rsp -= 64;
            attack_run_only(&a, accesses[i].name);
            expect_reason(&a, POLDER_BUS);
            assert_int_equal(a.box.params.fault_addr & ~(PAGE - 1), HOLE + PAGE);
            is_in_ring_3(&a, &other);
            innocent_check(&a);
            /* From a page that is there into one that is not. */
            if (i < 2) {
                a.box.params.regs.rip = ATTACK_CODE;
                a.box.params.regs.rdi = HOLE + PAGE - 4;
                attack_run_only(&a, "across the end of a file");
                expect_reason(&a, POLDER_BUS);
                is_in_ring_3(&a, &other);
            }
            /* It comes back, and is zero. */
            if (shared) {
                assert_int_equal(ftruncate(file, HOLE_PAGES * PAGE), 0);
                assert_int_equal(box_load(&a.box, HOLE + PAGE), 0);
                box_store(&a.box, HOLE + PAGE, i);
            }
        }
        assert_int_equal(close(file), 0);
    }
    attacker_close(&a);
}

/* Kicks whoever is the target, for ever; in a process it also sends the other thread signals. */
struct kicker {
    pthread_t thread, runner;
    struct polder_params *target;
    uint64_t kicks;
    bool stop;
};

static void *kick(void *argument)
{
    struct kicker *k = argument;
    uint64_t seed = 77;

    while (!__atomic_load_n(&k->stop, __ATOMIC_ACQUIRE)) {
#if __STDC_HOSTED__
        if (k->kicks % 2)
            pthread_kill(k->runner, SIGUSR1);
        else
#endif
            polder_kick(__atomic_load_n(&k->target, __ATOMIC_ACQUIRE));
        k->kicks++;
        random_delay(&seed, 400);
    }
    return NULL;
}

static bool was_ended(const struct polder_params *params)
{
    return params->reason == POLDER_KICK || params->reason == POLDER_SIGNAL;
}

#if __STDC_HOSTED__
static void on_signal(int signal)
{
    (void)signal;
}
#endif

static void kicks_into_faults(void **state)
{
    (void)state;
    /* For ever, each of them: at a fault the caller resumes it there. */
    static const struct {
        uint8_t code[8];
        uint32_t vector;
    } loops[] = {{{0x48, 0x8b, 0x07, 0xeb, 0xfb}, 14}, {{0x0f, 0x0b, 0xeb, 0xfc}, 6}, {{0xcc, 0xeb, 0xfd}, 3},
        {{0xf4, 0xeb, 0xfd}, 13}, {{0x0f, 0x05, 0xeb, 0xfc}, 0}};
    static const uint8_t count[] = {0x48, 0xff, 0xc3, 0xeb, 0xfb};
    /* Sixteen thousand where that is a matter of seconds: in a process on KVM itself. */
    const uint64_t wanted = (uint64_t)times(__STDC_HOSTED__ ? 16000 : 4000, __STDC_HOSTED__ ? 16000 : 200);
    uint64_t kicked = 0, counted = 0;
    struct polder_params counter;
    struct attacker a;

    attacker_open(&a);
    attack_put(&a, ATTACK_CODE + PAGE, count, sizeof(count));
    polder_params_init(&counter);
    struct kicker k = {.target = &a.box.params};
#if __STDC_HOSTED__
    struct sigaction action = {.sa_handler = on_signal}, before;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    k.runner = pthread_self();
#endif
    assert_int_equal(pthread_create(&k.thread, NULL, kick, &k), 0);
    for (size_t i = 0; kicked + counted < wanted; i++) {
        const size_t loop = i % 5;
        attack_code(&a, loops[loop].code, 8);
        attack_aim(&a, ATTACK_CODE);
        a.box.params.regs.rdi = BOX_FREE;
        __atomic_store_n(&k.target, &a.box.params, __ATOMIC_RELEASE);
        for (int n = 0; n < 4; n++) {
            attack_run_only(&a, "a loop of faults");
            kicked += was_ended(&a.box.params);
            if (!was_ended(&a.box.params) && a.box.params.vector != loops[loop].vector)
                attack_failed(&a, "wanted vector %u or a kick or a signal", loops[loop].vector);
        }
        __atomic_store_n(&k.target, &counter, __ATOMIC_RELEASE);
        counter.regs.rip = ATTACK_CODE + PAGE;
        counter.deadline_ns = ATTACK_DEADLINE_NS;
        const char *failed = polder_run_sandbox(a.box.fd, &counter) < 0 ? strerror(errno) : NULL;
        if (failed || !was_ended(&counter)) {
            __atomic_store_n(&k.stop, true, __ATOMIC_RELEASE);
            pthread_join(k.thread, NULL);
            fail_msg("run %zu: a context that counts has reason %u, vector %u, rip %#llx (%s)", i, counter.reason,
                counter.vector, counter.regs.rip, failed ? failed : "no error");
        }
        counted++;
    }
    __atomic_store_n(&k.stop, true, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(k.thread, NULL), 0);
#if __STDC_HOSTED__
    sigaction(SIGUSR1, &before, NULL);
#endif
    print_message("%lu kicks ended %lu runs of faults and %lu of counting\n", k.kicks, kicked, counted);
    polder_params_fini(&counter);
    attacker_close(&a);
}

/* What never traps ends by its deadline, whatever it does. */
static void what_never_traps(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint8_t code[12], length;
    } loops[] = {
        {"jmp .", {0xeb, 0xfe}, 2},
        {"pause", {0xf3, 0x90, 0xeb, 0xfc}, 4},
        {"cpuid", {0x31, 0xc0, 0x0f, 0xa2, 0xeb, 0xfa}, 6},
        {"rdtsc", {0x0f, 0x31, 0xeb, 0xfc}, 4},
        {"a locked access across cache lines", {0xf0, 0xff, 0x47, 0x3e, 0xeb, 0xfa}, 6},
        {"fxsave", {0x0f, 0xae, 0x07, 0xeb, 0xfb}, 5},
        {"call and return", {0xe8, 0, 0, 0, 0, 0x48, 0x83, 0xc4, 8, 0xeb, 0xf5}, 11},
        {"std and cld", {0xfd, 0xfc, 0xeb, 0xfc}, 4},
        {"writes to its own code", {0x88, 0x05, 0, 0, 0, 0, 0x90, 0xeb, 0xf7}, 9},
    };
    struct attacker a;

    attacker_open(&a);
    for (int round = 0; round < times(20, 4); round++)
        for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
            attack_code(&a, loops[i].code, loops[i].length);
            attack_aim(&a, ATTACK_CODE);
            a.box.params.regs.rdi = BOX_DATA;
            a.box.params.regs.rax = 0x90; /* NOP, for the one that writes itself */
            a.box.params.deadline_ns = 2000000;
            attack_run(&a, loops[i].name);
            expect_reason(&a, POLDER_DEADLINE);
        }
    attacker_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_is_gone),
        cmocka_unit_test(kicks_into_faults),
        cmocka_unit_test(what_never_traps),
    };
    return RUN_GROUP("hostile: holes and kicks", tests);
}
