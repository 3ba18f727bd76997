/* SPDX-License-Identifier: MIT */
#include "arena.h"
#include "cpu.h"
#include "file.h"
#include "lock.h"
#include "mm.h"
#include "region.h"
#include "tables.h"

static struct {
    struct lock lock;
    struct regions regions;
} arena;

static uint64_t rights_of(int prot)
{
    return PTE_P | PTE_A | PTE_D | (prot & PROT_WRITE ? PTE_W : 0) | (prot & PROT_EXEC ? 0 : PTE_NX);
}

static uint64_t reserve(uint64_t size)
{
    uint64_t at = 0;
    lock(&arena.lock);
    if (size < ARENA_END - ARENA_BASE && regions_reserve(&arena.regions, 3))
        at = regions_gap(&arena.regions, size + 2 * PAGE_SIZE, ARENA_END, ARENA_BASE);
    if (at) {
        at += PAGE_SIZE;
        struct region model = {.start = at, .end = at + size};
        regions_add(&arena.regions, &model);
    }
    unlock(&arena.lock);
    return at;
}

static int page_for(struct file *file, uint64_t offset, bool shared, uint64_t *pa)
{
    uint64_t from = 0;
    if (file) {
        /* Held also while it is only copied: it may be cut off meanwhile. */
        int error = file_page(file, offset, true, &from);
        if (error || shared) {
            *pa = from;
            return error;
        }
    }
    *pa = from ? frame_alloc() : frame_alloc_zeroed();
    if (*pa && from)
        memcpy(direct(*pa), direct(from), PAGE_SIZE);
    if (from && frame_is_ram(from)) {
        struct frame_list list = {0};
        frame_drop(from, &list);
        frames_free(&list);
    }
    return *pa ? 0 : -ENOMEM;
}

int arena_map(uint64_t size, int prot, struct file *file, uint64_t offset, bool shared, uint64_t *start)
{
    uint64_t at = reserve(size);
    int error = at ? 0 : -ENOMEM;
    for (uint64_t done = 0; !error && done < size; done += PAGE_SIZE) {
        uint64_t pa;
        lock(&arena.lock);
        uint64_t *entry = table_entry_make(tables_own_root(), at + done);
        unlock(&arena.lock);
        error = entry ? page_for(file, offset + done, shared, &pa) : -ENOMEM;
        if (!error)
            entry_set(entry, pa | rights_of(prot));
    }
    if (error && at)
        arena_free((void *)at, size);
    *start = at;
    return error;
}

void *arena_alloc(uint64_t size)
{
    uint64_t at;
    return arena_map(size, PROT_READ | PROT_WRITE, NULL, 0, false, &at) ? NULL : (void *)at;
}

/* A range of it that is cut out: nodes for the two cuts are had before anything is changed. */
int arena_unmap(uint64_t start, uint64_t size)
{
    lock(&arena.lock);
    bool cut = regions_reserve(&arena.regions, 2);
    if (cut) {
        regions_split(&arena.regions, start);
        regions_split(&arena.regions, start + size);
    }
    unlock(&arena.lock);
    if (!cut)
        return -ENOMEM;
    arena_free((void *)start, size);
    return 0;
}

/* The tables stay: they are where the next allocation will want them, and other vCPUs walk them. */
void arena_free(void *at, uint64_t size)
{
    struct frame_list frames = {0};
    uint64_t start = (uint64_t)at;
    lock(&arena.lock);
    for (uint64_t page = start; page < start + size; page += PAGE_SIZE) {
        uint64_t *entry = table_entry(tables_own_root(), page);
        if (!entry || !*entry)
            continue;
        uint64_t pa = *entry & PTE_ADDRESS;
        entry_set(entry, 0);
        if (frame_is_ram(pa))
            frame_drop(pa, &frames);
    }
    unlock(&arena.lock);
    cpu_shoot_down(mm_own());
    frames_free(&frames);
    lock(&arena.lock);
    regions_remove(&arena.regions, start, start + size);   /* whole ones: no node is needed */
    if (arena.regions.gap_hint < start + size + PAGE_SIZE) /* so that its tables are used again */
        arena.regions.gap_hint = start + size + PAGE_SIZE;
    unlock(&arena.lock);
}

int arena_protect(uint64_t start, uint64_t end, int prot)
{
    lock(&arena.lock);
    for (uint64_t page = start; page < end; page += PAGE_SIZE) {
        uint64_t *entry = table_entry(tables_own_root(), page);
        if (entry && *entry)
            entry_set(entry, (*entry & PTE_ADDRESS) | rights_of(prot));
    }
    unlock(&arena.lock);
    cpu_shoot_down(mm_own());
    return 0;
}

bool arena_holds(uint64_t start, uint64_t end)
{
    lock(&arena.lock);
    bool holds = start >= ARENA_BASE && end <= ARENA_END && regions_cover(&arena.regions, start, end);
    unlock(&arena.lock);
    return holds;
}
