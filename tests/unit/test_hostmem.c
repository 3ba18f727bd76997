/* SPDX-License-Identifier: MIT */
/*
 * The library's own memory: records are zeroed, whole and apart from each other, and every byte that is the library's
 * is known as such. With memory of its own and with an embedder's, for which there is a process each.
 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostmem.h"

#define PAGE 4096ul

#ifdef __SANITIZE_ADDRESS__
#define ADDRESS_SANITIZER 1
#else
#define ADDRESS_SANITIZER 0
#endif

/* In a child of its own, where CMocka must not come. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

static void in_child(void (*check)(void))
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        check();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static size_t random_size(void)
{
    switch (random() % 16) {
    case 0:
        return 1 + (size_t)random() % (1 << 20);
    case 1:
    case 2:
        return 1 + (size_t)random() % (128 << 10);
    case 3:
        return (size_t)1 << (5 + random() % 13); /* a class exactly */
    default:
        return 1 + (size_t)random() % 3000;
    }
}

/* Every record is filled with its own byte and looked at again before it goes: overlaps show, at whichever end. */
static void use_records(void)
{
    enum { RECORDS = 300 };
    static struct {
        unsigned char *at;
        size_t size;
    } records[RECORDS];
    size_t bytes = 0;
    for (int round = 0; round < 6000; round++) {
        int i = (int)(random() % RECORDS);
        if (records[i].at) {
            for (size_t j = 0; j < records[i].size; j++)
                CHECK(records[i].at[j] == (unsigned char)(i + 1));
            record_free(records[i].at, records[i].size);
            bytes -= records[i].size;
            records[i].at = NULL;
        } else {
            size_t size = random_size();
            unsigned char *at = record_alloc(size);
            CHECK(at && (uintptr_t)at % 16 == 0);
            CHECK(hostmem_overlaps((uintptr_t)at, 1));
            CHECK(hostmem_overlaps((uintptr_t)at + size - 1, 1));
            for (size_t j = 0; j < size; j++)
                CHECK(at[j] == 0);
            memset(at, i + 1, size);
            records[i].at = at;
            records[i].size = size;
            bytes += size;
        }
        CHECK(record_bytes() == bytes);
    }
    for (int i = 0; i < RECORDS; i++) {
        record_free(records[i].at, records[i].size);
        records[i].at = NULL;
    }
    CHECK(record_bytes() == 0);
    record_free(NULL, 0);
    CHECK(record_bytes() == 0);
}

static const struct polder_allocator nonsense[] = {{NULL, NULL, NULL}};

static void check_own_memory(void)
{
    CHECK(hostmem_init() == 0);
    char *base = hostmem.all.base;
    CHECK(hostmem_init() == 0 && hostmem.all.base == base); /* once */
    use_records();
    CHECK(record_set_allocator(&nonsense[0]) == -EINVAL);
    struct polder_allocator late = {
        (void *(*)(size_t, void *))(void *)1, (void (*)(void *, size_t, void *))(void *)1, NULL};
    CHECK(record_set_allocator(&late) == -EBUSY);
    void *record = record_alloc(100);
    CHECK((char *)record >= hostmem.records.base && (char *)record < hostmem.records.base + hostmem.records.size);
    record_free(record, 100);
    CHECK(!record_alloc((size_t)1 << 45));
    CHECK(record_bytes() == 0);
}

static void own_memory(void **state)
{
    (void)state;
    in_child(check_own_memory);
}

/* A large record that is not used costs nothing, and one that is given back gives its pages back. */
static void check_pages_go_back(void)
{
    const size_t size = 64 << 20;
    unsigned char resident[1];
    char *record = record_alloc(size);
    CHECK(record && (uintptr_t)record % PAGE == 0);
    CHECK(mincore(record + size / 2, PAGE, resident) == 0 && !(resident[0] & 1));
    memset(record, 1, size);
    CHECK(mincore(record + size / 2, PAGE, resident) == 0 && (resident[0] & 1));
    record_free(record, size);
    CHECK(mincore(record + size / 2, PAGE, resident) == 0 && !(resident[0] & 1));
    char *again = record_alloc(size);
    CHECK(again == record);
    for (size_t i = 0; i < size; i += 61)
        CHECK(again[i] == 0);
    record_free(again, size);
}

static void pages_go_back(void **state)
{
    (void)state;
    in_child(check_pages_go_back);
}

static struct {
    size_t out, blocks;
    bool exhausted;
} embedder;

static void *embedder_alloc(size_t size, void *opaque)
{
    CHECK(opaque == &embedder && size && size % PAGE == 0);
    if (embedder.exhausted)
        return NULL;
    void *block = aligned_alloc(PAGE, size);
    memset(block, 0x77, size);
    embedder.out += size;
    embedder.blocks++;
    return block;
}

static void embedder_free(void *block, size_t size, void *opaque)
{
    CHECK(opaque == &embedder && size % PAGE == 0 && (uintptr_t)block % PAGE == 0);
    embedder.out -= size;
    embedder.blocks--;
    memset(block, 0x78, size);
    free(block);
}

