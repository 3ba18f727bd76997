/* SPDX-License-Identifier: MIT */
#include "frames.h"
#include "hostmem.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define KEEP_DIRTY 4096 /* free pages that stay with us, 16 MiB; more go back to the host */

static PRIVATE_STATE struct {
    uint32_t *references; /* of a frame in use; of a free one: the next free */
    uint16_t *singles;    /* of a block: how many of its frames are in the lists of single ones */
    uint64_t count;       /* frames of the area */
    uint64_t next_fresh, ready;
    uint32_t dirty, zero, blocks; /* heads of free lists */
    uint32_t whole;               /* blocks of which all frames are single ones */
    uint32_t dirty_count;
    uint64_t in_use;
} PRIVATE_TYPE frames;

int frames_init(void)
{
    if (frames.references)
        return 0;
    frames.count = min_u64(hostmem.frames.size / PAGE_SIZE, UINT32_MAX);
    uint32_t *references = record_alloc(frames.count * sizeof *references);
    frames.singles = record_alloc(frames.count / BLOCK_PAGES * sizeof *frames.singles);
    if (!references || !frames.singles) {
        record_free(references, frames.count * sizeof *references);
        record_free(frames.singles, frames.count / BLOCK_PAGES * sizeof *frames.singles);
        return -ENOMEM;
    }
    frames.references = references;
    frames.next_fresh = 1;
    return 0;
}

void frames_forget(void)
{
    if (frames.references) {
        record_free(frames.references, frames.count * sizeof *frames.references);
        record_free(frames.singles, frames.count / BLOCK_PAGES * sizeof *frames.singles);
    }
    if (frames.ready)
        hostmem_reserve(hostmem.frames.base, frames.ready * PAGE_SIZE);
    frames.references = NULL;
    frames.ready = frames.in_use = 0;
    frames.dirty = frames.zero = frames.blocks = frames.whole = frames.dirty_count = 0;
}

void *frame_hva(uint32_t frame)
{
    return hostmem.frames.base + (uint64_t)frame * PAGE_SIZE;
}

static bool make_ready(void)
{
    if (frames.ready * PAGE_SIZE + WINDOW_SIZE > hostmem.frames.size)
        return false;
    char *window = frame_hva((uint32_t)frames.ready);
    if (mprotect(window, WINDOW_SIZE, PROT_READ | PROT_WRITE))
        return false;
    /* 2 MiB host pages make a first touch three hundred times cheaper where page tables are shadowed. */
    madvise(window, WINDOW_SIZE, MADV_HUGEPAGE);
    madvise(window, WINDOW_SIZE, MADV_DONTFORK);
    frames.ready += WINDOW_SIZE / PAGE_SIZE;
    return true;
}

static uint32_t pop(uint32_t *list)
{
    uint32_t frame = *list;
    if (frame)
        *list = frames.references[frame];
    return frame;
}

static void push(uint32_t *list, uint32_t frame)
{
    frames.references[frame] = *list;
    *list = frame;
}

static uint32_t pop_single(uint32_t *list)
{
    uint32_t frame = pop(list);
    if (frame && frames.singles[frame / BLOCK_PAGES]-- == BLOCK_PAGES)
        frames.whole--;
    return frame;
}

static void push_single(uint32_t *list, uint32_t frame)
{
    push(list, frame);
    frames.whole += ++frames.singles[frame / BLOCK_PAGES] == BLOCK_PAGES;
}

/* Takes the frames of whole blocks out of a list of single ones; the blocks, by their first frames, go into another. */
static void take_whole(uint32_t *list, uint32_t *count, uint32_t *blocks)
{
    for (uint32_t *at = list, frame; (frame = *at);) {
        if (frames.singles[frame / BLOCK_PAGES] != BLOCK_PAGES) {
            at = &frames.references[frame];
            continue;
        }
        *at = frames.references[frame];
        --*count;
        if (frame % BLOCK_PAGES == 0)
            push(blocks, frame);
    }
}

/* Blocks whose frames have come back one by one are blocks again. Without this, whoever maps blocks and unmaps them in
 * part needs fresh ones for ever, and KVM a slot for each window of them. */
static void gather(void)
{
    uint32_t found = 0, zero_count = 0;
    if (!frames.whole)
        return;
    take_whole(&frames.dirty, &frames.dirty_count, &found);
    take_whole(&frames.zero, &zero_count, &found);
    for (uint32_t first; (first = pop(&found));) {
        frames.singles[first / BLOCK_PAGES] = 0;
        if (madvise(frame_hva(first), BLOCK_SIZE, MADV_DONTNEED))
            memset(frame_hva(first), 0, BLOCK_SIZE);
        push(&frames.blocks, first);
    }
    frames.whole = 0;
}

