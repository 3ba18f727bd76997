/* SPDX-License-Identifier: MIT */
/* What ends a run besides the sandbox: steps, deadlines, the timer, kicks; and what ends polder_idle. */
#include "kernel.h"

/* A step of everything: 2 ms where the way in alone takes a tenth of that. */
#define A_WHILE (shim_ring0_is_emulated() ? 3000000ul : shim_processor_is_tcg() ? 1000000ul : 200000ul)

/* The clock's rate is the host's, that of a deadline may be the processor's. */
#define SLACK(ns) ((ns) / 500)

static void run(struct box *box)
{
    if (polder_run_sandbox(box->fd, &box->params) < 0)
        fail_msg("polder_run_sandbox: %s", strerror(errno));
}

/* Through a loop with jumps, instruction by instruction, as the processor goes. */
static void steps(void **state)
{
    (void)state;
    struct box box;
    struct polder_params *p = &box.params;
    const uint64_t code = CODE(code_loop), rounds = (uint64_t)times(200, 20);
    uint64_t left = rounds;

    box_open(&box);
    map_code(box.fd);
    p->regs.rip = code;
    p->regs.rcx = rounds;
    p->regs.eflags = EFLAGS_IF | 2;
    p->regs.rsp = 0;
    p->flags = POLDER_SINGLE_STEP;
    unsigned count = 0;
    uint64_t last = 0;
    while (p->regs.rip != CODE(code_loop_end)) {
        last = p->regs.rip;
        run(&box);
        assert_int_equal(p->reason, POLDER_STEP);
        assert_int_equal(p->vector, 1);
        assert_int_equal(p->regs.eflags & EFLAGS_TF, 0);
        assert_true(p->regs.rip >= code && p->regs.rip <= CODE(code_loop_end));
        assert_true(p->regs.rip != last);
        if (p->regs.rip == code) {
            left--;
            assert_int_equal(p->regs.rcx, left);
            assert_int_equal((uint32_t)p->regs.rax, (uint32_t)(3 * (rounds - left)));
        }
        count++;
    }
    /* Six instructions a round, but in the last one four, and the one behind the loop. */
    assert_int_equal(count, 6 * (rounds - 1) + 4 + 1);
    assert_int_equal(left, 1);
    /* Steps with other contexts between them, and runs without. */
    struct polder_params other;
    polder_params_init(&other);
    p->regs.rip = code;
    p->regs.rcx = 5;
    for (int i = 0; i < 20; i++) {
        run(&box);
        assert_int_equal(p->reason, POLDER_STEP);
        aim(&other, sn_nops, 0, 0);
        assert_int_equal(polder_run_sandbox(box.fd, &other), 0);
        assert_int_equal(other.reason, POLDER_SYSCALL);
        assert_int_equal(other.regs.r11 & EFLAGS_TF, 0);
    }
    /* A step into a page that is not there yet, one that is a fault, and one that is too late. */
    box_map_anonymous(&box, BOX_FREE, PAGE, RW);
    aim(p, sn_store, BOX_FREE, 1);
    run(&box);
    assert_int_equal(p->reason, POLDER_STEP);
    aim(p, sn_store, BOX_FREE + PAGE, 1);
    run(&box);
    assert_int_equal(p->reason, POLDER_PAGE_FAULT);
    aim(p, sn_nops, 0, 0);
    p->deadline_ns = 1;
    run(&box);
    assert_int_equal(p->reason, POLDER_DEADLINE);
    assert_int_equal(p->regs.rip, SNIPPET(sn_nops));
    p->deadline_ns = 0;
    polder_kick(p);
    run(&box);
    assert_int_equal(p->reason, POLDER_KICK);
    run(&box);
    assert_int_equal(p->reason, POLDER_STEP);
    polder_params_fini(&other);
    box_close(&box);
}

