/* SPDX-License-Identifier: MIT */
/*
 * KVM that fails: KVM_RUN with every errno, and exits that nothing asks for. The run says what is documented, the
 * thread goes on with another vCPU, other threads and spaces never notice; and where it is the caller that a signal or
 * a lack of time comes to, no instruction is lost or done twice.
 */
#include "../kvm/sandbox.h"
#include "inject.h"

#include <limits.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

/* One run of which KVM_RUN fails after `skip` good ones; -1 and errno, or its reason. */
static int failing_run(struct box *box, int error, uint32_t exit_reason, long strikes)
{
    inject.error = error;
    inject.exit_reason = exit_reason;
    aim(&box->params, sn_store, BOX_DATA, 1);
    inject_begin(INJECT_KVM_RUN, 0, strikes);
    int result = polder_run_sandbox(box->fd, &box->params);
    int said = errno;
    assert_true(inject_end());
    errno = said;
    return result < 0 ? -1 : (int)box->params.reason;
}

static void innocent(struct box *box, uint64_t value)
{
    box_store(box, BOX_DATA, value);
    assert_int_equal(box->data[0], value);
    assert_int_equal(box_load(box, BOX_DATA), value);
    box_fault(box, sn_load, BOX_FREE, 0, BOX_FREE, PF_U);
}

static void test_fails_for_good(void **state)
{
    (void)state;
    static const int errors[] = {EIO, EINVAL, ENOMEM, ENXIO, EBADF, EFAULT, EAGAIN};
    struct box box;
    box_open(&box);
    innocent(&box, 1);
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        assert_int_equal(failing_run(&box, errors[i], 0, LONG_MAX), -1);
        assert_int_equal(errno, EIO);
        innocent(&box, 2 + i);
    }
    box_close(&box);
}

static void test_exits(void **state)
{
    (void)state;
    static const uint32_t exits[] = {KVM_EXIT_SHUTDOWN, KVM_EXIT_FAIL_ENTRY, KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_UNKNOWN,
        KVM_EXIT_EXCEPTION, KVM_EXIT_HYPERCALL, KVM_EXIT_DEBUG, KVM_EXIT_HLT, KVM_EXIT_SYSTEM_EVENT, 0x7fffffff};
    struct box box;
    box_open(&box);
    innocent(&box, 1);
    for (size_t i = 0; i < sizeof exits / sizeof exits[0]; i++) {
        assert_int_equal(failing_run(&box, 0, exits[i], 1), -1);
        assert_int_equal(errno, EIO);
        innocent(&box, 2 + i);
    }
    box_close(&box);
}

/* In the middle of a space's life: edits that ring 0 was to make are made by the next vCPU. */
static void test_edits_are_made(void **state)
{
    (void)state;
    struct box box;
    box_open(&box);
    box_map_anonymous(&box, BOX_FREE, 4 * PAGE, PROT_READ | PROT_WRITE);
    for (int i = 0; i < 4; i++)
        box_store(&box, BOX_FREE + (uint64_t)i * PAGE, 1);
    assert_ok(polder_munmap((void *)BOX_FREE, PAGE, box.fd));
    assert_ok(polder_mprotect((void *)(BOX_FREE + PAGE), PAGE, PROT_READ, box.fd));
    assert_int_equal(failing_run(&box, 0, KVM_EXIT_SHUTDOWN, 1), -1);
    box_fault(&box, sn_load, BOX_FREE, 0, BOX_FREE, PF_U);
    box_fault(&box, sn_store, BOX_FREE + PAGE, 0, BOX_FREE + PAGE, PF_U | PF_W | PF_P);
    assert_int_equal(box_load(&box, BOX_FREE + 2 * PAGE), 1);
    box_close(&box);
}

/* What passes by itself is not seen by anybody but for a signal, which is reported as one. */
static void test_storms(void **state)
{
    (void)state;
    struct box box;
    box_open(&box);
    innocent(&box, 1);
    for (int i = 1; i < 20; i++) {
        box.data[0] = 7;
        int reason = failing_run(&box, i % 2 ? EINTR : EAGAIN, 0, i);
        if (reason == POLDER_SIGNAL) { /* nothing of it was run */
            assert_int_equal(box.params.regs.rip, SNIPPET(sn_store));
            assert_int_equal(box.data[0], 7);
            assert_ok(polder_run_sandbox(box.fd, &box.params));
            reason = (int)box.params.reason;
        }
        assert_int_equal(reason, POLDER_SYSCALL);
        assert_int_equal(box.data[0], 1);
    }
    box_close(&box);
}

struct neighbour {
    atomic_bool stop, failed;
    uint64_t rounds;
};

static void *lives_on(void *argument)
{
    struct neighbour *n = argument;
    struct box box;
    box_open(&box);
    for (; !atomic_load(&n->stop); n->rounds++) {
        aim(&box.params, sn_store, BOX_DATA, n->rounds);
        if (polder_run_sandbox(box.fd, &box.params) || box.params.reason != POLDER_SYSCALL || box.data[0] != n->rounds)
            atomic_store(&n->failed, true);
    }
    box_close(&box);
    return NULL;
}

static void test_neighbours(void **state)
{
    (void)state;
    struct neighbour n = {0};
    pthread_t thread;
    struct box box;
    assert_int_equal(pthread_create(&thread, NULL, lives_on, &n), 0);
    box_open(&box);
    for (int i = 0; i < scaled(40); i++) {
        assert_int_equal(failing_run(&box, 0, i % 2 ? KVM_EXIT_SHUTDOWN : KVM_EXIT_FAIL_ENTRY, 1), -1);
        innocent(&box, (uint64_t)i);
        sched_yield();
    }
    box_close(&box);
    atomic_store(&n.stop, true);
    pthread_join(thread, NULL);
    assert_false(atomic_load(&n.failed));
}

