/* SPDX-License-Identifier: MIT */
/*
 * edits: the changes to present page-table entries that ring 0 has yet to carry out, one set per space, the last value
 * per entry. An entry that is in the set is read from it and changed in it only: a direct store would be undone when
 * the set is carried out.
 */
#ifndef MONITOR_EDITS_H
#define MONITOR_EDITS_H

#include "types.h"

struct edit {
    uint64_t *entry; /* host address of the page-table entry; NULL: free */
    uint64_t value;
};

#define EDITS_INLINE 16

struct edits {
    struct edit *slots; /* open addressing; fixed, or a record */
    uint32_t capacity;  /* a power of two */
    uint32_t count;
    struct edit fixed[EDITS_INLINE];
};

void edits_init(struct edits *edits);
void edits_fini(struct edits *edits);
/* Makes room for n more: false without memory, and nothing is changed. */
bool edits_reserve(struct edits *edits, size_t n);
/* The pending value of an entry: NULL if none is. */
struct edit *edits_find(const struct edits *edits, const uint64_t *entry);
/* Sets it; the room has been reserved. */
void edits_put(struct edits *edits, uint64_t *entry, uint64_t value);
/* Forgets what is pending in a table page that is being released. */
void edits_drop_page(struct edits *edits, const uint64_t *page);
/* Moves up to max edits to list, returns how many. */
uint32_t edits_take(struct edits *edits, struct edit *list, uint32_t max);

#endif