/* Never before its time; and none is left over. */
static void deadlines(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    for (int i = 0; i < times(60, 12); i++) {
        uint64_t ns = i % 3 ? A_WHILE * (uint64_t)(i % 5 + 1) : (uint64_t)i + 1;
        box.params.deadline_ns = ns;
        uint64_t before = polder_clock(0);
        assert_int_equal(box_run(&box, sn_spin, BOX_DATA, 0), POLDER_DEADLINE);
        uint64_t took = polder_clock(0) - before;
        if (took < ns - SLACK(ns))
            fail_msg("%lu ns of %lu", took, ns);
        box.params.deadline_ns = i & 1 ? UINT64_MAX : 1000000000000;
        box_syscall(&box, sn_syscall, 0, 0);
        box.params.deadline_ns = 0;
        box_syscall(&box, sn_syscall, 0, 0);
    }
    box_close(&box);
}

static void is_timer(const struct box *box)
{
    assert_int_equal(box->params.reason, POLDER_SIGNAL);
    assert_int_equal(box->params.vector, VECTOR_TIMER);
    assert_int_equal(box->params.error_code, 0);
    assert_int_equal(box->params.fault_addr, 0);
    assert_int_equal(box->params.regs.orig_rax, -1);
}

static void wait_until(uint64_t ns)
{
    while (polder_clock(0) < ns)
        sched_yield();
}

/* No expiry is left for the run that comes next. */
static void no_timer(struct box *box)
{
    polder_timer(UINT64_MAX);
    while (box_run(box, sn_syscall, 0, 0) != POLDER_SYSCALL)
        is_timer(box);
}

/* The timer is set, and set anew before it expires; a run shows which of the two is in force. */
static void set_anew(struct box *box, uint64_t first, uint64_t second, uint64_t deadline, uint32_t reason)
{
    for (bool in_time = false; !in_time;) {
        no_timer(box);
        box->params.deadline_ns = deadline;
        uint64_t before = polder_clock(0);
        polder_timer(first);
        polder_timer(second);
        /* A vCPU that was not let run meanwhile has had the first one expire, as it should: that shows nothing. */
        in_time = polder_clock(0) - before < first - SLACK(first);
        uint32_t got = box_run(box, sn_spin, BOX_DATA, 0);
        uint64_t took = polder_clock(0) - before;
        box->params.deadline_ns = 0;
        if (!in_time)
            continue;
        assert_int_equal(got, reason);
        if (got == POLDER_SIGNAL)
            is_timer(box);
        const uint64_t least = got == POLDER_SIGNAL ? second : deadline;
        if (took < least - SLACK(least))
            fail_msg("%lu ns of %lu", took, least);
    }
}

/* Of a timer and a deadline the one that is due first ends the run. */
static void timer_and_deadline(struct box *box, uint64_t timer, uint64_t deadline)
{
    for (bool in_time = false; !in_time;) {
        no_timer(box);
        box->params.deadline_ns = deadline;
        uint64_t before = polder_clock(0);
        polder_timer(timer);
        uint32_t got = box_run(box, sn_spin, BOX_DATA, 0);
        box->params.deadline_ns = 0;
        const uint64_t later = timer < deadline ? deadline : timer;
        in_time = polder_clock(0) - before < later - SLACK(later);
        if (in_time)
            assert_int_equal(got, timer < deadline ? POLDER_SIGNAL : POLDER_DEADLINE);
    }
}

static void the_timer(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    for (int i = 0; i < times(40, 10); i++) {
        /* Ends a run, once. */
        uint64_t before = polder_clock(0);
        polder_timer(A_WHILE);
        box_run(&box, sn_spin, BOX_DATA, 0);
        is_timer(&box);
        assert_true(polder_clock(0) - before >= A_WHILE - SLACK(A_WHILE));
        assert_true(box.params.regs.rip >= SNIPPET(sn_spin) && box.params.regs.rip < SNIPPET(sn_spin) + 16);
        box_syscall(&box, sn_syscall, 0, 0);
        set_anew(&box, 1000 * A_WHILE, A_WHILE, 0, POLDER_SIGNAL);
        set_anew(&box, A_WHILE, 3 * A_WHILE, 0, POLDER_SIGNAL);
        set_anew(&box, A_WHILE, UINT64_MAX, 3 * A_WHILE, POLDER_DEADLINE);
        timer_and_deadline(&box, 200 * A_WHILE, A_WHILE);
        timer_and_deadline(&box, A_WHILE, 10000 * A_WHILE);
        no_timer(&box);
        /* What meets no run ends the next one: at once, whatever it wants, and only that one. */
        polder_timer(1000);
        wait_until(polder_clock(0) + A_WHILE);
        box.data[0] = 0;
        box_run(&box, sn_spin, BOX_DATA, 0);
        is_timer(&box);
        box_syscall(&box, sn_syscall, 0, 0);
    }
    box_close(&box);
}

