/* SPDX-License-Identifier: MIT */
/*
 * What ends a run from outside: signals, kicks, deadlines. None may be lost, none may end a run that it was not meant
 * for, and none may leave something behind for the next context. A lost one shows as a hang, which the group's alarm
 * ends; no test looks at a clock.
 */
#include "sandbox.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#if __STDC_HOSTED__ /* a kernel has no signals: tests/resident has what ends a run there */
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

static atomic_int handled;
static struct polder_params *kick_from_handler;

static void count_signal(int signal)
{
    (void)signal;
    atomic_fetch_add(&handled, 1);
    if (kick_from_handler)
        polder_kick(kick_from_handler);
}

static void install(int signal, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};

    assert_int_equal(sigaction(signal, &action, NULL), 0);
    atomic_store(&handled, 0);
    kick_from_handler = NULL;
}

static sigset_t set_of(int signal)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, signal);
    return set;
}
#endif

/* A context that runs in a thread of its own, once. */
struct run {
    pthread_t thread;
    struct box box;
    atomic_bool running, over;
    int result, error;
};

static void *run_main(void *arg)
{
    struct run *run = arg;

    atomic_store(&run->running, true);
    run->result = polder_run_sandbox(run->box.fd, &run->box.params);
    run->error = errno;
    atomic_store(&run->over, true);
    return NULL;
}

static void run_start(struct run *run, const char *snippet)
{
    run->box.data[0] = 0;
    atomic_store(&run->running, false);
    atomic_store(&run->over, false);
    aim(&run->box.params, snippet, BOX_DATA, 0);
    assert_int_equal(pthread_create(&run->thread, NULL, run_main, run), 0);
}

static void wait_until_inside(struct run *run)
{
    while (!run->box.data[0])
        sched_yield();
}

static void run_ends_with(struct run *run, uint32_t reason)
{
    assert_int_equal(pthread_join(run->thread, NULL), 0);
    if (run->result < 0)
        fail_msg("polder_run_sandbox: %s", strerror(run->error));
    assert_int_equal(run->box.params.reason, reason);
    assert_int_equal(run->box.params.vector, 0);
    assert_int_equal(run->box.params.error_code, 0);
    assert_int_equal(run->box.params.fault_addr, 0);
    assert_int_equal(run->box.params.regs.orig_rax, -1);
}

#if __STDC_HOSTED__ /* signals */
static void a_signal_ends_a_run(void **state)
{
    (void)state;
    struct run run;

    install(SIGUSR1, count_signal);
    box_open(&run.box);
    for (int i = 1; i <= 20; i++) {
        run_start(&run, sn_spin);
        wait_until_inside(&run);
        assert_int_equal(pthread_kill(run.thread, SIGUSR1), 0);
        run_ends_with(&run, POLDER_SIGNAL);
        assert_int_equal(atomic_load(&handled), i); /* the handler has run by then */
        assert_true(run.box.params.regs.rip > SNIPPET(sn_spin) && run.box.params.regs.rip < SNIPPET(sn_spin) + 16);
        assert_int_equal(run.box.params.regs.rdi, BOX_DATA);
        assert_int_equal(run.box.params.regs.rsp, BOX_STACK + PAGE);
    }
    box_close(&run.box);
}

