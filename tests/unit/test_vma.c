/* SPDX-License-Identifier: MIT */
/* The record of the program's memory, against a plain array of pages. */
#include "unit.h"

#include <stdlib.h>

#include "linux/vma.h"

#define PAGE 4096u
#define PAGES 64

static struct vma_list list;

static void set(unsigned from, unsigned to, int prot)
{
    assert_true(vma_reserve(&list));
    vma_set(&list, from * PAGE, to * PAGE, prot);
}

static void clear(unsigned from, unsigned to)
{
    assert_true(vma_reserve(&list));
    vma_clear(&list, from * PAGE, to * PAGE);
}

static void joins(void **state)
{
    (void)state;
    set(1, 2, 3);
    set(3, 4, 3);
    assert_int_equal(list.count, 2);
    set(2, 3, 3);
    assert_int_equal(list.count, 1);
    set(2, 3, 1);
    assert_int_equal(list.count, 3);
    set(2, 3, 3);
    assert_int_equal(list.count, 1);
    set(5, 5, 3);
    assert_int_equal(list.count, 1);
    clear(0, PAGES);
    assert_int_equal(list.count, 0);
    assert_null(vma_find(&list, 0));
    vma_free(&list);
}

static void covered(void **state)
{
    (void)state;
    set(2, 4, 1);
    set(4, 6, 3);
    set(8, 9, 3);
    assert_int_equal(vma_covered(&list, 2 * PAGE, 6 * PAGE), 6 * PAGE);
    assert_int_equal(vma_covered(&list, 3 * PAGE, 9 * PAGE), 6 * PAGE);
    assert_int_equal(vma_covered(&list, 1 * PAGE, 6 * PAGE), 1 * PAGE);
    assert_int_equal(vma_covered(&list, 3 * PAGE, 4 * PAGE), 4 * PAGE);
    assert_int_equal(vma_covered(&list, 9 * PAGE, 9 * PAGE), 9 * PAGE);
    vma_free(&list);
}

static void random_changes(void **state)
{
    (void)state;
    int model[PAGES];
    for (unsigned i = 0; i < PAGES; i++)
        model[i] = -1;
    srandom(1);
    for (unsigned round = 0; round < 100000; round++) {
        unsigned from = (unsigned)random() % PAGES, to = from + 1 + (unsigned)random() % (PAGES - from);
        int prot = (int)(random() % 4) - 1;
        if (prot < 0)
            clear(from, to);
        else
            set(from, to, prot);
        for (unsigned i = from; i < to; i++)
            model[i] = prot;
        uint64_t last = 0;
        for (size_t i = 0; i < list.count; i++) {
            const struct vma *v = &list.v[i];
            assert_true(v->start < v->end && v->start >= last);
            if (i > 0 && v->start == last)
                assert_int_not_equal(v->prot, list.v[i - 1].prot);
            last = v->end;
        }
        for (unsigned i = 0; i < PAGES; i++) {
            const struct vma *v = vma_find(&list, i * PAGE + 5);
            assert_int_equal(v && v->start <= i * PAGE ? v->prot : -1, model[i]);
        }
        unsigned end = from;
        while (end < PAGES && model[end] >= 0)
            end++;
        assert_int_equal(vma_covered(&list, from * PAGE, PAGES * PAGE), end * PAGE);
    }
    vma_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins),
        cmocka_unit_test(covered),
        cmocka_unit_test(random_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
