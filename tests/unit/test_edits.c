/* SPDX-License-Identifier: MIT */
/* The set of pending edits, against an array of what is pending. Records are the test's own, counted, and can run out.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "edits.h"
#include "hostmem.h"

enum { PAGES = 6, WORDS = PAGES * 512 };

static _Alignas(4096) uint64_t words[WORDS]; /* only their addresses count */

static size_t bytes;
static bool exhausted;

void *record_alloc(size_t size)
{
    if (exhausted)
        return NULL;
    bytes += size;
    return calloc(1, size);
}

void record_free(void *record, size_t size)
{
    if (!record)
        return;
    assert_true(size <= bytes);
    bytes -= size;
    free(record);
}

static struct {
    bool pending[WORDS];
    uint64_t value[WORDS];
    uint32_t count;
} model;

static void check(const struct edits *edits)
{
    assert_int_equal(edits->count, model.count);
    for (int i = 0; i < WORDS; i++) {
        const struct edit *e = edits_find(edits, &words[i]);
        if (!e != !model.pending[i] || (e && (e->entry != &words[i] || e->value != model.value[i])))
            fail_msg("entry %d is %s", i, e ? "wrong or was taken" : "lost");
    }
}

static void put(struct edits *edits, int at, uint64_t value)
{
    edits_put(edits, &words[at], value);
    model.count += !model.pending[at];
    model.pending[at] = true;
    model.value[at] = value;
}

static void drop_page(struct edits *edits, int page)
{
    edits_drop_page(edits, &words[page * 512]);
    for (int i = page * 512; i < (page + 1) * 512; i++) {
        model.count -= model.pending[i];
        model.pending[i] = false;
    }
}

static uint32_t take(struct edits *edits, uint32_t max)
{
    static struct edit list[WORDS + 1];
    assert_true(max <= WORDS);
    list[max] = (struct edit){words, 0x5a5a};
    uint32_t taken = edits_take(edits, list, max);
    assert_int_equal(taken, model.count < max ? model.count : max);
    assert_int_equal(list[max].value, 0x5a5a); /* not a word more than asked for */
    for (uint32_t i = 0; i < taken; i++) {
        size_t at = (size_t)(list[i].entry - words);
        assert_true(at < WORDS && model.pending[at]); /* nothing twice */
        assert_int_equal(list[i].value, model.value[at]);
        model.pending[at] = false;
    }
    model.count -= taken;
    return taken;
}

static void start(struct edits *edits)
{
    memset(&model, 0, sizeof model);
    bytes = 0;
    exhausted = false;
    edits_init(edits);
}

static void end(struct edits *edits)
{
    edits_fini(edits);
    assert_int_equal(bytes, 0);
    assert_int_equal(edits->count, 0);
    assert_null(edits_find(edits, words));
}

static void random_operations(void **state)
{
    (void)state;
    struct edits edits;
    start(&edits);
    srandom(3);
    for (int round = 0; round < 6000; round++) {
        switch (random() % 8) {
        case 0:
            drop_page(&edits, (int)(random() % PAGES));
            break;
        case 1:
            take(&edits, (uint32_t)(random() % 4 ? random() % 20 : random() % WORDS));
            break;
        default: {
            /* Neighbours, as unmapping makes them, and single ones. */
            int from = (int)(random() % WORDS), n = random() % 3 ? 1 + (int)(random() % 4) : (int)(random() % 400);
            if (from + n > WORDS)
                n = WORDS - from;
            assert_true(edits_reserve(&edits, (size_t)n));
            for (int i = 0; i < n; i++)
                put(&edits, from + i, (uint64_t)random());
            break;
        }
        }
        if (round % 4 == 0)
            check(&edits);
    }
    check(&edits);
    end(&edits);
}

/* The last value of an entry counts, and takes no more room. */
static void last_value(void **state)
{
    (void)state;
    struct edits edits;
    start(&edits);
    assert_true(edits_reserve(&edits, 1));
    for (uint64_t i = 0; i < 1000; i++)
        put(&edits, 77, i);
    check(&edits);
    assert_int_equal(edits.count, 1);
    assert_int_equal(bytes, 0); /* few edits need no memory */
    edits_find(&edits, &words[77])->value = 5;
    model.value[77] = 5;
    assert_int_equal(take(&edits, 10), 1);
    assert_int_equal(take(&edits, 10), 0);
    end(&edits);
}

/* All that is there comes out, a few at a time, whatever the order of the places is. */
static void taken_in_parts(void **state)
{
    (void)state;
    struct edits edits;
    start(&edits);
    for (uint32_t part = 1; part < 40; part++) {
        assert_true(edits_reserve(&edits, 700));
        for (int i = 0; i < 700; i++)
            put(&edits, i * 4 % WORDS + i % 3, (uint64_t)i);
        for (uint32_t left = model.count; left > 0;) {
            uint32_t taken = take(&edits, part);
            assert_true(taken > 0);
            left -= taken;
            if (part > 20)
                check(&edits);
        }
        check(&edits);
    }
    end(&edits);
}

/* Reserving without memory changes nothing, and what was reserved can be put without any. */
static void no_memory(void **state)
{
    (void)state;
    struct edits edits;
    start(&edits);
    for (int i = 0; i < 10; i++)
        put(&edits, i, 1);
    exhausted = true;
    assert_false(edits_reserve(&edits, 500));
    check(&edits);
    exhausted = false;
    assert_true(edits_reserve(&edits, 500));
    exhausted = true;
    for (int i = 0; i < 500; i++)
        put(&edits, 1000 + i, 2);
    check(&edits);
    assert_true(edits_reserve(&edits, 0));
    exhausted = false;
    end(&edits);
}

/* A page's edits go, those of the pages beside it stay, its first and last entry included. */
static void only_that_page(void **state)
{
    (void)state;
    static const int amounts[] = {1, 20, 512}; /* few and many are searched in different ways */
    for (size_t a = 0; a < sizeof amounts / sizeof amounts[0]; a++) {
        struct edits edits;
        start(&edits);
        assert_true(edits_reserve(&edits, WORDS));
        for (int page = 0; page < PAGES; page++) {
            put(&edits, page * 512, 1);
            put(&edits, page * 512 + 511, 1);
            for (int i = 0; i < amounts[a]; i++)
                put(&edits, page * 512 + i, 1);
        }
        drop_page(&edits, 2);
        check(&edits);
        drop_page(&edits, 2);
        drop_page(&edits, 0);
        drop_page(&edits, PAGES - 1);
        check(&edits);
        end(&edits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations),
        cmocka_unit_test(last_value),
        cmocka_unit_test(taken_in_parts),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(only_that_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
