/* SPDX-License-Identifier: MIT */
/*
 * Two threads that do all that the interface has, over and over: memory, descriptors, mappings and page tables are the
 * same after it as soon after its beginning. SOAK_SECONDS makes it last (`make soak`: ten minutes).
 */
#include "frames.h"
#include "physmem.h"
#include "records.h"
#include "tables.h"

#include "../kvm/sandbox.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)
#define BIG (BOX_FREE + (1ul << 28))
#define THREADS 2
#define WARM 4 /* batches after which nothing grows any more */
/* The library keeps up to 16 MiB of free pages, and the host may fill up what is around them with huge pages. */
#define SLACK (32ul << 20)

static pthread_barrier_t barrier;
static int batch_rounds;
static atomic_bool over;
static struct polder_params *_Atomic running[THREADS]; /* to be kicked by the other thread */
static _Thread_local int me;

static void store(struct box *box, int space, uint64_t at, uint64_t value)
{
    aim(&box->params, sn_store, at, value);
    do
        assert_ok(polder_run_sandbox(space, &box->params));
    while (box->params.reason == POLDER_KICK);
    assert_int_equal(box->params.reason, POLDER_SYSCALL);
}

static uint64_t load(struct box *box, int space, uint64_t at)
{
    aim(&box->params, sn_load, at, 0);
    do
        assert_ok(polder_run_sandbox(space, &box->params));
    while (box->params.reason == POLDER_KICK);
    assert_int_equal(box->params.reason, POLDER_SYSCALL);
    return box->params.regs.rbx;
}

/* Ends by the other thread's kick or by the deadline, whichever is first. */
static void spin(struct box *box)
{
    atomic_store(&running[me], &box->params);
    box->params.deadline_ns = 200000;
    aim(&box->params, sn_spin, BOX_DATA, 0);
    assert_ok(polder_run_sandbox(box->fd, &box->params));
    assert_true(box->params.reason == POLDER_KICK || box->params.reason == POLDER_DEADLINE);
    box->params.deadline_ns = 0;
    while (atomic_exchange(&running[me], NULL) == NULL) /* the other one is about to kick: the parameters must stay */
        sched_yield();
}

static void kick_the_other(void)
{
    struct polder_params *params = atomic_exchange(&running[!me], NULL);
    if (!params)
        return;
    polder_kick(params);
    atomic_store(&running[!me], params);
}

static void copies(struct box *box, uint64_t i)
{
    int copy, again;
    assert_ok(copy = polder_copy(box->fd));
    assert_ok(again = polder_copy(copy));
    store(box, copy, BOX_FREE, i + 1);
    store(box, again, BIG, i + 2);
    assert_int_equal(load(box, box->fd, BOX_FREE), i);
    assert_int_equal(load(box, again, BOX_FREE), i);
    assert_ok(close(copy));
    assert_int_equal(load(box, again, BIG), i + 2);
    assert_ok(close(again));
}

static void own_space(struct box *box, uint64_t i)
{
    int self;
    uint64_t *own = polder_mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, -1);
    assert_ptr_not_equal(own, MAP_FAILED);
    assert_ok(polder_mprotect(own + PAGE / 8, PAGE, RW | POLDER_PRIVILEGED, -1));
    assert_ok(self = polder_open("/proc/self/mm"));
    aim(&box->params, sn_store, (uint64_t)own, i);
    box->params.regs.rip = (uint64_t)sn_store;
    do
        assert_ok(polder_run_sandbox(self, &box->params));
    while (box->params.reason == POLDER_KICK);
    assert_int_equal(box->params.reason, POLDER_SYSCALL);
    assert_int_equal(own[0], i);
    assert_ok(close(self));
    assert_ok(polder_munmap(own, 4 * PAGE, -1));
}

