/* SPDX-License-Identifier: MIT */
/*
 * records: the run-time's own small structures, in slabs of one page per size. A slab whose last record goes is given
 * back, so that what a kernel has made and dropped leaves no trace. What is larger than half a page gets whole pages.
 */
#include "records.h"
#include "arena.h"
#include "frames.h"
#include "lock.h"
#include "own.h"
#include <polder/freestanding.h>

#define SMALLEST 32u
#define CLASSES 7u /* 32 to 2048 */
#define HEADER 64u

struct slab {
    struct slab *next, *previous; /* among those of its class that have room */
    void *free;                   /* linked through their first word */
    uint32_t unused, count, size; /* bytes never handed out begin at `unused` */
};

static struct {
    struct lock lock;
    struct slab *with_room[CLASSES];
    uint64_t bytes;
    struct polder_allocator allocator;
} records;

static unsigned class_of(size_t size)
{
    unsigned class = 0;
    while ((SMALLEST << class) < size)
        class ++;
    return class;
}

static void *page_alloc(size_t size)
{
    if (records.allocator.alloc)
        return records.allocator.alloc(size, records.allocator.opaque);
    if (size > PAGE_SIZE)
        return arena_alloc(size);
    uint64_t pa = frame_alloc_zeroed();
    return pa ? direct(pa) : NULL;
}

static void page_free(void *page, size_t size)
{
    if (records.allocator.alloc) {
        records.allocator.free(page, size, records.allocator.opaque);
    } else if (size > PAGE_SIZE) {
        arena_free(page, size);
    } else {
        struct frame_list list = {0};
        frame_drop(direct_pa(page), &list);
        frames_free(&list);
    }
}

static void link(struct slab *slab, unsigned class)
{
    slab->previous = NULL;
    slab->next = records.with_room[class];
    if (slab->next)
        slab->next->previous = slab;
    records.with_room[class] = slab;
}

static void unlink(struct slab *slab, unsigned class)
{
    if (slab->next)
        slab->next->previous = slab->previous;
    if (slab->previous)
        slab->previous->next = slab->next;
    else
        records.with_room[class] = slab->next;
}

static bool full(const struct slab *slab)
{
    return !slab->free && slab->unused + slab->size > PAGE_SIZE;
}

static struct slab *new_slab(unsigned class)
{
    struct slab *slab = page_alloc(PAGE_SIZE);
    if (!slab)
        return NULL;
    slab->free = NULL;
    slab->count = 0;
    slab->size = SMALLEST << class;
    slab->unused = slab->size > HEADER ? slab->size : HEADER;
    link(slab, class);
    return slab;
}

void *record_alloc(size_t size)
{
    if (size > PAGE_SIZE / 2) {
        void *block = page_alloc(page_up(size));
        if (block && (records.allocator.alloc || size <= PAGE_SIZE))
            memset(block, 0, size);
        return block;
    }
    unsigned class = class_of(size);
    lock(&records.lock);
    struct slab *slab = records.with_room[class];
    if (!slab)
        slab = new_slab(class);
    void *record = NULL;
    if (slab) {
        record = slab->free;
        if (record) {
            slab->free = *(void **)record;
        } else {
            record = (char *)slab + slab->unused;
            slab->unused += slab->size;
        }
        slab->count++;
        records.bytes += slab->size;
        if (full(slab))
            unlink(slab, class);
    }
    unlock(&records.lock);
    if (record)
        memset(record, 0, size);
    return record;
}

void record_free(void *record, size_t size)
{
    if (!record)
        return;
    if (size > PAGE_SIZE / 2) {
        page_free(record, page_up(size));
        return;
    }
    unsigned class = class_of(size);
    struct slab *slab = (struct slab *)((uint64_t)record & PAGE_MASK);
    lock(&records.lock);
    if (full(slab))
        link(slab, class);
    *(void **)record = slab->free;
    slab->free = record;
    records.bytes -= slab->size;
    if (--slab->count == 0)
        unlink(slab, class);
    else
        slab = NULL;
    unlock(&records.lock);
    if (slab)
        page_free(slab, PAGE_SIZE);
}

uint64_t record_bytes(void)
{
    return records.bytes;
}

int record_set_allocator(const struct polder_allocator *allocator)
{
    if (!allocator || !allocator->alloc || !allocator->free)
        return -EINVAL;
    if (records.bytes)
        return -EBUSY;
    records.allocator = *allocator;
    return 0;
}
