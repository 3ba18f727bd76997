/* SPDX-License-Identifier: MIT */
/*
 * Page tables as data, against a list of pages. The tables lie in memory whose every word is scrambled: what reads or
 * writes an entry without asking load and store sees nonsense.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "pagetable.h"

#define PAGE 4096ull
#define LARGE (512 * PAGE)
#define GIB (512 * LARGE)
#define LOWER_HALF (1ull << 47)
#define KEY 0xa5a5a5a5a5a5a5a5ull

/* ---------------------------------------------------------------- where tables lie */

enum { TABLES = 256, TABLES_AT = 0x77 };

static struct {
    uint64_t words[TABLES][512]; /* scrambled */
    uint64_t stored[TABLES][512];
    bool live[TABLES];
    int live_count, allocations_left;
    size_t stores, changes; /* of entries; of present entries */
} memory;

static uint64_t pa_of(int table)
{
    return (uint64_t)(TABLES_AT + table) * PAGE;
}

static int table_of(uint64_t pa)
{
    uint64_t table = pa / PAGE - TABLES_AT;
    if (pa % PAGE || table >= TABLES || !memory.live[table])
        fail_msg("%#lx is no table", (unsigned long)pa);
    return (int)table;
}

static uint64_t *fake_entries(void *opaque, uint64_t pa)
{
    assert_ptr_equal(opaque, &memory);
    return memory.words[table_of(pa)];
}

static uint64_t fake_alloc(void *opaque)
{
    (void)opaque;
    if (memory.allocations_left-- <= 0)
        return 0;
    for (int i = 0; i < TABLES; i++) {
        if (memory.live[i])
            continue;
        memory.live[i] = true;
        memory.live_count++;
        for (int j = 0; j < 512; j++)
            memory.words[i][j] = KEY;
        memset(memory.stored[i], 0, sizeof memory.stored[i]);
        return pa_of(i);
    }
    return 0;
}

static void fake_release(void *opaque, uint64_t pa)
{
    (void)opaque;
    int table = table_of(pa); /* a second release fails here */
    memory.live[table] = false;
    memory.live_count--;
}

static uint64_t fake_load(void *opaque, const uint64_t *entry)
{
    (void)opaque;
    return *entry ^ KEY;
}

static void fake_store(void *opaque, uint64_t *entry, uint64_t value)
{
    (void)opaque;
    size_t at = (size_t)(entry - memory.words[0]);
    if (!memory.live[at / 512])
        fail_msg("a store to a table that was released");
    memory.stores++;
    memory.changes += memory.stored[at / 512][at % 512] & PTE_P;
    memory.stored[at / 512][at % 512] = value;
    *entry = value ^ KEY;
}

static const struct pagetable_ops ops = {fake_entries, fake_alloc, fake_release, fake_load, fake_store};

static struct pagetable new_table(void)
{
    memset(&memory, 0, sizeof memory);
    memory.allocations_left = 1 << 30;
    struct pagetable pt = {.ops = &ops, .opaque = &memory};
    pt.root = fake_alloc(&memory);
    return pt;
}

/* Every live table is linked exactly once, with rights that take nothing away, and no word was changed but by store. */
static int count_linked(uint64_t pa, int level)
{
    const uint64_t *entries = memory.stored[table_of(pa)];
    int count = 1;
    for (int i = 0; i < 512 && level > 1; i++) {
        if (!(entries[i] & PTE_P) || (entries[i] & PTE_PS))
            continue;
        if ((entries[i] & ~PTE_ADDRESS) != (PTE_P | PTE_W | PTE_U | PTE_A))
            fail_msg("a table is linked with %#lx", (unsigned long)entries[i]);
        count += count_linked(entries[i] & PTE_ADDRESS, level - 1);
    }
    return count;
}

static void check_tables(const struct pagetable *pt)
{
    assert_int_equal(count_linked(pt->root, 4), memory.live_count);
    for (int i = 0; i < TABLES; i++) {
        for (int j = 0; j < 512 && memory.live[i]; j++)
            if ((memory.words[i][j] ^ KEY) != memory.stored[i][j])
                fail_msg("an entry was written to behind the user's back");
    }
}

/* ---------------------------------------------------------------- the model */

/* Clusters of pages around the boundaries of tables of every level. */
enum { CLUSTERS = 4, CLUSTER_PAGES = 3 * 512 };
static const uint64_t cluster_at[CLUSTERS] = {
    0, GIB - LARGE - 300 * PAGE, 512 * GIB - LARGE - 17 * PAGE, LOWER_HALF - CLUSTER_PAGES *PAGE};

static struct model_page {
    bool present, large;
    uint64_t entry; /* address and rights, of this very page */
} model[CLUSTERS][CLUSTER_PAGES];

static bool contains(uint64_t start, uint64_t end, uint64_t at, uint64_t span)
{
    at &= ~(span - 1);
    return start <= at && at + span <= end;
}

static bool cuts(uint64_t start, uint64_t end, uint64_t at)
{
    at &= ~(LARGE - 1);
    return start < at + LARGE && at < end && !contains(start, end, at, LARGE);
}

