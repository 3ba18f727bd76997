/* SPDX-License-Identifier: MIT */
/*
 * Code that never ends: loops of traps that the caller resumes, instructions that go on for ever, and all that while
 * the caller takes its memory away or kicks it. Each ends by its deadline, a kick or a signal, with registers that can
 * go on exactly there.
 */
#include "attack.h"

#include <pthread.h>
#include <sched.h>
#if __STDC_HOSTED__
#include <signal.h>
#include <time.h>
#else
#include <polder/resident.h>
#endif

static uint64_t now(void)
{
#if __STDC_HOSTED__
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
#else
    return polder_clock(0);
#endif
}

/* Kicks whoever is the target, for ever; in a process it also sends the other thread signals. */
struct kicker {
    pthread_t thread;
#if __STDC_HOSTED__
    pthread_t runner;
    struct sigaction before;
#endif
    struct polder_params *target;
    unsigned pause;
    bool stop;
};

static void *kick(void *argument)
{
    struct kicker *k = argument;
    uint64_t seed = 78;

    for (uint64_t i = 0; !__atomic_load_n(&k->stop, __ATOMIC_ACQUIRE); i++) {
#if __STDC_HOSTED__
        if (i % 2)
            pthread_kill(k->runner, SIGUSR1);
        else
#endif
            polder_kick(__atomic_load_n(&k->target, __ATOMIC_ACQUIRE));
        random_delay(&seed, k->pause);
    }
    return NULL;
}

#if __STDC_HOSTED__
static void on_signal(int signal)
{
    (void)signal;
}
#endif

static void kicker_start(struct kicker *k, struct polder_params *target, unsigned pause)
{
    *k = (struct kicker){.target = target, .pause = pause};
#if __STDC_HOSTED__
    struct sigaction action = {.sa_handler = on_signal};
    assert_int_equal(sigaction(SIGUSR1, &action, &k->before), 0);
    k->runner = pthread_self();
#endif
    assert_int_equal(pthread_create(&k->thread, NULL, kick, k), 0);
}

static void kicker_stop(struct kicker *k)
{
    __atomic_store_n(&k->stop, true, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(k->thread, NULL), 0);
#if __STDC_HOSTED__
    sigaction(SIGUSR1, &k->before, NULL);
#endif
}

static bool was_ended(const struct attacker *a)
{
    return a->box.params.reason == POLDER_KICK || a->box.params.reason == POLDER_SIGNAL;
}

/* ---------------------------------------------------------------- traps without end */

