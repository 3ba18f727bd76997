/* SPDX-License-Identifier: MIT */
/*
 * frames: anonymous guest memory, page by page, counted for copy-on-write. A frame's number is its page number in one
 * host mapping; 0 is none. Memory never touched costs nothing: the host's own fault brings it in.
 */
#ifndef MONITOR_FRAMES_H
#define MONITOR_FRAMES_H

#include "types.h"

int frames_init(void);
void frames_forget(void);

/* A zeroed frame with one reference; 0: no memory. */
uint32_t frame_alloc(void);
/* The first of 512 zeroed frames in a row, aligned to 2 MiB, with one reference each; 0: none. */
uint32_t frame_alloc_block(void);
void frame_hold(uint32_t frame);
/* No vCPU may have a translation to it any more when the last reference goes. */
void frame_drop(uint32_t frame);
uint32_t frame_references(uint32_t frame);
void *frame_hva(uint32_t frame);
/* Frames handed out: for tests of leaks. */
uint64_t frames_in_use(void);

/* The private pages of 2 MiB of a space. Shared between copies until one of them writes; immutable while shared. */
struct chunk {
    uint32_t references;
    uint32_t frame[BLOCK_PAGES];
};

struct chunk *chunk_new(void);
/* A chunk of its own with the same frames; NULL without memory. The original keeps its references. */
struct chunk *chunk_clone(const struct chunk *chunk);
void chunk_hold(struct chunk *chunk);
void chunk_drop(struct chunk *chunk);
bool chunk_is_shared(const struct chunk *chunk);

#endif
