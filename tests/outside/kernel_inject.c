/* SPDX-License-Identifier: MIT */
/*
 * The run-time inside the guest, refused memory at every point where it asks for some: a page, a page table, a record.
 * What fails says ENOMEM and has changed nothing, succeeds when it is done again, and nothing is lost by it.
 */
#include "kernel.h"

#define FILE_AT (BOX_FREE + (1ul << 30))
#define MORE (BOX_FREE + (2ul << 30))

/* ---------------------------------------------------------------- failures to order (ld --wrap) */

static long left = -1; /* so many succeed before one fails; below 0: none does */
static bool struck;
static const char *last = "nothing";

static bool strikes(const char *name)
{
    if (left < 0 || left-- != 0)
        return false;
    struck = true;
    last = name;
    return true;
}

#define WRAP(type, name, parameters, arguments)                                                                        \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters                                                                                      \
    {                                                                                                                  \
        return strikes(#name) ? (type)0 : __real_##name arguments;                                                     \
    }

WRAP(uint64_t, frame_alloc, (void), ())
WRAP(uint64_t, frame_alloc_zeroed, (void), ())
WRAP(uint64_t, table_alloc, (void), ())
WRAP(uint64_t, root_alloc, (void), ())
WRAP(void *, record_alloc, (size_t size), (size))

/* ---------------------------------------------------------------- the scenario */

static struct {
    int data, fd, copy;
    struct polder_params params;
} w;

static int map(uint64_t at, size_t pages, int prot, int flags, int fd, off_t offset)
{
    return polder_mmap((void *)at, pages * PAGE, prot, flags | MAP_FIXED, fd, offset, w.fd) == MAP_FAILED ? -1 : 0;
}

static int run(int space, const char *snippet, uint64_t rdi, uint64_t rsi)
{
    aim(&w.params, snippet, rdi, rsi);
    return polder_run_sandbox(space, &w.params);
}

static int open_space(void)
{
    return (w.fd = polder_open("/proc/mm")) < 0 ? -1 : 0;
}

static int map_snippets(void)
{
    return map(BOX_CODE, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, w.data, 0);
}

static int map_stack(void)
{
    return map(BOX_STACK, 1, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int map_many(void)
{
    return map(BOX_FREE, 64, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int map_file(void)
{
    return map(FILE_AT, 1, RW, MAP_SHARED, w.data, PAGE);
}

static int map_private(void)
{
    return map(FILE_AT + PAGE, 2, RW, MAP_PRIVATE, w.data, PAGE);
}

static int store_many(void)
{
    return run(w.fd, sn_store, BOX_FREE, 1);
}

static int store_file(void)
{
    return run(w.fd, sn_store, FILE_AT, 2);
}

static int store_private(void)
{
    return run(w.fd, sn_store, FILE_AT + 2 * PAGE, 3);
}

static int protect(void)
{
    return polder_mprotect((void *)(BOX_FREE + 8 * PAGE), 8 * PAGE, PROT_READ, w.fd);
}

static int unmap(void)
{
    return polder_munmap((void *)(BOX_FREE + 32 * PAGE), 4 * PAGE, w.fd);
}

static int copy(void)
{
    return (w.copy = polder_copy(w.fd)) < 0 ? -1 : 0;
}

static int store_copy(void)
{
    return run(w.copy, sn_store, BOX_FREE, 10);
}

static int store_original(void)
{
    return run(w.fd, sn_store, BOX_FREE, 11);
}

static int write_word(void)
{
    uint64_t word = 12;
    return polder_write(w.fd, &word, 8, BOX_FREE + 2 * PAGE) < 0 ? -1 : 0;
}

static int map_shared(void)
{
    return map(MORE, 2, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static int store_shared(void)
{
    return run(w.fd, sn_store, MORE, 13);
}

static int unmap_copy(void)
{
    return polder_munmap((void *)(BOX_FREE + PAGE), 30 * PAGE, w.copy);
}

static const struct {
    const char *name;
    int (*function)(void);
} steps[] = {
#define STEP(function)                                                                                                 \
    {                                                                                                                  \
#function, function                                                                                            \
    }
    STEP(open_space),
    STEP(map_snippets),
    STEP(map_stack),
    STEP(map_many),
    STEP(map_file),
    STEP(map_private),
    STEP(store_many),
    STEP(store_file),
    STEP(store_private),
    STEP(protect),
    STEP(unmap),
    STEP(copy),
    STEP(store_copy),
    STEP(store_original),
    STEP(write_word),
    STEP(map_shared),
    STEP(store_shared),
    STEP(unmap_copy),
};
enum { STEPS = sizeof steps / sizeof steps[0], PROBES = 12 };

static const struct {
    bool of_copy;
    uint64_t address;
} probes[PROBES] = {
    {false, BOX_FREE},
    {false, BOX_FREE + 2 * PAGE},
    {false, BOX_FREE + 9 * PAGE},
    {false, BOX_FREE + 33 * PAGE},
    {false, FILE_AT},
    {false, FILE_AT + PAGE},
    {false, FILE_AT + 2 * PAGE},
    {false, MORE},
    {true, BOX_FREE},
    {true, BOX_FREE + 2 * PAGE},
    {true, BOX_FREE + 33 * PAGE},
    {true, FILE_AT + 2 * PAGE},
};

enum { NOTHING = 1000000, UNREADABLE, READ_ONLY };

/* Without a run, which would bring memory in and leave less to fail. */
static uint64_t look(int space, uint64_t address)
{
    uint64_t word;
    if (space < 0)
        return NOTHING;
    if (polder_read(space, &word, 8, address) != 8)
        return UNREADABLE;
    return word;
}

static uint64_t learned[STEPS + 1][PROBES];

static void compare(size_t step, const char *when, const char *name)
{
    for (size_t i = 0; i < PROBES; i++) {
        uint64_t seen = look(probes[i].of_copy ? w.copy : w.fd, probes[i].address);
        if (seen != learned[step][i])
            fail_msg("%s %s (%s): %s at %#lx: %lu instead of %lu", when, name, last,
                probes[i].of_copy ? "copy" : "original", probes[i].address, seen, learned[step][i]);
    }
}

static void pass(long skip, bool learning)
{
    w.fd = w.copy = -1;
    polder_params_init(&w.params);
    set_file_word(w.data, PAGE, 101);
    set_file_word(w.data, 2 * PAGE, 102);
    struck = false;
    left = skip;
    for (size_t i = 0; i < STEPS; i++) {
        bool before = struck;
        int result = steps[i].function();
        int error = errno;
        bool now = struck && !before;
        if (result < 0 && (!now || error != ENOMEM))
            fail_msg("%s: %s, after %s", steps[i].name, strerror(error), last);
        if (result < 0) {
            compare(i, "after the failure of", steps[i].name);
            if (steps[i].function() < 0)
                fail_msg("%s (%s) does not succeed afterwards: %s", steps[i].name, last, strerror(errno));
        }
        for (size_t k = 0; learning && k < PROBES; k++)
            learned[i + 1][k] = look(probes[k].of_copy ? w.copy : w.fd, probes[k].address);
        if (now)
            compare(i + 1, "after", steps[i].name);
    }
    left = -1;
    if (!learning)
        compare(STEPS, "at the end, after", "all");
    polder_params_fini(&w.params);
    assert_ok(close(w.fd));
    assert_ok(close(w.copy));
}

static void every_allocation(void **state)
{
    (void)state;
    for (size_t i = 0; i < PROBES; i++)
        learned[0][i] = NOTHING;
    w.data = make_file(4, 100);
    for (size_t at = 0; at < (size_t)(snippets_end - snippets_begin); at += 8) {
        uint64_t word;
        memcpy(&word, snippets_begin + at, 8);
        set_file_word(w.data, (off_t)at, word);
    }
    set_file_word(w.data, 3 * PAGE, 103);
    pass(-1, true);
    pass(-1, false);
    uint64_t used = polder_memory_used();
    long n = 0, failures = 0;
    do {
        pass(n, false);
        failures += struck;
        if (polder_memory_used() > used)
            fail_msg("failure %ld, of %s: %lu bytes are in use instead of %lu", n, last, polder_memory_used(), used);
        n++;
    } while (struck);
    print_message("%ld of %ld points of failure\n", failures, n);
    assert_true(failures > 0);
    close(w.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation),
    };
    return RUN_GROUP("inject", tests);
}