/* The caller resumes each trap, with what is left of the time. */
static void traps_until_the_deadline(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint8_t code[8], length;
        enum polder_reason reason;
        uint32_t vector;
    } loops[] = {
        {"system calls", {0x0f, 0x05, 0xeb, 0xfc}, 4, POLDER_SYSCALL, 0},
        {"undefined instructions", {0x0f, 0x0b}, 2, POLDER_EXCEPTION, 6},
        {"breakpoints", {0xcc, 0xeb, 0xfd}, 3, POLDER_EXCEPTION, 3},
        {"HLT", {0xf4}, 1, POLDER_EXCEPTION, 13},
        {"divisions by zero", {0x48, 0x31, 0xc9, 0xf7, 0xf1}, 5, POLDER_EXCEPTION, 0},
        {"INT 0x80", {0xcd, 0x80}, 2, POLDER_EXCEPTION, 13},
        {"loads from nowhere", {0x48, 0x8b, 0x07}, 3, POLDER_PAGE_FAULT, 14},
        {"pushes to nowhere", {0x50}, 1, POLDER_PAGE_FAULT, 14},
        {"jumps to ring 0", {0xff, 0xe6}, 2, POLDER_PAGE_FAULT, 14},
        {"addresses that are none", {0x48, 0x8b, 0x03}, 3, POLDER_EXCEPTION, 13},
    };
    /* A kernel's clock is the processor's, and the host's another. */
    const uint64_t time = __STDC_HOSTED__ ? 5000000 : 20000000, early = __STDC_HOSTED__ ? 0 : time / 8;
    struct attacker a;
    struct polder_params *p = &a.box.params;

    attacker_open(&a);
    for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
        attack_code(&a, loops[i].code, loops[i].length);
        attack_aim(&a, ATTACK_CODE);
        p->regs.rdi = BOX_FREE;
        p->regs.rsi = 0xfffffe0000002000;
        p->regs.rbx = 0x800000000000;
        if (loops[i].code[0] == 0x50)
            p->regs.rsp = BOX_FREE + 8;
        const uint64_t end = now() + time;
        for (int late = 0;;) {
            const uint64_t left = end - now();
            late += left - 1 >= time;
            if (late > 1000)
                attack_failed(&a, "no deadline has come");
            p->deadline_ns = left - 1 < time ? left : 1;
            attack_run_only(&a, loops[i].name);
            if (p->reason == POLDER_DEADLINE)
                break;
            expect_reason(&a, loops[i].reason);
            if (p->vector != loops[i].vector)
                attack_failed(&a, "wanted vector %u", loops[i].vector);
            if (loops[i].code[0] == 0xff) /* where it is now nothing is to be resumed */
                p->regs.rip = ATTACK_CODE;
        }
        if (now() + early < end)
            attack_failed(&a, "the deadline is early");
        innocent_check(&a);
    }
    attacker_close(&a);
}

/* ---------------------------------------------------------------- ended in the middle */

#define RING 0x60000000ul
#define RING_SIZE (4 * HUGE_PAGE)

/* An instruction of many parts is ended between two of them, says where, and goes on from there. */
static void in_the_middle_of_a_string(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint8_t code[2];
        bool by_rsi, by_rdi; /* which of them move */
    } strings[] = {
        {"rep stosb", {0xf3, 0xaa}, false, true},
        {"rep lodsb", {0xf3, 0xac}, true, false},
        {"rep movsb", {0xf3, 0xa4}, true, true},
        {"repne scasb", {0xf2, 0xae}, false, true},
        {"repe cmpsb", {0xf3, 0xa6}, true, true},
    };
    const uint64_t count = 1ul << 40;
    struct kicker k;
    struct attacker a;
    struct user_regs_struct *r = &a.box.params.regs;

    attacker_open(&a);
    box_map_anonymous(&a.box, RING, RING_SIZE, RW);
    kicker_start(&k, &a.box.params, 30000);
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        attack_code(&a, strings[i].code, 2);
        for (int ended = 0; ended < times(100, __STDC_HOSTED__ ? 100 : 3);) {
            attack_aim(&a, ATTACK_CODE);
            r->rax = strings[i].code[0] == 0xf2; /* what is not there, for REPNE */
            r->rcx = count;
            r->rdi = r->rsi = RING;
            do {
                attack_run_only(&a, strings[i].name);
                const uint64_t done = count - r->rcx;
                ended += was_ended(&a) && done && done < RING_SIZE;
                if (done > RING_SIZE || r->rip != ATTACK_CODE || r->rdi != RING + (strings[i].by_rdi ? done : 0) ||
                    r->rsi != RING + (strings[i].by_rsi ? done : 0))
                    attack_failed(&a, "rcx %#llx, rdi %#llx, rsi %#llx", r->rcx, r->rdi, r->rsi);
            } while (was_ended(&a));
            expect_fault(&a, RING + RING_SIZE, i == 0 ? PF_U | PF_W : PF_U, ATTACK_CODE);
        }
    }
    kicker_stop(&k);
    attacker_close(&a);
}