uint32_t frame_alloc(void)
{
    bool zeroed = true;
    pthread_mutex_lock(&locks.frames);
    uint32_t frame = pop_single(&frames.dirty);
    if (frame) {
        zeroed = false;
        frames.dirty_count--;
    } else {
        frame = pop_single(&frames.zero);
    }
    if (!frame && frames.next_fresh < frames.ready)
        frame = (uint32_t)frames.next_fresh++;
    if (!frame && (frame = pop(&frames.blocks))) { /* a whole block is split before a window is made */
        for (uint32_t i = 1; i < BLOCK_PAGES; i++)
            push_single(&frames.zero, frame + i);
    }
    if (!frame && make_ready())
        frame = (uint32_t)frames.next_fresh++;
    if (frame) {
        frames.references[frame] = 1;
        frames.in_use++;
    }
    pthread_mutex_unlock(&locks.frames);
    if (frame && !zeroed)
        memset(frame_hva(frame), 0, PAGE_SIZE);
    return frame;
}

uint32_t frame_alloc_block(void)
{
    pthread_mutex_lock(&locks.frames);
    uint32_t first = pop(&frames.blocks);
    if (!first) {
        while (frames.next_fresh % BLOCK_PAGES && frames.next_fresh < frames.ready)
            push_single(&frames.zero, (uint32_t)frames.next_fresh++);
        if (frames.next_fresh == frames.ready) {
            gather();
            first = pop(&frames.blocks);
        }
    }
    if (!first) {
        if (frames.next_fresh < frames.ready || make_ready()) {
            first = (uint32_t)frames.next_fresh;
            if (first % BLOCK_PAGES) { /* the very first frame of all is never given out */
                while (frames.next_fresh % BLOCK_PAGES)
                    push_single(&frames.zero, (uint32_t)frames.next_fresh++);
                first = (uint32_t)frames.next_fresh;
            }
            frames.next_fresh += BLOCK_PAGES;
        }
    }
    if (first) {
        for (uint32_t i = 0; i < BLOCK_PAGES; i++)
            frames.references[first + i] = 1;
        frames.in_use += BLOCK_PAGES;
    }
    pthread_mutex_unlock(&locks.frames);
    return first;
}

void frame_hold(uint32_t frame)
{
    __atomic_add_fetch(&frames.references[frame], 1, __ATOMIC_RELAXED);
}

uint32_t frame_references(uint32_t frame)
{
    return __atomic_load_n(&frames.references[frame], __ATOMIC_ACQUIRE);
}

void frame_drop(uint32_t frame)
{
    if (__atomic_sub_fetch(&frames.references[frame], 1, __ATOMIC_ACQ_REL))
        return;
    pthread_mutex_lock(&locks.frames);
    frames.in_use--;
    if (frames.dirty_count < KEEP_DIRTY) {
        push_single(&frames.dirty, frame);
        frames.dirty_count++;
    } else if (madvise(frame_hva(frame), PAGE_SIZE, MADV_DONTNEED) == 0) {
        push_single(&frames.zero, frame);
    } else {
        push_single(&frames.dirty, frame);
        frames.dirty_count++;
    }
    pthread_mutex_unlock(&locks.frames);
}

uint64_t frames_in_use(void)
{
    return frames.in_use;
}

struct chunk *chunk_new(void)
{
    struct chunk *chunk = record_alloc(sizeof *chunk);
    if (chunk)
        chunk->references = 1;
    return chunk;
}

struct chunk *chunk_clone(const struct chunk *chunk)
{
    struct chunk *clone = chunk_new();
    if (!clone)
        return NULL;
    for (uint32_t i = 0; i < BLOCK_PAGES; i++) {
        clone->frame[i] = chunk->frame[i];
        if (clone->frame[i])
            frame_hold(clone->frame[i]);
    }
    return clone;
}

void chunk_hold(struct chunk *chunk)
{
    __atomic_add_fetch(&chunk->references, 1, __ATOMIC_RELAXED);
}

bool chunk_is_shared(const struct chunk *chunk)
{
    return __atomic_load_n(&chunk->references, __ATOMIC_ACQUIRE) > 1;
}

/* A whole block that nobody else refers to goes back to the host in one call, and to the list of blocks. */
static bool drop_block(struct chunk *chunk)
{
    uint32_t first = chunk->frame[0];
    if (!first || first % BLOCK_PAGES)
        return false;
    for (uint32_t i = 0; i < BLOCK_PAGES; i++) {
        if (chunk->frame[i] != first + i || frame_references(first + i) != 1)
            return false;
    }
    if (madvise(frame_hva(first), BLOCK_SIZE, MADV_DONTNEED))
        return false;
    pthread_mutex_lock(&locks.frames);
    frames.in_use -= BLOCK_PAGES;
    push(&frames.blocks, first);
    pthread_mutex_unlock(&locks.frames);
    return true;
}

void chunk_drop(struct chunk *chunk)
{
    if (__atomic_sub_fetch(&chunk->references, 1, __ATOMIC_ACQ_REL))
        return;
    if (!drop_block(chunk)) {
        for (uint32_t i = 0; i < BLOCK_PAGES; i++) {
            if (chunk->frame[i])
                frame_drop(chunk->frame[i]);
        }
    }
    record_free(chunk, sizeof *chunk);
}