static void the_mask_of_a_run(void **state)
{
    (void)state;
    struct box box;
    sigset_t blocked = set_of(SIGUSR1), old, empty, now, pending;

    install(SIGUSR1, count_signal);
    sigemptyset(&empty);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &blocked, &old), 0);
    box_open(&box);

    /* Blocked and pending: a run without a mask is not ended by it. */
    assert_int_equal(raise(SIGUSR1), 0);
    box_syscall(&box, sn_syscall, 0, 0);
    assert_int_equal(atomic_load(&handled), 0);
    /* One that unblocks it is, at once: nothing of the sandbox is run. */
    box.params.sigmask = &empty;
    box.data[0] = 0;
    assert_int_equal(box_run(&box, sn_spin, BOX_DATA, 0), POLDER_SIGNAL);
    assert_int_equal(atomic_load(&handled), 1);
    assert_int_equal(box.data[0], 0);
    assert_int_equal(box.params.regs.rip, SNIPPET(sn_spin));
    /* The thread's own mask is back, and the signal was taken once. */
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &now), 0);
    assert_int_equal(sigismember(&now, SIGUSR1), 1);
    assert_int_equal(sigpending(&pending), 0);
    assert_int_equal(sigismember(&pending, SIGUSR1), 0);
    box_syscall(&box, sn_syscall, 0, 0);
    assert_int_equal(atomic_load(&handled), 1);
    /* The mask can also block what the thread does not. */
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
    box.params.sigmask = &blocked;
    box_syscall(&box, sn_syscall, 0, 0);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &now), 0);
    assert_int_equal(sigismember(&now, SIGUSR1), 0);
    box_close(&box);
}

static void a_signal_that_nobody_wants(void **state)
{
    (void)state;
    struct run run;
    sigset_t blocked = set_of(SIGUSR1), old;

    box_open(&run.box);
    for (int way = 0; way < 2; way++) {
        if (way) {
            install(SIGUSR1, count_signal);
            assert_int_equal(pthread_sigmask(SIG_BLOCK, &blocked, &old), 0); /* the thread inherits it */
        } else {
            install(SIGUSR1, SIG_IGN);
        }
        run_start(&run, sn_lock_count);
        wait_until_inside(&run);
        for (int i = 0; i < scaled(50); i++) {
            assert_int_equal(pthread_kill(run.thread, SIGUSR1), 0);
            uint64_t count = run.box.data[0];
            while (run.box.data[0] == count)
                sched_yield();
        }
        assert_false(atomic_load(&run.over));
        polder_kick(&run.box.params);
        run_ends_with(&run, POLDER_KICK);
        if (way) {
            assert_int_equal(atomic_load(&handled), 0);
            assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
        }
    }
    box_close(&run.box);
}

/*
 * One signal at a time, blocked outside the run: each must end one run. They come at any moment: before the run, on the
 * way in, inside, on the way out.
 */
struct signal_loop {
    pthread_t thread;
    struct box box;
    int rounds;
    atomic_int seen;
    unsigned long wrong;
    sigset_t mask;
};

static void *signal_loop_main(void *arg)
{
    struct signal_loop *loop = arg;

    while (atomic_load(&loop->seen) < loop->rounds) {
        aim(&loop->box.params, sn_spin, BOX_DATA, 0);
        if (polder_run_sandbox(loop->box.fd, &loop->box.params) < 0 || loop->box.params.reason != POLDER_SIGNAL) {
            loop->wrong++;
            break;
        }
        atomic_fetch_add(&loop->seen, 1);
    }
    return NULL;
}

static void no_signal_is_lost(void **state)
{
    (void)state;
    struct signal_loop loop = {.rounds = scaled(3000)};
    sigset_t blocked = set_of(SIGUSR1), old;
    uint64_t seed = 8;

    install(SIGUSR1, count_signal);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &blocked, &old), 0);
    box_open(&loop.box);
    sigemptyset(&loop.mask);
    loop.box.params.sigmask = &loop.mask;
    assert_int_equal(pthread_create(&loop.thread, NULL, signal_loop_main, &loop), 0);
    for (int i = 0; i < loop.rounds; i++) {
        random_delay(&seed, i % 4 ? 3000 : 100);
        assert_int_equal(pthread_kill(loop.thread, SIGUSR1), 0);
        while (atomic_load(&loop.seen) <= i && !loop.wrong)
            sched_yield();
    }
    assert_int_equal(pthread_join(loop.thread, NULL), 0);
    assert_int_equal(loop.wrong, 0);
    assert_int_equal(atomic_load(&loop.seen), loop.rounds);
    assert_int_equal(atomic_load(&handled), loop.rounds);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
    box_close(&loop.box);
}
#endif