static void idling(void **state)
{
    (void)state;
    struct box box;
    int consumed = 0;

    box_open(&box);
    polder_timer(0);
    polder_idle(false); /* what an earlier wake may have left */
    for (int i = 0; i < times(40, 10); i++) {
        uint64_t before = polder_clock(0), over = before + 2 * A_WHILE;
        polder_timer(2 * A_WHILE);
        int rounds = 0;
        while (polder_clock(0) < over - SLACK(A_WHILE) - A_WHILE / 100 && rounds < 1000) {
            polder_idle(false);
            rounds++;
        }
        assert_true(rounds < 100); /* it slept */
        wait_until(over + SLACK(2 * A_WHILE));
        /* The expiry was its own, or, if it returned a little early, is the next run's; nobody else's. */
        consumed += box_run(&box, sn_syscall, 0, 0) == POLDER_SYSCALL;
        if (box.params.reason != POLDER_SYSCALL)
            is_timer(&box);
        box_syscall(&box, sn_syscall, 0, 0);
        /* One that came before does not let it sleep. */
        polder_timer(1000);
        wait_until(polder_clock(0) + A_WHILE);
        polder_idle(false);
        /* A wake that came before, neither. */
        polder_cpu_wake(0);
        polder_idle(false);
        box_syscall(&box, sn_syscall, 0, 0);
    }
    assert_true(consumed > 0);
    box_close(&box);
}

static void kicks(void **state)
{
    (void)state;
    struct box box, other;

    box_open(&box);
    box_open(&other);
    for (int i = 0; i < 200; i++) {
        for (int n = 0; n <= i % 3; n++)
            polder_kick(&box.params);
        box_syscall(&other, sn_syscall, 0, 0); /* not meant */
        assert_int_equal(box_run(&box, sn_syscall, 0, 0), POLDER_KICK);
        assert_int_equal(box.params.regs.rip, SNIPPET(sn_syscall));
        box_syscall(&box, sn_syscall, 0, 0);
        box_syscall(&box, sn_syscall, 0, 0); /* the same call again, which may go a shorter way */
        polder_kick(&box.params);
        assert_int_equal(box_run(&box, sn_syscall, 0, 0), POLDER_KICK);
    }
    box_close(&other);
    box_close(&box);
}

/*
 * The call that repeats the last one may be served by fewer instructions. What has changed between the two must be seen
 * all the same.
 */
