/* SPDX-License-Identifier: MIT */
/*
 * The embedder's allocator. A program of its own, since it can be set only before the first use. It also makes the
 * library run out of memory at every point where it asks for some.
 */
#include "sandbox.h"

#include <limits.h>
#include <stdatomic.h>

#define RW (PROT_READ | PROT_WRITE)

static atomic_long allocated, freed, calls, misuse;
static atomic_long fail_after = LONG_MAX; /* this many more calls succeed */
static int marker;

static void *counting_alloc(size_t size, void *opaque)
{
    if (opaque != &marker || size == 0 || size % PAGE != 0)
        atomic_fetch_add(&misuse, 1);
    if (atomic_fetch_sub(&fail_after, 1) <= 0)
        return NULL;
    atomic_fetch_add(&calls, 1);
    atomic_fetch_add(&allocated, (long)size);
    return aligned_alloc(PAGE, size); /* not zeroed */
}

static void counting_free(void *block, size_t size, void *opaque)
{
    if (opaque != &marker || size % PAGE != 0 || (uint64_t)block % PAGE != 0 || !block)
        atomic_fetch_add(&misuse, 1);
    atomic_fetch_add(&freed, (long)size);
    memset(block, 0xdd, size);
    free(block);
}

static const struct polder_allocator counting = {counting_alloc, counting_free, &marker};

static void before_the_first_use(void **state)
{
    (void)state;
    struct polder_params params;
    struct polder_allocator on_stack = counting;

    polder_params_init(&params); /* is no use */
    assert_int_equal(polder_set_allocator(&on_stack), 0);
    memset(&on_stack, 0, sizeof(on_stack)); /* it has been copied */
}

static void is_used(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    box_map_anonymous(&box, BOX_FREE, 16 * PAGE, RW);
    box_store(&box, BOX_FREE, 1);
    assert_true(atomic_load(&calls) > 0);
    assert_int_equal(atomic_load(&misuse), 0);
    assert_errno(polder_set_allocator(&counting), EBUSY);
    /* A run that finds its memory in place asks for none. */
    box_syscall(&box, sn_syscall, 0, 0);
    box_fault(&box, sn_load, 0, 0, 0, PF_U);
    long before = atomic_load(&calls);
    for (int i = 0; i < scaled(200); i++) {
        box_syscall(&box, sn_syscall, 0, 0);
        box_fault(&box, sn_load, 0, 0, 0, PF_U);
        assert_int_equal(box_load(&box, BOX_FREE), 1);
    }
    assert_int_equal(atomic_load(&calls), before);
    box_close(&box);
}

static void comes_back(void **state)
{
    (void)state;
    long held = 0;

    const int count = scaled(300);
    for (int i = 0; i < count; i++) {
        struct box box, copy;
        box_open(&box);
        box_map_anonymous(&box, BOX_FREE, 64 * PAGE, RW);
        for (uint64_t page = 0; page < 64; page += 2)
            assert_int_equal(polder_mprotect((void *)(BOX_FREE + page * PAGE), PAGE, PROT_READ, box.fd), 0);
        box_store(&box, BOX_FREE + PAGE, 1);
        copy = box;
        copy.fd = polder_copy(box.fd);
        assert_true(copy.fd >= 0);
        polder_params_init(&copy.params);
        box_store(&copy, BOX_FREE + PAGE, 2);
        polder_params_fini(&copy.params);
        close(copy.fd);
        box_close(&box);
        if (i == count / 3)
            held = atomic_load(&allocated) - atomic_load(&freed);
    }
    assert_true(atomic_load(&allocated) - atomic_load(&freed) <= held + 16 * (long)PAGE);
    assert_int_equal(atomic_load(&misuse), 0);
}

/* One pass through most of the library. Returns false with ENOMEM if it had to stop; anything else is wrong. */
static bool one_pass(const char **where, int *wrong)
{
    struct polder_params params;
    bool done = false;
    int data = -1, fd = -1, copy = -1, self = -1;

    polder_params_init(&params);
#define STEP(call)                                                                                                     \
    do {                                                                                                               \
        *where = #call;                                                                                                \
        errno = 0;                                                                                                     \
        if ((long)(call) == -1) {                                                                                      \
            *wrong += errno != ENOMEM;                                                                                 \
            goto out;                                                                                                  \
        }                                                                                                              \
    } while (0)
#define RUN(space, snippet, rdi, rsi, wanted)                                                                          \
    do {                                                                                                               \
        aim(&params, snippet, rdi, rsi);                                                                               \
        STEP(polder_run_sandbox(space, &params));                                                                      \
        *wrong += params.reason != (wanted);                                                                           \
    } while (0)
    const int anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    data = make_file(4, 7);
    assert_int_equal(
        pwrite(data, snippets_begin, (size_t)(snippets_end - snippets_begin), 0), snippets_end - snippets_begin);
    STEP(fd = polder_open("/proc/mm"));
    STEP(polder_mmap((void *)BOX_CODE, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, data, 0, fd));
    STEP(polder_mmap((void *)BOX_STACK, PAGE, RW, anonymous, -1, 0, fd));
    STEP(polder_mmap((void *)BOX_FREE, 64 * PAGE, RW, anonymous, -1, 0, fd));
    RUN(fd, sn_store, BOX_FREE, 1, POLDER_SYSCALL);
    for (uint64_t page = 0; page < 64; page += 4)
        STEP(polder_munmap((void *)(BOX_FREE + (page + 1) * PAGE), PAGE, fd));
    STEP(polder_mmap((void *)(BOX_FREE + (1ul << 30)), PAGE, RW, MAP_SHARED | MAP_FIXED, data, 2 * PAGE, fd));
    RUN(fd, sn_load, BOX_FREE + (1ul << 30), 0, POLDER_SYSCALL);
    *wrong += params.regs.rbx != 9;
    STEP(copy = polder_copy(fd));
    RUN(copy, sn_store, BOX_FREE, 2, POLDER_SYSCALL);
    RUN(fd, sn_load, BOX_FREE, 0, POLDER_SYSCALL);
    *wrong += params.regs.rbx != 1;
    STEP(self = polder_open("/proc/self/mm"));
    done = true;
out:
    polder_params_fini(&params);
    if (self >= 0)
        close(self);
    if (copy >= 0)
        close(copy);
    if (fd >= 0)
        close(fd);
    if (data >= 0)
        close(data);
    return done;
}

static void running_out(void **state)
{
    (void)state;
    const char *where;
    int wrong = 0, failures = 0;
    size_t descriptors = 0;

    for (long n = 0; n < 400; n += scaled(50) < 50 ? 5 : 1) {
        atomic_store(&fail_after, n);
        bool done = one_pass(&where, &wrong);
        int error = errno;
        atomic_store(&fail_after, LONG_MAX);
        failures += !done;
        if (wrong)
            fail_msg("with %ld allocations: %s: %s", n, where, strerror(error));
        /* The library is as good as before. */
        if (!one_pass(&where, &wrong) || wrong)
            fail_msg("after a failure at allocation %ld: %s", n, where);
        if (n >= 20 && !descriptors)
            descriptors = own_descriptors();
        if (done && n > 40)
            break;
    }
    print_message("%d points of failure\n", failures);
    assert_true(own_descriptors() <= descriptors + 2);
    assert_int_equal(atomic_load(&misuse), 0);
}

int main(void)
{
    /* In this order: each builds on the one before. */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_the_first_use),
        cmocka_unit_test(is_used),
        cmocka_unit_test(comes_back),
        cmocka_unit_test(running_out),
    };
    return RUN_GROUP("allocator", tests);
}