static void a_kick_before_the_run(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(polder_kick(&box.params), 0);
        if (i & 1)
            assert_int_equal(polder_kick(&box.params), 0); /* one is as good as two */
        box.data[0] = 0;
        assert_int_equal(box_run(&box, sn_spin, BOX_DATA, 0), POLDER_KICK);
        assert_int_equal(box.data[0], 0); /* nothing has been run */
        assert_int_equal(box.params.regs.rip, SNIPPET(sn_spin));
        assert_int_equal(box.params.regs.orig_rax, -1);
        box_syscall(&box, sn_syscall, 0, 0);
    }
    /* It is for these params, and gone when they are new ones. */
    struct box other = box;
    polder_params_init(&other.params);
    polder_kick(&box.params);
    box_syscall(&other, sn_syscall, 0, 0);
    assert_int_equal(box_run(&box, sn_syscall, 0, 0), POLDER_KICK);
    polder_kick(&other.params);
    polder_params_fini(&other.params);
    polder_params_init(&other.params);
    box_syscall(&other, sn_syscall, 0, 0);
    polder_params_fini(&other.params);
    box_close(&box);
}

static void a_kick_during_the_run(void **state)
{
    (void)state;
    struct run run;

    box_open(&run.box);
    for (int i = 0; i < scaled(50); i++) {
        run_start(&run, sn_spin);
        if (i & 1)
            wait_until_inside(&run);
        polder_kick(&run.box.params);
        run_ends_with(&run, POLDER_KICK);
        box_syscall(&run.box, sn_syscall, 0, 0); /* once */
    }
    box_close(&run.box);
}

#if __STDC_HOSTED__ /* signals */
static void a_kick_from_a_handler(void **state)
{
    (void)state;
    struct run run;
    unsigned kicks = 0, signals = 0;
    const int tries = scaled(200);

    install(SIGUSR1, count_signal);
    box_open(&run.box);
    kick_from_handler = &run.box.params;
    for (int i = 0; i < tries; i++) {
        /* Sent when the call is near or under way. A handler that ran before it has left its kick for it. */
        run_start(&run, sn_spin);
        while (!atomic_load(&run.running))
            sched_yield();
        assert_int_equal(pthread_kill(run.thread, SIGUSR1), 0);
        assert_int_equal(pthread_join(run.thread, NULL), 0);
        assert_int_equal(run.result, 0);
        if (run.box.params.reason == POLDER_SIGNAL) {
            signals++;
            assert_int_equal(box_run(&run.box, sn_syscall, 0, 0), POLDER_KICK);
        } else {
            kicks++;
            assert_int_equal(run.box.params.reason, POLDER_KICK);
        }
        box_syscall(&run.box, sn_syscall, 0, 0);
    }
    assert_int_equal(kicks + signals, tries);
    kick_from_handler = NULL;
    box_close(&run.box);
}
#endif

/* Kicks at any moment into runs that end by themselves all the time: as many KICKs as kicks. */
struct kicked {
    pthread_t thread;
    struct box box;
    const char *snippet;
    int rounds;
    atomic_int kicks;
    unsigned long runs, wrong;
    struct polder_params *clean; /* runs in between, and must see nothing of it all */
};

static void *kicked_main(void *arg)
{
    struct kicked *k = arg;

    aim(&k->box.params, k->snippet, BOX_DATA, 0);
    while (atomic_load(&k->kicks) < k->rounds) {
        if (polder_run_sandbox(k->box.fd, &k->box.params) < 0) {
            k->wrong++;
            atomic_store(&k->kicks, k->rounds);
            break;
        }
        k->runs++;
        if (k->box.params.reason == POLDER_KICK)
            atomic_fetch_add(&k->kicks, 1);
        if (k->clean) {
            aim(k->clean, sn_syscall, 0, 0);
            k->clean->regs.rax = k->runs;
            k->wrong += polder_run_sandbox(k->box.fd, k->clean) < 0 || k->clean->reason != POLDER_SYSCALL ||
                        k->clean->regs.orig_rax != k->runs || k->clean->regs.rip != SNIPPET(sn_syscall_end);
        }
    }
    return NULL;
}

