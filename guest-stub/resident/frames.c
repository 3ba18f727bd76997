/* SPDX-License-Identifier: MIT */
#include "frames.h"
#include "hypercall.h"
#include "lock.h"
#include "tables.h"

/* How much is asked for at once: little enough that a small machine stays small, seldom enough not to matter. */
#define GROW_BYTES (8ull << 20)

static struct {
    struct lock lock;
    struct frame_list free, clean_tables, clean_roots;
    uint64_t fresh, fresh_end; /* never used, and zero */
    uint64_t limit;            /* bytes */
    uint64_t used;             /* frames handed out */
} frames;

struct frames_range frames_range; /* RAM that is managed here */

static uint64_t pa_of(uint32_t number)
{
    return BOOT_RAM_BASE + number * PAGE_SIZE;
}

static uint64_t pop(struct frame_list *list)
{
    if (!list->first)
        return 0;
    uint64_t pa = pa_of(list->first);
    list->first = frame_of(pa)->next;
    return pa;
}

void frames_init(uint64_t start, uint64_t end, uint64_t limit_bytes)
{
    frames_range.first = frames.fresh = start;
    frames_range.end = frames.fresh_end = end;
    frames.limit = limit_bytes;
}

uint64_t frames_used(void)
{
    return __atomic_load_n(&frames.used, __ATOMIC_RELAXED) * PAGE_SIZE;
}

uint64_t frames_limit(void)
{
    return frames.limit;
}

/* The next page that was never used. A block's first page holds the block's counts. */
static uint64_t take_fresh(void)
{
    if (frames.fresh == frames.fresh_end)
        return 0;
    if (!(frames.fresh & (BLOCK_SIZE - 1)))
        frames.fresh += PAGE_SIZE;
    uint64_t pa = frames.fresh;
    frames.fresh += PAGE_SIZE;
    return pa;
}

static bool map_direct(uint64_t start, uint64_t end)
{
    for (uint64_t at = start; at < end; at += BLOCK_SIZE) {
        uint64_t *entry = tables_direct_entry(at);
        if (!entry)
            return false;
        *entry = at | PTE_P | PTE_W | PTE_A | PTE_D | PTE_PS | PTE_NX;
    }
    return true;
}

static bool grow(void)
{
    uint64_t bytes = GROW_BYTES;
    int64_t pa = hypercall(HC_MEMORY, bytes, 0, 0, 0);
    if (pa < 0) { /* the last piece may be smaller */
        bytes = BLOCK_SIZE;
        pa = hypercall(HC_MEMORY, bytes, 0, 0, 0);
    }
    if (pa < 0 || !map_direct((uint64_t)pa, (uint64_t)pa + bytes))
        return false;
    frames.fresh = (uint64_t)pa;
    frames.fresh_end = (uint64_t)pa + bytes;
    __atomic_store_n(&frames_range.end, frames.fresh_end, __ATOMIC_RELAXED);
    return true;
}

/* With the lock held: used memory before new, and tables before an exit. */
static uint64_t take(bool *zero)
{
    uint64_t pa = pop(&frames.free);
    *zero = false;
    if (pa)
        return pa;
    *zero = true;
    if ((pa = take_fresh()))
        return pa;
    if ((pa = pop(&frames.clean_tables)))
        return pa;
    return grow() ? take_fresh() : 0;
}

static uint64_t take_zeroed(bool *zero)
{
    uint64_t pa = take_fresh();
    *zero = true;
    return pa ? pa : take(zero);
}

uint64_t frame_alloc(void)
{
    bool zero;
    lock(&frames.lock);
    uint64_t pa = take(&zero);
    if (pa) {
        frame_of(pa)->references = 1;
        frames.used++;
    }
    unlock(&frames.lock);
    return pa;
}

uint64_t frame_alloc_zeroed(void)
{
    bool zero;
    lock(&frames.lock);
    uint64_t pa = take_zeroed(&zero);
    if (pa) {
        frame_of(pa)->references = 1;
        frames.used++;
    }
    unlock(&frames.lock);
    if (pa && !zero)
        memset(direct(pa), 0, PAGE_SIZE);
    return pa;
}

static void free_list(struct frame_list *list, struct frame_list *to)
{
    if (!list->first)
        return;
    lock(&frames.lock);
    for (uint64_t pa; (pa = pop(list));) {
        frame_list_add(to, pa);
        frames.used--;
    }
    unlock(&frames.lock);
}

void frames_free(struct frame_list *list)
{
    free_list(list, &frames.free);
}

/* A table that was cleared entry by entry from ring 0, which shadow paging has seen, is as good as a fresh one. */
uint64_t table_alloc(void)
{
    lock(&frames.lock);
    uint64_t pa = pop(&frames.clean_tables);
    bool zero = true;
    if (!pa)
        pa = take_zeroed(&zero);
    if (pa) {
        frame_of(pa)->references = 0;
        frames.used++;
    }
    unlock(&frames.lock);
    if (pa && !zero)
        memset(direct(pa), 0, PAGE_SIZE);
    return pa;
}

void table_drop(uint64_t pa, struct frame_list *list)
{
    frame_list_add(list, pa);
}

void tables_free(struct frame_list *list)
{
    free_list(list, &frames.clean_tables);
}

uint64_t root_alloc(void)
{
    lock(&frames.lock);
    uint64_t pa = pop(&frames.clean_roots);
    frames.used += pa != 0;
    unlock(&frames.lock);
    if (pa)
        return pa;
    pa = table_alloc();
    if (pa)
        tables_share_upper_half(direct(pa));
    return pa;
}

void root_free(uint64_t pa)
{
    lock(&frames.lock);
    frame_list_add(&frames.clean_roots, pa);
    frames.used--;
    unlock(&frames.lock);
}
