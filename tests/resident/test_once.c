/* SPDX-License-Identifier: MIT */
/* One vCPU, and records in memory of the kernel's own: an allocator may give any memory that the kernel has. */
#include "kernel.h"

static const uint64_t at = BOX_FREE;

enum { POOL_PAGES = 512 };
static char pool[POOL_PAGES][PAGE] __attribute__((aligned(4096)));
static bool taken[POOL_PAGES];

static void *pool_alloc(size_t size, void *opaque)
{
    (void)opaque;
    for (size_t i = 0; size == PAGE && i < POOL_PAGES; i++) {
        if (!taken[i]) {
            taken[i] = true;
            return memset(pool[i], 0xa5, PAGE);
        }
    }
    return NULL;
}

static void pool_free(void *block, size_t size, void *opaque)
{
    (void)size;
    (void)opaque;
    taken[((char *)block - pool[0]) / (long)PAGE] = false;
}

/* Their FPU state lies in the image, then. */
static void contexts_in_an_allocators_memory(void **state)
{
    (void)state;
    struct box box;
    struct polder_params params[2];

    box_open(&box);
    for (uint64_t i = 0; i < 2; i++) {
        polder_params_init(&params[i]);
        for (uint64_t word = 0; word < 32; word++)
            box.data[word] = 100 * i + word;
        aim(&params[i], sn_xmm_load, BOX_DATA, 0);
        assert_ok(polder_run_sandbox(box.fd, &params[i]));
    }
    for (uint64_t i = 0; i < 2; i++) {
        aim(&params[i], sn_xmm_store, BOX_DATA, 0);
        assert_ok(polder_run_sandbox(box.fd, &params[i]));
        for (uint64_t word = 0; word < 32; word++)
            assert_int_equal(box.data[word], 100 * i + word);
        polder_params_fini(&params[i]);
    }
    box_close(&box);
}

/* The same page is mapped, touched and unmapped again and again: each fault is one that had to be. */
static void the_same_page_every_time(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    for (int i = 0; i < 2500; i++) {
        box_map_anonymous(&box, at, PAGE, RW);
        aim(&box.params, sn_store, at, (uint64_t)i);
        assert_ok(polder_run_sandbox(box.fd, &box.params));
        assert_int_equal(box.params.reason, POLDER_SYSCALL);
        assert_ok(polder_munmap((void *)at, PAGE, box.fd));
    }
    box_close(&box);
}

int main(void)
{
    const struct polder_allocator allocator = {pool_alloc, pool_free, NULL}, nonsense = {NULL, NULL, NULL};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contexts_in_an_allocators_memory),
        cmocka_unit_test(the_same_page_every_time),
    };

    if (polder_set_allocator(&nonsense) != -1 || errno != EINVAL || polder_set_allocator(&allocator))
        return 1;
    return RUN_GROUP("once", tests);
}