static void kick_often(const char *snippet, int rounds, unsigned delay, bool clean)
{
    struct kicked kicked = {.snippet = snippet, .rounds = rounds};
    struct polder_params other;
    uint64_t seed = 77;

    box_open(&kicked.box);
    polder_params_init(&other);
    kicked.clean = clean ? &other : NULL;
    assert_int_equal(pthread_create(&kicked.thread, NULL, kicked_main, &kicked), 0);
    for (int i = 0; i < rounds; i++) {
        random_delay(&seed, delay);
        polder_kick(&kicked.box.params);
        while (atomic_load(&kicked.kicks) <= i)
            sched_yield();
    }
    assert_int_equal(pthread_join(kicked.thread, NULL), 0);
    assert_int_equal(kicked.wrong, 0);
    assert_int_equal(atomic_load(&kicked.kicks), rounds);
    polder_params_fini(&other);
    box_close(&kicked.box);
}

static void no_kick_is_lost_spinning(void **state)
{
    (void)state;
    kick_often(sn_spin, scaled(4000), 4000, false);
}

static void no_kick_is_lost_calling(void **state)
{
    (void)state;
    kick_often(sn_syscalls, scaled(4000), 4000, false);
    kick_often(sn_count_syscalls, scaled(4000), 50, false);
}

/* A fault is on its way when the kick comes: it must not land in the context that runs next. */
static void a_kick_into_faults_leaks_nothing(void **state)
{
    (void)state;
    kick_often(sn_ud2, scaled(3000), 3000, true);
    kick_often(sn_hlt, scaled(1500), 3000, true);
    kick_often(sn_syscalls, scaled(1500), 3000, true);
}

#if __STDC_HOSTED__ /* signals */
/* The same with page faults that the library may repair itself, and with signals instead of kicks. */
static void signals_into_faults_leak_nothing(void **state)
{
    (void)state;
    struct kicked kicked = {.snippet = sn_ud2, .rounds = 1};
    struct polder_params other;
    uint64_t seed = 78;

    install(SIGUSR1, count_signal);
    box_open(&kicked.box);
    polder_params_init(&other);
    sigset_t mask = set_of(SIGUSR1);
    other.sigmask = &mask; /* so that the clean one always gets to its system call */
    kicked.clean = &other;
    assert_int_equal(pthread_create(&kicked.thread, NULL, kicked_main, &kicked), 0);
    for (int i = 0; i < scaled(3000); i++) {
        random_delay(&seed, 3000);
        assert_int_equal(pthread_kill(kicked.thread, SIGUSR1), 0);
        while (atomic_load(&handled) <= i)
            sched_yield();
    }
    polder_kick(&kicked.box.params);
    assert_int_equal(pthread_join(kicked.thread, NULL), 0);
    assert_int_equal(kicked.wrong, 0);
    polder_params_fini(&other);
    box_close(&kicked.box);
}
#endif

#if __STDC_HOSTED__
static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/*
 * Where the kernel does not trust its TSC, KVM lets a vCPU's stand still while it does not run. A deadline reckoned
 * with the host's would come as much later as the vCPU has been out, here after the timer's signal.
 */
static void deadline_of_a_rested_vcpu(void **state)
{
    (void)state;
    const uint64_t outside = 400000000, timer = 200000000;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec at = {.it_value = {.tv_nsec = (long)timer}}, off = {.it_value = {0}};
    struct box box;
    timer_t id;
    int first = 0;

    install(SIGUSR1, count_signal);
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &id), 0);
    box_open(&box);
    box_syscall(&box, sn_syscall, 0, 0);
    /* A thread that was not let run meets the signal as well; not most times. */
    for (int i = 0; i < 9; i++) {
        for (uint64_t over = now_ns() + outside; now_ns() < over;)
            ;
        box.params.deadline_ns = 1000000;
        assert_int_equal(timer_settime(id, 0, &at, NULL), 0);
        first += box_run(&box, sn_spin, BOX_DATA, 0) == POLDER_DEADLINE;
        assert_int_equal(timer_settime(id, 0, &off, NULL), 0);
    }
    assert_true(first > 4);
    assert_int_equal(timer_delete(id), 0);
    box_close(&box);
}
#endif

