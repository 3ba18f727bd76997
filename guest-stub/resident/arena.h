/* SPDX-License-Identifier: MIT */
/*
 * arena: privileged memory of more than one page, in the upper half, where every space has it. It is mapped at once,
 * for ring 0 must not fault on its own memory; a page on either side stays free, so that what runs over is a fault.
 */
#ifndef RESIDENT_ARENA_H
#define RESIDENT_ARENA_H

#include "types.h"

#define ARENA_BASE 0xfffffe4000000000ull /* shares its level-4 entry with the vCPUs' areas */
#define ARENA_END 0xfffffe7fffe00000ull

struct file;

/* Zeroed, writable, at a page boundary; NULL without memory. Sizes are multiples of 4096. */
void *arena_alloc(uint64_t size);
/*
 * The same with the rights of prot, and of a file from offset on if there is one: its own pages if shared, else copies.
 * 0 or -errno.
 */
int arena_map(uint64_t size, int prot, struct file *file, uint64_t offset, bool shared, uint64_t *start);
/* All of what one call gave, or what arena_unmap has cut out. */
void arena_free(void *at, uint64_t size);
/* Any part of it. 0 or -ENOMEM. */
int arena_unmap(uint64_t start, uint64_t size);
int arena_protect(uint64_t start, uint64_t end, int prot);
/* True if all of [start, end) was given out and not taken back. */
bool arena_holds(uint64_t start, uint64_t end);

#endif