static void model_unmap(uint64_t start, uint64_t end)
{
    for (int c = 0; c < CLUSTERS; c++) {
        for (int i = 0; i < CLUSTER_PAGES; i++) {
            uint64_t at = cluster_at[c] + (uint64_t)i * PAGE;
            struct model_page *p = &model[c][i];
            if ((at >= start && at < end) || (p->large && cuts(start, end, at)))
                p->present = p->large = false;
        }
    }
}

static void model_protect(uint64_t start, uint64_t end, uint64_t rights)
{
    for (int c = 0; c < CLUSTERS; c++) {
        for (int i = 0; i < CLUSTER_PAGES; i++) {
            uint64_t at = cluster_at[c] + (uint64_t)i * PAGE;
            struct model_page *p = &model[c][i];
            if (!p->present)
                continue;
            bool gone =
                p->large ? cuts(start, end, at) || contains(start, end, at, GIB) : contains(start, end, at, LARGE);
            if (gone)
                p->present = p->large = false;
            else if (at >= start && at < end)
                p->entry = (p->entry & PTE_ADDRESS) | rights;
        }
    }
}

static void model_map(int c, int from, int to, uint64_t pa, uint64_t rights, bool huge)
{
    uint64_t start = cluster_at[c] + (uint64_t)from * PAGE, end = cluster_at[c] + (uint64_t)to * PAGE;
    model_unmap(start, end);
    for (int i = from; i < to; i++) {
        uint64_t at = cluster_at[c] + (uint64_t)i * PAGE, page_pa = pa + (at - start);
        model[c][i] = (struct model_page){.present = true,
            .large = huge && contains(start, end, at, LARGE) && (page_pa - at) % LARGE == 0,
            .entry = page_pa | rights};
    }
}

static void check_model(const struct pagetable *pt)
{
    for (int c = 0; c < CLUSTERS; c++) {
        for (int i = 0; i < CLUSTER_PAGES; i++) {
            uint64_t at = cluster_at[c] + (uint64_t)i * PAGE, size = 0;
            const struct model_page *p = &model[c][i];
            uint64_t entry = pagetable_lookup(pt, at + (uint64_t)i % PAGE, &size), wanted = 0;
            if (p->present) {
                wanted = p->entry | PTE_P | PTE_A | PTE_D;
                if (p->large)
                    wanted = (wanted & ~(at % LARGE)) | PTE_PS;
            }
            if (entry != wanted || (entry && size != (p->large ? LARGE : PAGE)))
                fail_msg("at %#lx is %#lx of %#lx bytes and not %#lx", (unsigned long)at, (unsigned long)entry,
                    (unsigned long)size, (unsigned long)wanted);
        }
    }
}

static uint64_t random_rights(void)
{
    static const uint64_t rights[] = {0, PTE_U, PTE_U | PTE_W, PTE_U | PTE_NX, PTE_U | PTE_W | PTE_NX, PTE_W};
    return rights[(unsigned)random() % (sizeof rights / sizeof rights[0])];
}

/* Mostly a part of a cluster, often at the edge of a table. */
static int random_page(int c)
{
    int page = (int)((unsigned)random() % CLUSTER_PAGES);
    if (random() % 3 == 0) {
        uint64_t at = cluster_at[c] + (uint64_t)page * PAGE;
        int aligned = page - (int)(at % LARGE / PAGE);
        page = aligned < 0 ? 0 : aligned;
    }
    return page;
}

static void random_operations(void **state)
{
    (void)state;
    struct pagetable pt = new_table();
    memset(model, 0, sizeof model);
    srandom(7);
    for (int round = 0; round < 1500; round++) {
        int c = (int)((unsigned)random() % CLUSTERS), from = random_page(c), to = random_page(c);
        if (from > to) {
            int swap = from;
            from = to;
            to = swap;
        }
        if (random() % 8 == 0)
            to = CLUSTER_PAGES;
        uint64_t start = cluster_at[c] + (uint64_t)from * PAGE, end = cluster_at[c] + (uint64_t)to * PAGE;
        uint64_t rights = random_rights();
        memory.changes = memory.stores = 0;
        if (random() % 2) {
            uint64_t pa = (uint64_t)(random() % 1024) * LARGE + start % LARGE;
            bool huge = random() % 2;
            if (random() % 3 == 0)
                pa += 5 * PAGE;
            assert_true(pagetable_map(&pt, start, end, pa, rights, huge));
            model_map(c, from, to, pa, rights, huge);
        } else {
            if (random() % 16 == 0) {
                int far = c + (int)((unsigned)random() % (unsigned)(CLUSTERS - c));
                end = cluster_at[far] + (uint64_t)random_page(far) * PAGE;
                end = end < start ? start : end;
            }
            bool protect = random() % 2;
            bool changed = protect ? pagetable_protect(&pt, start, end, rights) : pagetable_unmap(&pt, start, end);
            assert_int_equal(memory.stores, memory.changes); /* neither maps anything */
            assert_int_equal(changed, memory.changes > 0);
            if (start < end && memory.changes > pagetable_edits(start, end))
                fail_msg("%zu changes, and %zu were announced", memory.changes, pagetable_edits(start, end));
            if (protect)
                model_protect(start, end, rights);
            else
                model_unmap(start, end);
        }
        check_tables(&pt);
        check_model(&pt);
    }
    pagetable_unmap(&pt, 0, LOWER_HALF);
    assert_int_equal(memory.live_count, 1);
    pagetable_destroy(&pt);
    assert_int_equal(memory.live_count, 0);
}