static void deadlines(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    for (int i = 0; i < scaled(50); i++) {
        box.params.deadline_ns = i % 5 ? 1000000 : 1 + (uint64_t)i;
        assert_int_equal(box_run(&box, sn_spin, BOX_DATA, 0), POLDER_DEADLINE);
        assert_int_equal(box.params.vector, 0);
        assert_int_equal(box.params.regs.orig_rax, -1);
        assert_int_equal(box.params.deadline_ns, i % 5 ? 1000000 : 1 + i); /* in, so never written */
        /* None is left over for a run that has none, or a later one. */
        box.params.deadline_ns = 0;
        box_syscall(&box, sn_syscall, 0, 0);
        box.params.deadline_ns = 3600ull * 1000000000;
        box_syscall(&box, sn_syscall, 0, 0);
        box.params.deadline_ns = UINT64_MAX;
        box_syscall(&box, sn_syscall, 0, 0);
    }
    /* A run that was ended goes on where it was. */
    box.data[1] = 0;
    box.params.deadline_ns = __STDC_HOSTED__ ? 100000 : 2000000; /* emulated, the way in alone takes the former */
    aim(&box.params, sn_lock_count, BOX_DATA + 8, 0);
    for (uint64_t last = 0, moved = 0; moved < 20;) {
        assert_int_equal(polder_run_sandbox(box.fd, &box.params), 0);
        assert_int_equal(box.params.reason, POLDER_DEADLINE);
        moved += box.data[1] != last;
        last = box.data[1];
    }
    box_close(&box);
}

/* A deadline and a kick, both on their way: one of them ends the run, and a kick is never swallowed by the other. */
static void *kick_all_the_time(void *arg)
{
    struct kicked *k = arg;
    uint64_t seed = 5;

    for (int i = 0; i < k->rounds; i++) {
        random_delay(&seed, 3000);
        polder_kick(&k->box.params);
        while (atomic_load(&k->kicks) <= i)
            sched_yield();
    }
    return NULL;
}

static void deadlines_and_kicks(void **state)
{
    (void)state;
    struct kicked kicked = {.rounds = scaled(1000)};
    unsigned long ended = 0;

    box_open(&kicked.box);
    kicked.box.params.deadline_ns = 50000;
    assert_int_equal(pthread_create(&kicked.thread, NULL, kick_all_the_time, &kicked), 0);
    while (atomic_load(&kicked.kicks) < kicked.rounds) {
        uint32_t reason = box_run(&kicked.box, sn_spin, BOX_DATA, 0);
        if (reason == POLDER_KICK)
            atomic_fetch_add(&kicked.kicks, 1);
        else
            assert_int_equal(reason, POLDER_DEADLINE);
        ended++;
    }
    assert_int_equal(pthread_join(kicked.thread, NULL), 0);
    kicked.box.params.deadline_ns = 0;
    box_syscall(&kicked.box, sn_syscall, 0, 0);
    assert_true(ended >= (unsigned long)kicked.rounds);
    box_close(&kicked.box);
}