/* Each costs a number, and there are 255: then threads are told so, and nothing else is. The last test: it uses them
 * up. */
static void test_used_up(void **state)
{
    (void)state;
    struct box box;
    box_open(&box);
    innocent(&box, 1);
    for (int i = 0; i < 300; i++) {
        inject.error = 0;
        inject.exit_reason = KVM_EXIT_SHUTDOWN;
        inject_begin(INJECT_KVM_RUN, 0, 1);
        aim(&box.params, sn_store, BOX_DATA, 1);
        assert_int_equal(polder_run_sandbox(box.fd, &box.params), -1);
        int error = errno;
        inject_end();
        if (error == EAGAIN)
            break;
        assert_int_equal(error, EIO);
    }
    assert_errno(polder_run_sandbox(box.fd, &box.params), EAGAIN);
    assert_ok(polder_munmap((void *)BOX_STACK, PAGE, box.fd));
    box_close(&box);
}

/* ---------------------------------------------------------------- real signals, all the time */

static atomic_uint ticks;

static void tick(int number)
{
    (void)number;
    atomic_fetch_add(&ticks, 1);
}

static void every(long microseconds)
{
    struct itimerval timer = {.it_interval.tv_usec = microseconds, .it_value.tv_usec = microseconds};
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static void run_through(int space, struct polder_params *params, const char *snippet, uint64_t rdi, uint64_t rsi)
{
    aim(params, snippet, rdi, rsi);
    do
        assert_ok(polder_run_sandbox(space, params));
    while (params->reason == POLDER_SIGNAL);
}

/* The whole surface, while a signal interrupts it all the time: the same as without. */
static void test_signals_everywhere(void **state)
{
    (void)state;
    const int rw = PROT_READ | PROT_WRITE, anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    struct sigaction action = {.sa_handler = tick}, before;
    alarm(0); /* the same timer */
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    every(getenv("POLDER_TEST_SCALE") ? 5000 : 300);
    for (uint64_t i = 1; i <= (uint64_t)scaled(60); i++) {
        uint64_t word = 0;
        struct polder_params params;
        int data = make_file(2, 1000 * i), space, copy, self;
        polder_params_init(&params);
        assert_ok(space = polder_open("/proc/mm"));
        fill_space(space, data);
        assert_ptr_equal(polder_mmap((void *)BOX_FREE, 64 * PAGE, rw, anonymous, -1, 0, space), (void *)BOX_FREE);
        run_through(space, &params, sn_store, BOX_FREE, i);
        assert_int_equal(params.reason, POLDER_SYSCALL);
        run_through(space, &params, sn_load, BOX_DATA + PAGE, 0);
        assert_int_equal(params.regs.rbx, 1000 * i + 1);
        assert_ok(copy = polder_copy(space));
        run_through(copy, &params, sn_store, BOX_FREE, i + 1);
        run_through(space, &params, sn_load, BOX_FREE, 0);
        assert_int_equal(params.regs.rbx, i);
        assert_int_equal(polder_read(copy, &word, 8, BOX_FREE), 8);
        assert_int_equal(word, i + 1);
        word = i + 2;
        assert_int_equal(polder_write(space, &word, 8, BOX_FREE + PAGE), 8);
        assert_ok(polder_mprotect((void *)(BOX_FREE + PAGE), PAGE, PROT_READ, space));
        run_through(space, &params, sn_store, BOX_FREE + PAGE, 0);
        assert_int_equal(params.reason, POLDER_PAGE_FAULT);
        assert_int_equal(params.error_code, PF_P | PF_W | PF_U);
        const struct polder_op ops[] = {
            {.code = POLDER_OP_MUNMAP, .start = (void *)BOX_FREE, .length = PAGE},
            {.code = POLDER_OP_MPROTECT, .prot = rw, .start = (void *)(BOX_FREE + PAGE), .length = PAGE},
        };
        assert_ok(polder_apply(space, ops, 2));
        run_through(space, &params, sn_load, BOX_FREE, 0);
        assert_int_equal(params.fault_addr, BOX_FREE);
        run_through(space, &params, sn_load, BOX_FREE + PAGE, 0);
        assert_int_equal(params.regs.rbx, i + 2);
        /* A host call of the sandbox. */
        run_through(space, &params, sn_syscall, 0, 0);
        params.regs.orig_rax = 39; /* getpid */
        assert_ok(polder_proceed(space, &params));
        assert_int_equal(params.regs.rax, getpid());
        /* The caller's own space. */
        uint64_t *own = polder_mmap(NULL, PAGE, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, -1);
        assert_ptr_not_equal(own, MAP_FAILED);
        assert_ok(self = polder_open("/proc/self/mm"));
        aim(&params, sn_store, (uint64_t)own, i);
        params.regs.rip = (uint64_t)sn_store;
        do
            assert_ok(polder_run_sandbox(self, &params));
        while (params.reason == POLDER_SIGNAL);
        assert_int_equal(params.reason, POLDER_SYSCALL);
        assert_int_equal(*own, i);
        assert_ok(polder_munmap(own, PAGE, -1));
        polder_params_fini(&params);
        const int fds[] = {space, copy, self, data};
        for (size_t k = 0; k < 4; k++)
            assert_ok(close(fds[k]));
    }
    every(0);
    assert_true(atomic_load(&ticks) > 0);
    sigaction(SIGALRM, &before, NULL);
    print_message("%u signals\n", atomic_load(&ticks));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fails_for_good),
        cmocka_unit_test(test_exits),
        cmocka_unit_test(test_edits_are_made),
        cmocka_unit_test(test_storms),
        cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_signals_everywhere),
        cmocka_unit_test(test_used_up),
    };
    return RUN_GROUP("kvm", tests);
}