/* A step is one instruction, whatever comes in between: never none, never two. */
static void in_the_middle_of_a_step(void **state)
{
    (void)state;
    enum { NOPS = 64 };
    uint8_t code[NOPS + 2];
    struct kicker k;
    struct attacker a;
    struct user_regs_struct *r = &a.box.params.regs;

    memset(code, 0x90, NOPS);
    memcpy(code + NOPS, "\xeb\xbe", 2); /* jump to the first */
    attacker_open(&a);
    attack_code(&a, code, sizeof(code));
    attack_aim(&a, ATTACK_CODE);
    kicker_start(&k, &a.box.params, 400);
    for (int ended = 0, steps = 0; ended < times(4000, __STDC_HOSTED__ ? 4000 : 40) || steps < NOPS;) {
        const uint64_t before = r->rip;
        const bool stepping = ended % 4 != 3;
        a.box.params.flags = stepping ? POLDER_SINGLE_STEP : 0;
        attack_run_only(&a, "a step");
        if (was_ended(&a)) {
            ended++;
            if (stepping && r->rip != before)
                attack_failed(&a, "%#lx was ended behind its instruction", before);
        } else {
            steps++;
            expect_reason(&a, POLDER_STEP);
            if (!stepping || r->rip != (before == ATTACK_CODE + NOPS ? ATTACK_CODE : before + 1))
                attack_failed(&a, "a step from %#lx", before);
        }
        if (r->eflags & EFLAGS_TF)
            attack_failed(&a, "TF is left over");
    }
    kicker_stop(&k);
    attacker_close(&a);
}

/* Contexts with bases of their own, in two spaces, one of whose pages changes its rights at each turn. */
static void in_the_middle_of_an_entry(void **state)
{
    (void)state;
    enum { CONTEXTS = 4 };
    /* mov %fs:0, %rax; mov %gs:8, %rbx; store rax at RDI; system call */
    static const uint8_t code[] = {0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, 0x65, 0x48, 0x8b, 0x1c, 0x25, 8, 0, 0, 0,
        0x48, 0x89, 0x07, 0x0f, 0x05};
    struct polder_params contexts[CONTEXTS];
    uint64_t seed = 4711;
    struct kicker k;
    struct attacker a;

    attacker_open(&a);
    attack_code(&a, code, sizeof(code));
    box_map_anonymous(&a.box, BOX_FREE, PAGE, RW);
    for (uint64_t i = 0; i < 64; i++)
        a.box.data[i] = 0x7a60 + i;
    const int spaces[] = {a.box.fd, polder_copy(a.box.fd)};
    assert_true(spaces[1] >= 0);
    for (int i = 0; i < CONTEXTS; i++)
        polder_params_init(&contexts[i]);
    kicker_start(&k, &contexts[0], 400);
    for (int i = 0, ended = 0; ended < times(4000, __STDC_HOSTED__ ? 4000 : 40); i++) {
        struct polder_params *p = &contexts[random_next(&seed) % CONTEXTS];
        const uint64_t fs = random_next(&seed) % 60, gs = random_next(&seed) % 60;
        const int space = spaces[random_next(&seed) % 2];
        const bool may = random_next(&seed) % 2;
        __atomic_store_n(&k.target, p, __ATOMIC_RELEASE);
        assert_ok(polder_mprotect((void *)BOX_FREE, PAGE, may ? RW : PROT_READ, space));
        p->regs.rip = ATTACK_CODE;
        p->regs.rdi = BOX_FREE;
        p->regs.fs_base = BOX_DATA + 8 * fs;
        p->regs.gs_base = BOX_DATA + 8 * gs;
        do {
            assert_ok(polder_run_sandbox(space, p));
            const char *fault = report_fault(p);
            if (fault)
                fail_msg("run %d: %s", i, fault);
            p->regs.ss = 0x2b;
            ended += p->reason == POLDER_KICK || p->reason == POLDER_SIGNAL;
        } while (p->reason == POLDER_KICK || p->reason == POLDER_SIGNAL);
        const bool right =
            may ? p->reason == POLDER_SYSCALL && p->regs.rip == ATTACK_CODE + sizeof(code)
                : p->reason == POLDER_PAGE_FAULT && p->fault_addr == BOX_FREE && p->error_code == (PF_P | PF_U | PF_W);
        if (!right || (may ? p->regs.orig_rax : p->regs.rax) != 0x7a60 + fs || p->regs.rbx != 0x7a60 + gs + 1)
            fail_msg(
                "run %d: reason %u, vector %u, error code %#lx at %#lx, rip %#llx, through FS %#llx, through GS %#llx "
                "instead of %#lx and %#lx",
                i, p->reason, p->vector, p->error_code, p->fault_addr, p->regs.rip,
                may ? p->regs.orig_rax : p->regs.rax, p->regs.rbx, 0x7a60 + fs, 0x7a60 + gs + 1);
    }
    kicker_stop(&k);
    for (int i = 0; i < CONTEXTS; i++)
        polder_params_fini(&contexts[i]);
    close(spaces[1]);
    attacker_close(&a);
}

