/* SPDX-License-Identifier: MIT */
/*
 * frames: the machine's RAM, page by page. A frame is named by its guest-physical address; 0 is none. What is mapped or
 * kept more than once is counted. Memory is brought in from the hypervisor when there is none left, the only exit here.
 *
 * The counts of a block of 2 MiB stand in its first page, so that a frame's count is found without a search and memory
 * that comes later needs no table to grow.
 */
#ifndef RESIDENT_FRAMES_H
#define RESIDENT_FRAMES_H

#include "types.h"
#include <polder/abi.h>

struct frame {
    uint32_t references; /* of a page table: its entries that are not 0 */
    uint32_t next;       /* in a list: the next one's number */
};

/* Frames or tables that nobody holds any more, but that translations may still lead to. */
struct frame_list {
    uint32_t first; /* number, 0: none */
};

static inline void *direct(uint64_t pa)
{
    return (void *)(POLDER_DIRECT_BASE + pa);
}

static inline uint64_t direct_pa(const void *at)
{
    return (uint64_t)at - POLDER_DIRECT_BASE;
}

static inline struct frame *frame_of(uint64_t pa)
{
    return (struct frame *)direct(pa & ~(BLOCK_SIZE - 1)) + pa / PAGE_SIZE % BLOCK_PAGES;
}

/* All RAM of [start, end), both at boundaries of 2 MiB, is free and zero; the limit is what RAM may grow to. */
void frames_init(uint64_t start, uint64_t end, uint64_t limit_bytes);
extern struct frames_range {
    uint64_t first, end;
} frames_range;
/* True for what frame_alloc gave; false for a file's window. */
static inline bool frame_is_ram(uint64_t pa)
{
    return pa >= frames_range.first && pa < __atomic_load_n(&frames_range.end, __ATOMIC_RELAXED);
}
uint64_t frames_used(void); /* bytes */
uint64_t frames_limit(void);

/* One reference. 0 without memory. */
uint64_t frame_alloc(void);
uint64_t frame_alloc_zeroed(void);

static inline void frame_hold(uint64_t pa)
{
    __atomic_fetch_add(&frame_of(pa)->references, 1, __ATOMIC_RELAXED);
}

static inline void frame_list_add(struct frame_list *list, uint64_t pa)
{
    frame_of(pa)->next = list->first;
    list->first = (uint32_t)((pa - BOOT_RAM_BASE) / PAGE_SIZE);
}

/* One reference less; the last one adds it to the list. */
static inline void frame_drop(uint64_t pa, struct frame_list *list)
{
    if (__atomic_sub_fetch(&frame_of(pa)->references, 1, __ATOMIC_ACQ_REL) == 0)
        frame_list_add(list, pa);
}
/* No translation leads to any of them now. */
void frames_free(struct frame_list *list);

static inline uint32_t frame_references(uint64_t pa)
{
    return __atomic_load_n(&frame_of(pa)->references, __ATOMIC_RELAXED);
}

/* Page tables: zero, and given back zero. */
uint64_t table_alloc(void);
void table_drop(uint64_t pa, struct frame_list *list);
void tables_free(struct frame_list *list);
/* Roots, with the upper half that all spaces share. */
uint64_t root_alloc(void);
void root_free(uint64_t pa);

#endif