static void one_round(uint64_t i)
{
    struct box box;
    uint64_t word;
    box_open(&box);
    box_map_anonymous(&box, BOX_FREE, 64 * PAGE, RW);
    box_map_anonymous(&box, BIG, 2 * HUGE_PAGE, RW);
    store(&box, box.fd, BOX_FREE, i);
    store(&box, box.fd, BIG, i);
    copies(&box, i);
    kick_the_other();
    const struct polder_op ops[] = {
        {.code = POLDER_OP_MUNMAP, .start = (void *)(BOX_FREE + 8 * PAGE), .length = 4 * PAGE},
        {.code = POLDER_OP_MPROTECT, .prot = PROT_READ, .start = (void *)(BIG + 5 * PAGE), .length = PAGE},
        {.code = POLDER_OP_MMAP, .prot = RW, .flags = ANONYMOUS, .src_fd = -1, .start = (void *)BIG, .length = PAGE},
    };
    assert_ok(polder_apply(box.fd, ops, 3));
    assert_int_equal(load(&box, box.fd, BIG), 0);
    assert_int_equal(polder_read(box.fd, &word, 8, BOX_FREE), 8);
    assert_int_equal(word, i);
    word = i + 5;
    assert_int_equal(polder_write(box.fd, &word, 8, BOX_FREE + 3 * PAGE), 8);
    assert_int_equal(load(&box, box.fd, BOX_FREE + 3 * PAGE), i + 5);
    box_map(&box, BIG + (1ul << 30), 16 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    store(&box, box.fd, BIG + (1ul << 30), i);
    spin(&box);
    own_space(&box, i);
    kick_the_other();
    box_close(&box);
}

static void *work(void *number)
{
    me = (int)(uintptr_t)number;
    uint64_t i = (uint64_t)me << 32;
    for (;;) {
        for (int n = 0; n < batch_rounds; n++)
            one_round(++i);
        pthread_barrier_wait(&barrier); /* now it is looked at */
        pthread_barrier_wait(&barrier);
        if (atomic_load(&over))
            return NULL;
    }
}

struct sample {
    size_t rss, descriptors, mappings;
    uint64_t tables, frames, records, windows;
};

static void take(struct sample *s, time_t second)
{
    close(polder_open("/proc/mm")); /* what has been closed is found now */
    *s = (struct sample){own_rss(), own_descriptors(), own_mappings(), tables_in_use(), frames_in_use(), record_bytes(),
        physmem_windows()};
    if (second >= 0)
        print_message(
            "%5ld s: RSS %zu KiB, %zu descriptors, %zu mappings, %lu tables, %lu frames, %lu bytes of records, "
            "%lu windows\n",
            (long)second, s->rss >> 10, s->descriptors, s->mappings, s->tables, s->frames, s->records, s->windows);
}

static void test_soak(void **state)
{
    (void)state;
    const char *seconds = getenv("SOAK_SECONDS");
    time_t began = time(NULL), length = seconds ? atol(seconds) : 0, told = 0;
    pthread_t threads[THREADS];
    struct sample then = {0}, now;
    int batches = seconds ? 1 << 30 : 12;
    alarm(seconds ? 0 : TEST_SECONDS * 3);
    batch_rounds = scaled(1000) < 1000 ? 3 : 20;
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)i), 0);
    for (int batch = 0; !atomic_load(&over); batch++) {
        pthread_barrier_wait(&barrier);
        time_t second = time(NULL) - began;
        bool tell = seconds && second >= told;
        take(&now, tell ? second : -1);
        if (tell)
            told = second + 30;
        if (batch == WARM)
            then = now;
        /* Retired page tables wait until some vCPU clears them: so many that the number of them swings. */
        if (batch > WARM &&
            (now.rss > then.rss + SLACK || now.descriptors > then.descriptors || now.mappings > then.mappings + 8 ||
                now.frames > then.frames || now.records > then.records + 64 * PAGE || now.windows > then.windows + 1 ||
                now.tables > then.tables + 256)) {
            take(&then, 0);
            take(&now, second);
            fail_msg("it grows, in batch %d", batch);
        }
        atomic_store(&over, batch > WARM && (batch + 1 >= batches || (seconds && second >= length)));
        pthread_barrier_wait(&barrier);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    take(&now, time(NULL) - began);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_soak)};
    return RUN_GROUP("soak", tests);
}
