/* SPDX-License-Identifier: MIT */
/* What is mapped where, against an array of pages. Files and records are the test's own and are counted. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "file.h"
#include "hostmem.h"
#include "region.h"

#define PAGE 4096ull
enum { PAGES = 96, FILES = 3 };

struct file {
    int holds;
};

static struct file files[FILES];
static size_t records;
static bool exhausted;

void file_hold(struct file *file)
{
    file->holds++;
}

void file_drop(struct file *file)
{
    assert_true(file->holds > 0);
    file->holds--;
}

void *record_alloc(size_t size)
{
    if (exhausted)
        return NULL;
    records++;
    return calloc(1, size);
}

void record_free(void *record, size_t size)
{
    (void)size;
    assert_true(records > 0);
    records--;
    free(record);
}

/* What a page is mapped to; no two pages of a region are the same if it has a file. */
struct page {
    bool mapped;
    struct file *file;
    uint64_t offset;
    uint8_t kind, prot;
    bool privileged, file_writable;
};

static struct page model[PAGES];

static bool same(const struct page *a, const struct page *b)
{
    return a->mapped == b->mapped && a->file == b->file && a->offset == b->offset && a->kind == b->kind &&
           a->prot == b->prot && a->privileged == b->privileged && a->file_writable == b->file_writable;
}

static struct page page_of(const struct region *r, uint64_t address)
{
    return (struct page){.mapped = true,
        .file = r->file,
        .offset = r->file ? r->offset + (address - r->start) : 0,
        .kind = r->kind,
        .prot = r->prot,
        .privileged = r->privileged,
        .file_writable = r->file_writable};
}

/* Intervals in order, not empty, that show each page what it is mapped to; and the files are held by nothing else. */
static void check(struct regions *regions)
{
    int holds[FILES] = {0};
    uint64_t last = 0, count = 0;
    for (struct region *r = region_at_or_after(regions, 0); r; r = region_next(r)) {
        assert_true(r->start < r->end && r->start >= last && r->end <= PAGES * PAGE);
        last = r->end;
        count++;
        if (r->file)
            holds[r->file - files]++;
    }
    assert_int_equal(count, regions->count);
    assert_int_equal(records, count + regions->spares);
    for (int i = 0; i < FILES; i++)
        assert_int_equal(files[i].holds, holds[i]);
    for (uint64_t i = 0; i < PAGES; i++) {
        struct region *r = region_find(regions, i * PAGE + 9), *next = region_at_or_after(regions, i * PAGE);
        struct page page = {0};
        if (r)
            page = page_of(r, i * PAGE);
        if (!same(&page, &model[i]))
            fail_msg("page %d is not what it was mapped to", (int)i);
        uint64_t at = i;
        while (at < PAGES && !model[at].mapped)
            at++;
        if (at == PAGES)
            assert_null(next);
        else
            assert_true(next && next->start <= at * PAGE && next->end > at * PAGE);
    }
}

static bool continues(const struct page *left, const struct page *right)
{
    struct page next = *left;
    next.offset += left->file ? PAGE : 0;
    return left->mapped && same(&next, right);
}

/* As few regions as there can be. */
static void check_joined(struct regions *regions)
{
    uint64_t runs = 0;
    for (int i = 0; i < PAGES; i++)
        runs += model[i].mapped && !(i > 0 && continues(&model[i - 1], &model[i]));
    assert_int_equal(regions->count, runs);
}

static void start(struct regions *regions)
{
    memset(model, 0, sizeof model);
    memset(files, 0, sizeof files);
    records = 0;
    exhausted = false;
    regions_init(regions);
}

static void end(struct regions *regions)
{
    regions_fini(regions);
    assert_int_equal(records, 0);
    for (int i = 0; i < FILES; i++)
        assert_int_equal(files[i].holds, 0);
}

/* After reserving, no memory may be asked for. */
static void reserve(struct regions *regions, uint32_t n)
{
    exhausted = false;
    assert_true(regions_reserve(regions, n));
    exhausted = true;
}

static void remove_pages(struct regions *regions, int from, int to)
{
    reserve(regions, 2);
    regions_remove(regions, (uint64_t)from * PAGE, (uint64_t)to * PAGE);
    memset(&model[from], 0, (size_t)(to - from) * sizeof model[0]);
}

static void add(struct regions *regions, int from, int to, const struct region *like)
{
    struct region r = *like;
    r.start = (uint64_t)from * PAGE;
    r.end = (uint64_t)to * PAGE;
    reserve(regions, 1);
    regions_add(regions, &r);
    for (int i = from; i < to; i++)
        model[i] = page_of(&r, (uint64_t)i * PAGE);
}

