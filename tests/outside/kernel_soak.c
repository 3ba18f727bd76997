/* SPDX-License-Identifier: MIT */
/*
 * A kernel with two vCPUs that do all that the interface has, for as long as --append rounds=N says: after each batch
 * it says how much memory it has in use. soak_resident.c watches it and the monitor.
 */
#include "kernel.h"

static pthread_barrier_t barrier;
static int rounds, batches;

static void store(struct box *box, int space, uint64_t at, uint64_t value)
{
    aim(&box->params, sn_store, at, value);
    assert_ok(polder_run_sandbox(space, &box->params));
    assert_int_equal(box->params.reason, POLDER_SYSCALL);
}

static void one_round(uint64_t i)
{
    struct box box;
    int copy;
    box_open(&box);
    box_map_anonymous(&box, BOX_FREE, 64 * PAGE, RW);
    for (uint64_t page = 0; page < 16; page += 4)
        store(&box, box.fd, BOX_FREE + page * PAGE, i);
    assert_ok(copy = polder_copy(box.fd));
    store(&box, copy, BOX_FREE, i + 1);
    assert_int_equal(box_load(&box, BOX_FREE), i);
    assert_ok(polder_munmap((void *)(BOX_FREE + 8 * PAGE), 4 * PAGE, box.fd));
    box_fault(&box, sn_load, BOX_FREE + 8 * PAGE, 0, BOX_FREE + 8 * PAGE, PF_U);
    assert_ok(polder_mprotect((void *)BOX_FREE, PAGE, PROT_READ, box.fd));
    box_fault(&box, sn_store, BOX_FREE, 0, BOX_FREE, PF_U | PF_W | PF_P);
    box_map(&box, BOX_FREE + (1ul << 30), 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    store(&box, box.fd, BOX_FREE + (1ul << 30), i);
    box.params.deadline_ns = 100000;
    assert_int_equal(box_run(&box, sn_spin, BOX_DATA, 0), POLDER_DEADLINE);
    box.params.deadline_ns = 0;
    polder_kick(&box.params);
    assert_int_equal(box_run(&box, sn_spin, BOX_DATA, 0), POLDER_KICK);
    assert_ok(close(copy));
    box_close(&box);
}

static void *work(void *argument)
{
    for (int batch = 0; batch < batches; batch++) {
        for (int i = 0; i < rounds; i++)
            one_round((uint64_t)i + 1);
        pthread_barrier_wait(&barrier);
        if (!argument)
            printf("# batch %d used %lu\n", batch, polder_memory_used());
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void test_soak(void **state)
{
    (void)state;
    pthread_t thread;
    static int second;
    rounds = atoi(getenv("rounds"));
    batches = atoi(getenv("batches"));
    pthread_barrier_init(&barrier, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, work, &second), 0);
    work(NULL);
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_soak),
    };
    return RUN_GROUP("soak", tests);
}