/* Nothing changes when what is there already is asked for again: no edit, no flush. */
static void the_same_again(void **state)
{
    (void)state;
    struct pagetable pt = new_table();
    assert_true(pagetable_map(&pt, LARGE - 3 * PAGE, 2 * LARGE + PAGE, LARGE - 3 * PAGE, PTE_U, true));
    memory.stores = 0;
    assert_true(pagetable_map(&pt, LARGE - 3 * PAGE, 2 * LARGE + PAGE, LARGE - 3 * PAGE, PTE_U, true));
    assert_false(pagetable_protect(&pt, LARGE - 3 * PAGE, LARGE, PTE_U));
    assert_false(pagetable_protect(&pt, LARGE, 2 * LARGE, PTE_U));
    assert_false(pagetable_unmap(&pt, 3 * LARGE, LOWER_HALF));
    assert_false(pagetable_unmap(&pt, LARGE, LARGE));
    assert_true(pagetable_map(&pt, LARGE, LARGE, 0, PTE_U, true));
    assert_int_equal(memory.stores, 0);
    pagetable_destroy(&pt);
}

/* The worst cases of one entry per page: what was announced is what is needed, not less. */
static void announced_edits(void **state)
{
    (void)state;
    struct pagetable pt = new_table();
    assert_true(pagetable_map(&pt, GIB - LARGE, GIB + LARGE, 0, PTE_U, false));
    memory.changes = 0;
    assert_true(pagetable_protect(&pt, GIB - 511 * PAGE, GIB + 511 * PAGE, PTE_U | PTE_W));
    assert_int_equal(memory.changes, 2 * 511);
    assert_true(pagetable_edits(GIB - 511 * PAGE, GIB + 511 * PAGE) >= 2 * 511);
    assert_true(pagetable_edits(5 * PAGE, 6 * PAGE) >= 1);
    /* However much is unmapped, room for it can be had. */
    assert_true(pagetable_edits(PAGE, LOWER_HALF - PAGE) <= 4 * 1024);
    pagetable_destroy(&pt);
}

/* Without memory for a table page a prefix is mapped, the rest is as it was, and nothing is lost. */
static void no_memory_for_tables(void **state)
{
    (void)state;
    const uint64_t start = GIB - 3 * PAGE, end = GIB + LARGE + 2 * PAGE;
    for (int allowed = 0;; allowed++) {
        struct pagetable pt = new_table();
        uint64_t size;
        bool before = true;
        memory.allocations_left = allowed;
        bool done = pagetable_map(&pt, start, end, 16 * GIB, PTE_U, false);
        for (uint64_t at = start; at < end; at += PAGE) {
            uint64_t entry = pagetable_lookup(&pt, at, &size);
            if (entry)
                assert_int_equal(entry & PTE_ADDRESS, 16 * GIB + at - start);
            assert_true(before || !entry);
            before = entry != 0;
        }
        assert_int_equal(before, done);
        check_tables(&pt);
        pagetable_destroy(&pt);
        assert_int_equal(memory.live_count, 0);
        if (done) {
            assert_int_equal(allowed, 6); /* a level 3; on each side of the gibibyte a level 2; three of level 1 */
            break;
        }
        assert_true(allowed < 6);
    }
}

/* The upper half of a root is somebody else's, whatever is in it. */
static void upper_half_is_left_alone(void **state)
{
    (void)state;
    struct pagetable pt = new_table();
    uint64_t *root = fake_entries(&memory, pt.root);
    for (int i = 256; i < 512; i++)
        fake_store(&memory, &root[i], 0xdead000 | PTE_P | PTE_W);
    assert_true(pagetable_map(&pt, LOWER_HALF - PAGE, LOWER_HALF, 0, PTE_U, false));
    assert_true(pagetable_unmap(&pt, 0, UINT64_MAX & ~(PAGE - 1)));
    assert_true(pagetable_map(&pt, LOWER_HALF - 3 * PAGE, LOWER_HALF, 0, PTE_U, false));
    assert_true(pagetable_protect(&pt, LOWER_HALF - PAGE, LOWER_HALF + 8 * PAGE, PTE_U | PTE_NX));
    for (int i = 256; i < 512; i++)
        assert_int_equal(root[i] ^ KEY, 0xdead000 | PTE_P | PTE_W);
    memory.stores = 0;
    pagetable_destroy(&pt);
    assert_int_equal(memory.live_count, 0);
    assert_int_equal(memory.stores, 0); /* somebody may still have it in CR3, and nobody carries out edits for it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations),
        cmocka_unit_test(the_same_again),
        cmocka_unit_test(announced_edits),
        cmocka_unit_test(no_memory_for_tables),
        cmocka_unit_test(upper_half_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