static void check_embedders_memory(void)
{
    struct polder_allocator allocator = {embedder_alloc, embedder_free, &embedder};
    CHECK(record_set_allocator(&nonsense[0]) == -EINVAL && record_set_allocator(NULL) == -EINVAL);
    CHECK(record_set_allocator(&allocator) == 0);
    allocator = nonsense[0]; /* it was copied */
    use_records();
    CHECK(embedder.blocks > 0);
    /* Small ones are kept for the next use; large ones go back at once. */
    size_t kept = embedder.out;
    char *record = record_alloc(1 << 20);
    CHECK(record && embedder.out > kept);
    CHECK(hostmem_overlaps((uintptr_t)record, 1) && hostmem_overlaps((uintptr_t)record + (1 << 20) - 1, 1));
    CHECK(hostmem_overlaps((uintptr_t)record - 1, 2) && !hostmem_overlaps((uintptr_t)record, 0));
    record_free(record, 1 << 20);
    CHECK(embedder.out == kept);
    embedder.exhausted = true;
    CHECK(!record_alloc(1 << 20));
    CHECK(record_bytes() == 0);
    void *some[4000];
    size_t n = 0;
    while (n < 4000 && (some[n] = record_alloc(4000)))
        n++;
    CHECK(n < 4000);
    CHECK(record_bytes() == n * 4000);
    embedder.exhausted = false;
    CHECK((some[n] = record_alloc(4000)));
    for (size_t i = 0; i <= n; i++)
        record_free(some[i], 4000);
    CHECK(record_bytes() == 0);
}

static void embedders_memory(void **state)
{
    (void)state;
    in_child(check_embedders_memory);
}

static void check_overlaps(void)
{
    static int ordinary;
    int local;
    void *heap = malloc(10);
    CHECK(!hostmem_overlaps((uintptr_t)&ordinary, sizeof ordinary));
    CHECK(hostmem_overlaps((uintptr_t)&hostmem, 1)); /* before there is a reservation */
    CHECK(hostmem_init() == 0);
    uint64_t base = (uintptr_t)hostmem.all.base, end = base + hostmem.all.size;
    CHECK(!hostmem_overlaps((uintptr_t)&ordinary, sizeof ordinary));
    CHECK(!hostmem_overlaps((uintptr_t)&local, sizeof local));
    CHECK(!hostmem_overlaps((uintptr_t)heap, 10));
    CHECK(!hostmem_overlaps((uintptr_t)check_overlaps, 1));
    CHECK(hostmem_overlaps((uintptr_t)&hostmem, 1) && hostmem_overlaps((uintptr_t)&locks, sizeof locks));
    CHECK(hostmem_overlaps(base, 1) && hostmem_overlaps(end - 1, 1) && hostmem_overlaps(base, hostmem.all.size));
    CHECK(!hostmem_overlaps(base - 1, 1) && !hostmem_overlaps(end, 1));
    CHECK(hostmem_overlaps(base - 1, 2) && hostmem_overlaps(end - 1, 2));
    CHECK(hostmem_overlaps(0, UINT64_MAX) && hostmem_overlaps(UINT64_MAX - 1, 4)); /* wraps: surely not the caller's */
    CHECK(!hostmem_overlaps(base + 5, 0));
    /* Its parts are in it, apart, and begin where a window may. */
    const struct hostmem_area *parts[] = {&hostmem.tables, &hostmem.frames, &hostmem.files, &hostmem.records};
    for (int i = 0; i < 4; i++) {
        uint64_t at = (uintptr_t)parts[i]->base;
        CHECK(parts[i]->size && at >= base && at + parts[i]->size <= end && at % WINDOW_SIZE == 0 &&
              parts[i]->size % WINDOW_SIZE == 0);
        for (int j = 0; j < i; j++)
            CHECK(at >= (uintptr_t)parts[j]->base + parts[j]->size || at + parts[i]->size <= (uintptr_t)parts[j]->base);
    }
    free(heap);
}

static void overlaps(void **state)
{
    (void)state;
    in_child(check_overlaps);
}

static void check_little_address_space(void)
{
    const struct rlimit some = {12ul << 30, 12ul << 30}, none = {64ul << 20, 64ul << 20};
    struct rlimit unlimited;
    CHECK(getrlimit(RLIMIT_AS, &unlimited) == 0);
    struct rlimit low = {none.rlim_cur, unlimited.rlim_max};
    CHECK(setrlimit(RLIMIT_AS, &low) == 0);
    CHECK(hostmem_init() == -ENOMEM && !hostmem.all.base);
    CHECK(!record_alloc(100) && record_bytes() == 0);
    low.rlim_cur = some.rlim_cur;
    CHECK(setrlimit(RLIMIT_AS, &low) == 0);
    CHECK(hostmem_init() == 0);
    CHECK(hostmem.all.size >= 32 * WINDOW_SIZE && hostmem.all.size <= some.rlim_cur);
    use_records();
}

static void little_address_space(void **state)
{
    (void)state;
    if (ADDRESS_SANITIZER)
        skip(); /* its shadow is far over every limit */
    in_child(check_little_address_space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_memory),
        cmocka_unit_test(pages_go_back),
        cmocka_unit_test(embedders_memory),
        cmocka_unit_test(overlaps),
        cmocka_unit_test(little_address_space),
    };
    srandom(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
