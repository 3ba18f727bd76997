/* SPDX-License-Identifier: MIT */
/*
 * pagetable: x86-64 page tables of four levels as a pure data structure (Intel SDM vol. 3A, 4.5; AMD APM vol. 2, 5.3).
 * It knows nothing of KVM, hosts or spaces: where a table page lies, how an entry is read and how it is written are its
 * user's: a hosted space writes present entries through its queue of edits. Resident kernels share the constants; their
 * entries own their pages, and are walked by guest-stub/resident/tables.c.
 *
 * Only the lower half is touched. Entries carry A and D preset, for on shadow-paging KVM the CPU's setting them costs a
 * fault each.
 */
#ifndef MONITOR_PAGETABLE_H
#define MONITOR_PAGETABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PTE_P (1ull << 0)
#define PTE_W (1ull << 1)
#define PTE_U (1ull << 2)
#define PTE_A (1ull << 5)
#define PTE_D (1ull << 6)
#define PTE_PS (1ull << 7)
#define PTE_NX (1ull << 63)
#define PTE_ADDRESS 0x000ffffffffff000ull
#define PTE_RIGHTS (PTE_W | PTE_U | PTE_NX)

struct pagetable_ops {
    /* The 512 entries of the table page at guest-physical pa. */
    uint64_t *(*entries)(void *opaque, uint64_t pa);
    /* A zeroed table page, 0 if there is none. */
    uint64_t (*alloc)(void *opaque);
    /* Takes back a table page that is no longer linked; its entries are as they were. */
    void (*release)(void *opaque, uint64_t pa);
    /* What the entry will be once all that is queued is carried out. */
    uint64_t (*load)(void *opaque, const uint64_t *entry);
    /* Makes it value. Cannot fail: room was asked for by pagetable_edits. */
    void (*store)(void *opaque, uint64_t *entry, uint64_t value);
};

struct pagetable {
    uint64_t root; /* guest-physical, of the level-4 table */
    const struct pagetable_ops *ops;
    void *opaque;
};

/* The most present entries that unmapping or protecting [start, end) changes. */
size_t pagetable_edits(uint64_t start, uint64_t end);

/*
 * Maps [start, end) to the contiguous guest-physical range from pa on, with rights of PTE_RIGHTS; entries of 2 MiB
 * where start, pa and length allow it and `huge` is true. What was mapped there is replaced. False if a table page
 * could not be had; then a prefix is mapped.
 */
bool pagetable_map(struct pagetable *pt, uint64_t start, uint64_t end, uint64_t pa, uint64_t rights, bool huge);

/* Takes [start, end) away. Whole tables that it empties are unlinked and released; a 2 MiB entry that it cuts is taken
 * away whole: its user refaults the rest. Returns true if a present entry was changed. */
bool pagetable_unmap(struct pagetable *pt, uint64_t start, uint64_t end);

/* Gives the present pages of [start, end) new rights; what spans more than a table, or is cut, is taken away instead
 * (to come back at the next fault). Returns true if a present entry was changed. */
bool pagetable_protect(struct pagetable *pt, uint64_t start, uint64_t end, uint64_t rights);

/* The entry that maps address, 0 if none is present; *size is 4096 or 2 MiB. */
uint64_t pagetable_lookup(const struct pagetable *pt, uint64_t address, uint64_t *size);

/* Releases every table page of the lower half, and the root. Nothing is stored: nobody may use the root any more. */
void pagetable_destroy(struct pagetable *pt);

#endif