static void what_changed_since_the_last_run(void **state)
{
    (void)state;
    struct box box, second;
    struct polder_params *p = &box.params;

    box_open(&box);
    box_open(&second);
    box_map_anonymous(&box, BOX_FREE, PAGE, RW);
    box_map_anonymous(&second, BOX_FREE, PAGE, RW);
    for (uint64_t i = 0; i < (uint64_t)times(400, 60); i++) {
        box_store(&box, BOX_FREE, i);
        box_store(&box, BOX_FREE, i);
        assert_int_equal(box_load(&box, BOX_FREE), i);
        switch (i % 10) {
        case 0: /* the mapping */
            assert_ok(polder_mprotect((void *)BOX_FREE, PAGE, PROT_READ, box.fd));
            box_fault(&box, sn_store, BOX_FREE, 0, BOX_FREE, PF_P | PF_U | PF_W);
            assert_ok(polder_mprotect((void *)BOX_FREE, PAGE, RW, box.fd));
            break;
        case 1: /* the space under the number */
            assert_ok(close(box.fd));
            int fd = polder_copy(second.fd);
            assert_int_equal(fd, box.fd);
            box_store(&second, BOX_FREE, 1000 + i);
            assert_true(box_load(&box, BOX_FREE) != i);
            break;
        case 2: /* the number: the same params in another space */
            box_store(&second, BOX_FREE, 5);
            aim(p, sn_load, BOX_FREE, 0);
            assert_int_equal(polder_run_sandbox(second.fd, p), 0);
            assert_int_equal(p->regs.rbx, 5);
            break;
        case 3: /* a number that is none */
            aim(p, sn_load, BOX_FREE, 0);
            assert_ok(close(box.fd));
            assert_errno(polder_run_sandbox(box.fd, p), EBADF);
            box.fd = polder_copy(second.fd);
            break;
        case 4: /* what is asked for */
            aim(p, sn_nops, 0, 0);
            p->flags = POLDER_SINGLE_STEP;
            assert_int_equal(polder_run_sandbox(box.fd, p), 0);
            assert_int_equal(p->reason, POLDER_STEP);
            p->flags = 0;
            break;
        case 5: /* registers that are wrong */
            p->regs.cs = 0x10;
            assert_errno(polder_run_sandbox(box.fd, p), EINVAL);
            p->regs.cs = 0x33;
            p->regs.ss = 0x18;
            assert_errno(polder_run_sandbox(box.fd, p), EINVAL);
            p->regs.ss = 0x2b;
            break;
        case 6: /* registers that are odd */
            p->regs.rip = 0xffffffff80000000;
            assert_int_equal(polder_run_sandbox(box.fd, p), 0);
            assert_int_equal(p->reason, POLDER_PAGE_FAULT);
            p->regs.rip = 0x8000000000000000;
            assert_int_equal(polder_run_sandbox(box.fd, p), 0);
            assert_int_equal(p->vector, 13);
            break;
        case 7: /* the bases */
            p->regs.fs_base = BOX_DATA;
            p->regs.gs_base = BOX_DATA + 8;
            box.data[0] = 11;
            box.data[1] = 12;
            aim(p, sn_syscall, 0, 0);
            box_syscall(&box, sn_syscall, 0, 0);
            box_map(&box, BOX_DATA, BOX_DATA_PAGES * PAGE, RW, MAP_SHARED, box.data_fd, 0);
            box_syscall(&box, sn_load_fs, 0, 0);
            assert_int_equal(p->regs.rbx, 11);
            assert_int_equal(p->regs.r12, 12);
            box_syscall(&box, sn_load_fs, 0, 0);
            assert_int_equal(p->regs.r12, 12);
            p->regs.fs_base = p->regs.gs_base = 0;
            break;
        case 8: /* the context: new ones at the same address have new registers */
            for (uint64_t word = 0; word < 32; word++)
                box.data[word] = ~word;
            box_map(&box, BOX_DATA, BOX_DATA_PAGES * PAGE, RW, MAP_SHARED, box.data_fd, 0);
            box_syscall(&box, sn_xmm_load, BOX_DATA, 0);
            box_syscall(&box, sn_xmm_load, BOX_DATA, 0);
            if (i & 16)
                polder_params_fini(p);
            polder_params_init(p);
            box_syscall(&box, sn_xmm_store, BOX_DATA, 0);
            for (uint64_t word = 0; word < 32; word++)
                assert_int_equal(box.data[word], 0);
            break;
        default: /* a copy of the space, which shares its pages */
            fd = polder_copy(box.fd);
            box_store(&box, BOX_FREE, 3);
            uint64_t word;
            assert_int_equal(polder_read(fd, &word, sizeof(word), BOX_FREE), sizeof(word));
            assert_int_equal(word, i);
            assert_ok(close(fd));
        }
    }
    box_close(&second);
    box_close(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(the_timer),
        cmocka_unit_test(idling),
        cmocka_unit_test(kicks),
        cmocka_unit_test(what_changed_since_the_last_run),
    };
    return RUN_GROUP("time", tests);
}