/* Few kinds of region, so that neighbours often continue each other; offsets that fit at every address. */
static struct region random_region(int from)
{
    struct region r = {.kind = (uint8_t)(random() % 3), .prot = random() % 2 ? PROT_READ : PROT_READ | PROT_WRITE};
    if (r.kind != REGION_ANONYMOUS) {
        r.file = &files[random() % FILES];
        r.offset = (uint64_t)(from + (random() % 4 ? 0 : 7)) * PAGE;
        r.file_writable = random() % 8 == 0;
    }
    r.privileged = random() % 16 == 0;
    return r;
}

static void random_operations(void **state)
{
    (void)state;
    struct regions regions;
    start(&regions);
    srandom(11);
    for (int round = 0; round < 8000; round++) {
        int from = (int)(random() % PAGES), to = from + 1 + (int)(random() % 12);
        to = to > PAGES ? PAGES : to;
        switch (random() % 4) {
        case 0:
            remove_pages(&regions, from, to);
            break;
        case 1: { /* protect: cut out, change, join */
            reserve(&regions, 2);
            regions_split(&regions, (uint64_t)from * PAGE);
            regions_split(&regions, (uint64_t)to * PAGE);
            check(&regions);
            uint8_t prot = random() % 2 ? PROT_READ : PROT_READ | PROT_WRITE;
            struct region *r = region_at_or_after(&regions, (uint64_t)from * PAGE);
            for (; r && r->start < (uint64_t)to * PAGE; r = region_next(r))
                r->prot = prot;
            for (int i = from; i < to; i++)
                if (model[i].mapped)
                    model[i].prot = prot;
            regions_join(&regions, (uint64_t)from * PAGE, (uint64_t)to * PAGE);
            break;
        }
        default: {
            struct region like = random_region(from);
            remove_pages(&regions, from, to);
            add(&regions, from, to, &like);
        }
        }
        check(&regions);
        check_joined(&regions);
        bool whole = true;
        for (int i = from; i < to; i++)
            whole &= model[i].mapped;
        assert_int_equal(regions_cover(&regions, (uint64_t)from * PAGE, (uint64_t)to * PAGE), whole);
    }
    end(&regions);
}

/* The highest hole that is large enough: with the hint of the last answer or without it. */
static void gaps(void **state)
{
    (void)state;
    struct regions regions;
    start(&regions);
    srandom(5);
    const struct region like = {.kind = REGION_ANONYMOUS, .prot = PROT_READ};
    for (int round = 0; round < 4000; round++) {
        int from = (int)(random() % PAGES), to = from + 1 + (int)(random() % 8);
        to = to > PAGES ? PAGES : to;
        remove_pages(&regions, from, to);
        if (random() % 2)
            add(&regions, from, to, &like);
        int size = 1 + (int)(random() % 10), below = (int)(random() % 3 ? PAGES : random() % PAGES + 1),
            above = (int)(random() % 3 ? 1 : 1 + random() % 20);
        int highest = 0;
        for (int at = below - size; at >= above && !highest; at--) {
            int free_pages = 0;
            while (free_pages < size && !model[at + free_pages].mapped)
                free_pages++;
            if (free_pages == size)
                highest = at;
        }
        uint64_t gap = regions_gap(&regions, (uint64_t)size * PAGE, (uint64_t)below * PAGE, (uint64_t)above * PAGE);
        /* With a hint from another question the answer may lie lower, but it is a hole, and none only if there is
         * none. */
        if (!gap != !highest || gap / PAGE > (uint64_t)highest)
            fail_msg("a hole at page %lu and not %d", (unsigned long)(gap / PAGE), highest);
        for (int i = 0; gap && i < size; i++)
            assert_false(model[gap / PAGE + (uint64_t)i].mapped);
        assert_true(!gap || gap >= (uint64_t)above * PAGE);
        uint64_t hint = regions.gap_hint;
        regions.gap_hint = 0;
        gap = regions_gap(&regions, (uint64_t)size * PAGE, (uint64_t)below * PAGE, (uint64_t)above * PAGE);
        assert_int_equal(gap, (uint64_t)highest * PAGE);
        regions.gap_hint = hint;
    }
    end(&regions);
}