#if __STDC_HOSTED__ /* signals */
/* Edits of page tables that take longer than a tick of the caller's: they are done all the same, and then the run. */
static void ticks_while_much_was_changed(void **state)
{
    (void)state;
    enum { PAGES = 4096 };
    static struct polder_op ops[PAGES / 2];
    struct box box;
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};

    box_open(&box);
    install(SIGUSR1, count_signal);
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    box_map(&box, BOX_FREE, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    /* Every second one, or it would be a few large pages. */
    for (size_t i = 0; i < PAGES / 2; i++)
        ops[i] = (struct polder_op){.code = POLDER_OP_MPROTECT,
            .prot = PROT_READ | PROT_WRITE | PROT_EXEC,
            .start = (char *)BOX_FREE + 2 * i * PAGE,
            .length = PAGE};
    assert_ok(polder_apply(box.fd, ops, PAGES / 2));
    box_syscall(&box, sn_touch_pages, BOX_FREE, PAGES);
    assert_ok(polder_mprotect((void *)BOX_FREE, PAGES * PAGE, PROT_NONE, box.fd));
    uint32_t reason;
    int ticks = 0;
    do {
        /* From one to the next, all edits at once would not be done. */
        const struct itimerspec tick = {.it_value.tv_nsec = 2000000};
        assert_int_equal(timer_settime(timer, 0, &tick, NULL), 0);
        reason = box_run(&box, sn_syscall, 0, 0);
        assert_true(reason == POLDER_SYSCALL || reason == POLDER_SIGNAL);
        ticks++;
    } while (reason == POLDER_SIGNAL && ticks < 2000);
    assert_int_equal(reason, POLDER_SYSCALL);
    assert_int_equal(timer_delete(timer), 0);
    for (size_t i = 0; i < PAGES; i += 97)
        box_fault(&box, sn_load, BOX_FREE + i * PAGE, 0, BOX_FREE + i * PAGE, PF_P | PF_U);
    box_close(&box);
}

/* The library has no signals, threads or masks of its own that a caller could notice. */
static void nothing_of_the_callers_is_touched(void **state)
{
    (void)state;
    struct sigaction before[64], after;
    sigset_t mask_before, mask_after;
    struct box box;

    for (int i = 1; i < 64; i++)
        sigaction(i, NULL, &before[i]);
    pthread_sigmask(SIG_BLOCK, NULL, &mask_before);
    size_t threads = own_threads();
    box_open(&box);
    box_syscall(&box, sn_syscall, 0, 0);
    box.params.deadline_ns = 100000;
    assert_int_equal(box_run(&box, sn_spin, BOX_DATA, 0), POLDER_DEADLINE);
    polder_kick(&box.params);
    assert_int_equal(box_run(&box, sn_spin, BOX_DATA, 0), POLDER_KICK);
    assert_true(own_threads() <= threads); /* one that an earlier test has joined may be seen a moment longer */
    for (int i = 1; i < 64; i++) {
        if (sigaction(i, NULL, &after) == 0)
            assert_ptr_equal(after.sa_handler, before[i].sa_handler);
    }
    pthread_sigmask(SIG_BLOCK, NULL, &mask_after);
    for (int i = 1; i < 64; i++)
        assert_int_equal(sigismember(&mask_after, i), sigismember(&mask_before, i));
    box_close(&box);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#if __STDC_HOSTED__
        cmocka_unit_test(nothing_of_the_callers_is_touched),
        cmocka_unit_test(a_signal_ends_a_run),
        cmocka_unit_test(the_mask_of_a_run),
        cmocka_unit_test(a_signal_that_nobody_wants),
        cmocka_unit_test(no_signal_is_lost),
#endif
        cmocka_unit_test(a_kick_before_the_run),
        cmocka_unit_test(a_kick_during_the_run),
#if __STDC_HOSTED__
        cmocka_unit_test(a_kick_from_a_handler),
#endif
        cmocka_unit_test(no_kick_is_lost_spinning),
        cmocka_unit_test(no_kick_is_lost_calling),
        cmocka_unit_test(a_kick_into_faults_leaks_nothing),
#if __STDC_HOSTED__
        cmocka_unit_test(signals_into_faults_leak_nothing),
#endif
        cmocka_unit_test(deadlines),
#if __STDC_HOSTED__
        cmocka_unit_test(deadline_of_a_rested_vcpu),
#endif
        cmocka_unit_test(deadlines_and_kicks),
#if __STDC_HOSTED__
        cmocka_unit_test(ticks_while_much_was_changed),
        cmocka_unit_test(nothing_of_the_callers_is_touched),
#endif
    };
    return RUN_GROUP("signals", tests);
}