/* ---------------------------------------------------------------- its memory goes meanwhile */

struct looping {
    struct attacker *a;
    bool stop, failed;
    int error; /* of a run that failed */
    uint64_t faults;
};

static void *loop_and_fault(void *argument)
{
    struct looping *l = argument;
    struct polder_params *p = &l->a->box.params;

    while (!__atomic_load_n(&l->stop, __ATOMIC_ACQUIRE)) {
        const int result = polder_run_sandbox(l->a->box.fd, p);
        l->error = result < 0 ? errno : 0;
        l->faults += p->reason == POLDER_PAGE_FAULT;
        if (result < 0 || report_fault(p) || (p->reason != POLDER_KICK && p->reason != POLDER_PAGE_FAULT) ||
            (p->reason == POLDER_PAGE_FAULT &&
                (p->fault_addr != BOX_FREE || (p->error_code & ~PF_P & ~PF_W) != PF_U))) {
            __atomic_store_n(&l->failed, true, __ATOMIC_RELEASE);
            return NULL;
        }
        p->regs.ss = 0x2b;
    }
    return NULL;
}

/* The caller takes its page away, or the right to it, or puts another there with a higher stamp; what it says is done
 * must be so. The loop compares: the epoch that it has read before is never above the stamp. */
static void while_its_page_changes(void **state)
{
    (void)state;
    /* mov (%rsi), %rbx; mov (%rdi), %rax; cmp %rbx, %rax; jae to the beginning; UD2 */
    static const uint8_t loop[] = {0x48, 0x8b, 0x1e, 0x48, 0x8b, 0x07, 0x48, 0x39, 0xd8, 0x73, 0xf5, 0x0f, 0x0b};
    const int rounds = times(3000, __STDC_HOSTED__ ? 3000 : 60);
    const int file = make_file((size_t)rounds + 1, 0);
    struct attacker a;
    struct looping l = {.a = &a};
    pthread_t thread;

    attacker_open(&a);
    attack_code(&a, loop, sizeof(loop));
    a.box.data[0] = 0;
    box_map(&a.box, BOX_FREE, PAGE, RW, MAP_SHARED, file, 0);
    attack_aim(&a, ATTACK_CODE);
    a.box.params.regs.rdi = BOX_FREE;
    a.box.params.regs.rsi = BOX_DATA;
    a.box.params.deadline_ns = 0;
    assert_int_equal(pthread_create(&thread, NULL, loop_and_fault, &l), 0);
    uint64_t seed = 99;
    for (int i = 1; i <= rounds && !__atomic_load_n(&l.failed, __ATOMIC_ACQUIRE); i++) {
        random_delay(&seed, 2000);
        if (i % 3 == 0)
            assert_ok(polder_munmap((void *)BOX_FREE, PAGE, a.box.fd));
        else if (i % 3 == 1)
            assert_ok(polder_mprotect((void *)BOX_FREE, PAGE, i % 2 ? PROT_NONE : RW | POLDER_PRIVILEGED, a.box.fd));
        random_delay(&seed, 200);
        box_map(&a.box, BOX_FREE, PAGE, RW, i % 5 ? MAP_SHARED : MAP_PRIVATE, file, (off_t)((uint64_t)i * PAGE));
        __atomic_store_n(&a.box.data[0], (uint64_t)i, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&l.stop, true, __ATOMIC_RELEASE);
    polder_kick(&a.box.params);
    assert_int_equal(pthread_join(thread, NULL), 0);
    a.name = "a loop whose page changes";
    if (l.failed)
        attack_failed(&a, "error %d; the stamp is %#llx, at least %#llx is there", l.error, a.box.params.regs.rax,
            a.box.params.regs.rbx);
    assert_true(l.faults > 0);
    close(file);
    attacker_close(&a);
}

/* A file's page that it writes for ever is replaced by another file's, that it has no right to. It was the last mapping
 * of the first file, so that all that the library had of that file may be the second's now; but not while it runs. */
static void while_its_file_changes(void **state)
{
    (void)state;
    static const uint8_t loop[] = {0x48, 0x89, 0x07, 0xeb, 0xfb}; /* mov %rax, (%rdi), for ever */
    const uint64_t mark = 0x6d61726b, secret = 0x736563726574;
    struct attacker a;
    struct looping l = {.a = &a};
    pthread_t thread;
    uint64_t found = secret;

    attacker_open(&a);
    attack_code(&a, loop, sizeof(loop));
    attack_aim(&a, ATTACK_CODE);
    a.box.params.regs.rdi = BOX_FREE;
    a.box.params.regs.rax = mark;
    a.box.params.deadline_ns = 0;
    assert_int_equal(pthread_create(&thread, NULL, loop_and_fault, &l), 0);
    const int rounds = times(1000, __STDC_HOSTED__ ? 1000 : 40);
    for (int i = 0; i < rounds && found == secret && !__atomic_load_n(&l.failed, __ATOMIC_ACQUIRE); i++) {
        const int its = make_file(1, 0), other = make_file(1, secret);
        box_map(&a.box, BOX_FREE, PAGE, RW, MAP_SHARED, its, 0);
        while (file_word(its, 0) != mark && !__atomic_load_n(&l.failed, __ATOMIC_ACQUIRE))
            sched_yield();
        const int prot = i % 2 ? PROT_READ : RW | POLDER_PRIVILEGED;
        if (i % 4 < 2) {
            box_map(&a.box, BOX_FREE, PAGE, prot, MAP_SHARED, other, 0);
        } else {
            const struct polder_op ops[] = {{.code = POLDER_OP_MUNMAP, .start = (void *)BOX_FREE, .length = PAGE},
                {.code = POLDER_OP_MMAP,
                    .start = (void *)(BOX_FREE + PAGE),
                    .length = PAGE,
                    .prot = prot,
                    .flags = MAP_SHARED | MAP_FIXED,
                    .src_fd = other}};
            assert_ok(polder_apply(a.box.fd, ops, 2));
        }
        found = file_word(other, 0);
        close(its);
        close(other);
    }
    __atomic_store_n(&l.stop, true, __ATOMIC_RELEASE);
    polder_kick(&a.box.params);
    assert_int_equal(pthread_join(thread, NULL), 0);
    a.name = "a loop whose file changes";
    if (l.failed)
        attack_failed(&a, "error %d", l.error);
    if (found != secret)
        attack_failed(&a, "a page that it must not write has %#lx", found);
    attacker_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(traps_until_the_deadline),
        cmocka_unit_test(in_the_middle_of_a_string),
        cmocka_unit_test(in_the_middle_of_a_step),
        cmocka_unit_test(in_the_middle_of_an_entry),
        cmocka_unit_test(while_its_page_changes),
        cmocka_unit_test(while_its_file_changes),
    };
    return RUN_GROUP("hostile: loops", tests);
}
