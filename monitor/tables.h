/* SPDX-License-Identifier: MIT */
/*
 * tables: the pages that page tables are made of, and the upper half that all spaces share.
 *
 * KVM keeps shadows by guest frame number, so a page that was a table of a root which some vCPU had loaded goes through
 * retirement: ring 0 clears what is present in it, and only then is it used again. Where that is done, and by whom, is
 * the entry path's (vcpu.c): it takes retired pages along when a vCPU goes in anyway.
 */
#ifndef MONITOR_TABLES_H
#define MONITOR_TABLES_H

#include "types.h"

/* A list of table pages, linked outside of the pages themselves. */
struct table_list {
    uint32_t head; /* 0: empty */
    uint32_t tail;
    uint32_t count;
};

int tables_init(void);
void tables_forget(void);

/* A zeroed page: its guest-physical address, or 0. */
uint64_t table_alloc(void);
/* n contiguous zeroed pages that are never given back; NULL if there are none. */
void *tables_alloc_fixed(uint32_t n);
uint64_t *table_entries(uint64_t pa);
uint64_t table_pa(const void *hva);
/* Where ring 0 finds a byte of table memory, and back. */
gva_t table_gva(const void *hva);
void *table_hva(gva_t gva);

/*
 * A root with the shared upper half in it: guest-physical address, or 0. Once a root, a page stays one, and its upper
 * half is never cleared: a vCPU that rests may still have it in CR3, and it is the stub's pages there that it wakes up
 * in.
 */
uint64_t table_alloc_root(void);
bool table_is_root(uint64_t pa);
/* Maps a page of table memory into the shared upper half. 0 or -ENOMEM. */
int tables_map_upper(gva_t gva, uint64_t pa, uint64_t bits);

void table_list_add(struct table_list *list, uint64_t pa);
/* No root that led to these was ever loaded: no vCPU has a shadow of them. */
void tables_free_unshadowed(struct table_list *list);
void tables_retire(struct table_list *list);
/* Up to max retired pages; they must come back by tables_retire or, cleared by ring 0, by tables_free_cleared. */
struct table_list tables_take_retired(uint32_t max);
void tables_free_cleared(struct table_list *list);
uint32_t tables_retired(void);
/* The first page of a list, and the rest of it. */
uint64_t table_list_pop(struct table_list *list);
/* Pages in use or retired: for tests of leaks. */
uint64_t tables_in_use(void);

#endif
