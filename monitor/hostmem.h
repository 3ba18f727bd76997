/* SPDX-License-Identifier: MIT */
/*
 * hostmem: where the library's own memory lies in the host process. One reservation of address space holds page tables,
 * anonymous guest memory, file windows and the library's records, so that "is this address the library's?" is one
 * comparison: none of it may ever be seen by a sandbox of "/proc/self/mm".
 */
#ifndef MONITOR_HOSTMEM_H
#define MONITOR_HOSTMEM_H

#include "records.h"
#include "state.h"
#include "types.h"
#include <polder/polder.h>

#define WINDOW_SIZE (64ull << 20) /* the grain of the reservation and of memslots */

struct hostmem_area {
    char *base;
    uint64_t size; /* bytes, a multiple of WINDOW_SIZE */
};

struct hostmem {
    struct hostmem_area all, tables, frames, files, records, runs;
} PRIVATE_TYPE;

extern struct hostmem hostmem;

/* Makes the reservation once. 0 or -errno. */
int hostmem_init(void);
/* Makes a part of it address space and no more, whatever is there. */
void hostmem_reserve(void *at, uint64_t size);
/* True if a byte of [address, address + length) is the library's. */
bool hostmem_overlaps(uint64_t address, uint64_t length);

/* EBUSY if records have been allocated already. 0 or -errno. */
int record_set_allocator(const struct polder_allocator *allocator);

#endif
