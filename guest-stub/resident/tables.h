/* SPDX-License-Identifier: MIT */
/*
 * tables: page tables of the guest, written by ring 0 itself. Unlike a hosted space's (monitor/pagetable.h), whose
 * entries follow from what is recorded elsewhere, a resident space's entries are what owns its frames; so they are
 * walked entry by entry. A table page counts its entries that are not 0, and goes when the count is 0.
 *
 * A page that must not be accessed for now (PROT_NONE) keeps its frame in an entry that is not present but PTE_HELD.
 */
#ifndef RESIDENT_TABLES_H
#define RESIDENT_TABLES_H

#include "frames.h"
#include "pagetable.h"

#define PTE_HELD (1ull << 10) /* with P clear; the CPU ignores it */

/* The kernel's own root, that `polder boot` has made. */
void tables_init(uint64_t root);
uint64_t tables_own_root(void);
/* Copies the upper half's entries into a new root. */
void tables_share_upper_half(uint64_t *root);
/* The 2 MiB entry of the direct map for pa; NULL where the hypervisor has no memory. */
uint64_t *tables_direct_entry(uint64_t pa);

/* The 4 KiB entry for address, or NULL where there is no table for it (or a 2 MiB page). Inline and unrolled, as the
 * rest here: all of it is on the path of every fault. */
static inline uint64_t *table_entry(uint64_t root, uint64_t address)
{
    uint64_t entry = ((uint64_t *)direct(root))[address >> 39 & 511];
    if (!(entry & PTE_P))
        return NULL;
    entry = ((uint64_t *)direct(entry & PTE_ADDRESS))[address >> 30 & 511];
    if (!(entry & PTE_P))
        return NULL;
    entry = ((uint64_t *)direct(entry & PTE_ADDRESS))[address >> 21 & 511];
    if (!(entry & PTE_P) || (entry & PTE_PS))
        return NULL;
    return (uint64_t *)direct(entry & PTE_ADDRESS) + (address >> 12 & 511);
}

uint64_t *table_entry_make_tables(uint64_t root, uint64_t address);

/* The same, making what is missing; NULL without memory. */
static inline uint64_t *table_entry_make(uint64_t root, uint64_t address)
{
    uint64_t *entry = table_entry(root, address);
    return __builtin_expect(entry != NULL, 1) ? entry : table_entry_make_tables(root, address);
}

/* Stores, and keeps the count of the table that it is in; the monitor's tables have none. */
static inline void entry_set(uint64_t *entry, uint64_t value)
{
    uint64_t old = *entry, table = direct_pa(entry);
    __atomic_store_n(entry, value, __ATOMIC_RELEASE);
    if (!old != !value && frame_is_ram(table))
        frame_of(table)->references += old ? -1u : 1u;
}

/* What address translates to, in pages of any size; ~0 for nothing. */
uint64_t tables_translate(uint64_t root, uint64_t address);

/* Calls visit for every entry of [start, end) that is not 0, in order. Tables that are empty then are added to the
 * list. Pages of 2 MiB are not visited: no space has any in its lower half. */
typedef void table_visit(void *opaque, uint64_t address, uint64_t *entry);
void tables_visit(
    uint64_t root, uint64_t start, uint64_t end, table_visit *visit, void *opaque, struct frame_list *emptied);

#endif
