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

/*
 * Calls visit for each table that has entries of [start, end), in order: address is that of entry, and count entries
 * from there on are in the range. Tables that are empty then are added to the list. Pages of 2 MiB are not visited: no
 * space has any in its lower half.
 */
typedef void table_visit(void *opaque, uint64_t address, uint64_t *entry, unsigned count);
void tables_visit(
    uint64_t root, uint64_t start, uint64_t end, table_visit *visit, void *opaque, struct frame_list *emptied);

/*
 * The index of the first entry that is not 0, count if there is none. One instruction does the looking: where ring 0 is
 * emulated that is a hundred times faster than a loop, and tables are sparse.
 */
static inline unsigned entries_skip(const uint64_t *entry, unsigned count)
{
    const uint64_t *at = entry;
    uint64_t left = count;
    bool none;
    if (!count || *entry) /* a neighbour of one that is there is likely there */
        return 0;
    __asm__("repe scasq" : "+D"(at), "+c"(left), "=@ccz"(none) : "a"(0), "m"(*(const uint64_t(*)[512])entry));
    return none ? count : (unsigned)(at - entry) - 1;
}

/* For a visitor: for each i below count with entry[i] not 0. */
#define FOR_ENTRIES(i, entry, count)                                                                                   \
    for (unsigned i = entries_skip(entry, count); i < (count); i += 1 + entries_skip((entry) + i + 1, (count)-i - 1))

/* So many entries of the table were stored as 0 that had not been. */
static inline void entries_gone(const uint64_t *entry, uint32_t gone)
{
    uint64_t table = direct_pa(entry);
    if (frame_is_ram(table))
        frame_of(table)->references -= gone;
}

/* So many that had been 0 were stored as something else. */
static inline void entries_come(const uint64_t *entry, uint32_t come)
{
    entries_gone(entry, -come);
}

#endif