/* Mapping from the top, as most programs do, and unmapping what is in between: holes are found again. */
static void gaps_from_the_top(void **state)
{
    (void)state;
    struct regions regions;
    start(&regions);
    for (int i = PAGES - 2; i >= 1; i -= 2) {
        uint64_t gap = regions_gap(&regions, 2 * PAGE, PAGES * PAGE, PAGE);
        assert_int_equal(gap, (uint64_t)i * PAGE);
        struct region like = {.kind = (uint8_t)(i / 2 % 2), .prot = PROT_READ, .file = i / 2 % 2 ? &files[0] : NULL};
        add(&regions, i, i + 2, &like);
        if (i == 40) { /* there is room below, but what was given back above is taken first */
            remove_pages(&regions, 70, 72);
            assert_int_equal(regions_gap(&regions, 2 * PAGE, PAGES * PAGE, PAGE), 70 * PAGE);
            add(&regions, 70, 72, &like);
        }
    }
    assert_int_equal(regions_gap(&regions, 2 * PAGE, PAGES * PAGE, PAGE), 0);
    remove_pages(&regions, 50, 52);
    remove_pages(&regions, 70, 73);
    assert_int_equal(regions_gap(&regions, 2 * PAGE, PAGES * PAGE, PAGE), 71 * PAGE);
    assert_int_equal(regions_gap(&regions, 4 * PAGE, PAGES * PAGE, PAGE), 0);
    assert_int_equal(regions_gap(&regions, 2 * PAGE, 71 * PAGE, PAGE), 50 * PAGE);
    end(&regions);
}

/* What lies beside each other is one region only if nothing tells the two apart. */
static void joins(void **state)
{
    (void)state;
    const struct region base = {.kind = REGION_FILE_SHARED, .prot = PROT_READ, .file = &files[0], .offset = 4 * PAGE};
    struct region other[6] = {base, base, base, base, base, base};
    other[0].kind = REGION_FILE_PRIVATE;
    other[1].prot = PROT_READ | PROT_EXEC;
    other[2].file = &files[1];
    other[3].privileged = true;
    other[4].file_writable = true;
    other[5].offset = PAGE; /* not what follows */
    for (int i = 0; i < 6; i++) {
        struct regions regions;
        start(&regions);
        add(&regions, 4, 6, &base);
        other[i].offset += i == 5 ? 0 : 2 * PAGE;
        add(&regions, 6, 8, &other[i]);
        assert_int_equal(regions.count, 2);
        struct region before = base;
        before.offset = 2 * PAGE;
        add(&regions, 2, 4, &before);
        assert_int_equal(regions.count, 2);
        check(&regions);
        remove_pages(&regions, 6, 8);
        struct region after = base;
        after.offset = 8 * PAGE;
        add(&regions, 8, 9, &after);
        assert_int_equal(regions.count, 2);
        after.offset = 6 * PAGE;
        add(&regions, 6, 8, &after);
        assert_int_equal(regions.count, 1);
        assert_int_equal(files[0].holds, 1);
        check(&regions);
        end(&regions);
    }
}

static void edges(void **state)
{
    (void)state;
    struct regions regions;
    start(&regions);
    assert_null(region_find(&regions, 0));
    assert_null(region_at_or_after(&regions, 0));
    assert_false(regions_cover(&regions, PAGE, 2 * PAGE));
    exhausted = true;
    assert_false(regions_reserve(&regions, 1));
    const struct region like = {.kind = REGION_ANONYMOUS};
    add(&regions, 2, 4, &like);
    add(&regions, 6, 8, &like);
    assert_null(region_find(&regions, 2 * PAGE - 1));
    assert_non_null(region_find(&regions, 2 * PAGE));
    assert_non_null(region_find(&regions, 4 * PAGE - 1));
    assert_null(region_find(&regions, 4 * PAGE));
    assert_int_equal(region_at_or_after(&regions, 4 * PAGE)->start, 6 * PAGE);
    assert_true(regions_cover(&regions, 2 * PAGE, 4 * PAGE));
    assert_true(regions_cover(&regions, 3 * PAGE, 3 * PAGE + 1));
    assert_false(regions_cover(&regions, 2 * PAGE, 4 * PAGE + 1));
    assert_false(regions_cover(&regions, 2 * PAGE, 8 * PAGE));
    reserve(&regions, 2);
    regions_split(&regions, 2 * PAGE);
    regions_split(&regions, 4 * PAGE);
    regions_split(&regions, 5 * PAGE);
    assert_int_equal(regions.count, 2);
    regions_split(&regions, 3 * PAGE);
    assert_int_equal(regions.count, 3);
    assert_true(regions_cover(&regions, 2 * PAGE, 4 * PAGE));
    regions_join(&regions, 3 * PAGE, 3 * PAGE);
    assert_int_equal(regions.count, 2);
    check(&regions);
    end(&regions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations),
        cmocka_unit_test(gaps),
        cmocka_unit_test(gaps_from_the_top),
        cmocka_unit_test(joins),
        cmocka_unit_test(edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
