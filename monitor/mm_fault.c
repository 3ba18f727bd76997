/* SPDX-License-Identifier: MIT */
/* mm: what a fault of ring 3 finds, and memory that is shared copy-on-write. */
#include "file.h"
#include "hostmem.h"
#include "mm.h"
#include "physmem.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define ERROR_WRITE 2
#define ERROR_FETCH 16

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

/* After memory has gone from under a mapping, so many faults map one page each, looked at before. */
#define CAREFUL_FAULTS 512

/* How many pages of private memory are brought in around a first touch. */
#define AROUND_PAGES 16

/* The rights with which a private frame may be mapped now. */
static uint64_t frame_rights(const struct region *r, const struct chunk *chunk, uint32_t frame)
{
    uint64_t rights = mm_rights(r);
    if (chunk_is_shared(chunk) || frame_references(frame) > 1)
        rights &= ~PTE_W;
    return rights;
}

/* A page beyond its file's end, or one that its disk has no room for, is mapped and has no memory: populating it (Linux
 * 5.14) is EFAULT then, without a SIGBUS. */
bool mm_page_is_lost(struct mm *mm, const void *hva, uint64_t error)
{
    int advice = error & ERROR_WRITE ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
    mm->careful--;
    return madvise((void *)hva, PAGE_SIZE, advice) && errno == EFAULT;
}

static enum mm_fault no_memory_unless(int error)
{
    return error ? MM_NO_MEMORY : MM_RESOLVED;
}

/* A fresh aligned block, if the region spans it and nothing of it is there yet: one entry, and huge pages of the host.
 */
static bool fill_block(struct mm *mm, const struct region *r, uint64_t address)
{
    uint64_t block = address & ~(BLOCK_SIZE - 1);
    if (block < r->start || block + BLOCK_SIZE > r->end || mm_chunk(mm, block))
        return false;
    uint32_t first = frame_alloc_block();
    if (!first)
        return false;
    struct chunk *chunk = mm_own_chunk(mm, block);
    for (uint32_t i = 0; i < BLOCK_PAGES; i++) {
        if (chunk)
            chunk->frame[i] = first + i;
        else
            frame_drop(first + i);
    }
    return chunk && !mm_fill(mm, block, block + BLOCK_SIZE, frame_hva(first), mm_rights(r), true);
}

/* Maps what is there of the private pages around address, within its block and region. Shared ones read-only. */
static int fill_existing(struct mm *mm, const struct region *r, uint64_t address)
{
    struct chunk *chunk = mm_chunk(mm, address);
    uint64_t block = address & ~(BLOCK_SIZE - 1);
    uint64_t from = max_u64(block, r->start), to = min_u64(block + BLOCK_SIZE, r->end);
    if (!chunk)
        return 0;
    for (uint64_t at = from; at < to; at += PAGE_SIZE) {
        uint32_t frame = chunk->frame[at / PAGE_SIZE % BLOCK_PAGES];
        if (!frame)
            continue;
        int error = mm_fill(mm, at, at + PAGE_SIZE, frame_hva(frame), frame_rights(r, chunk, frame), false);
        if (error)
            return error;
    }
    return 0;
}

static enum mm_fault fault_anonymous(struct mm *mm, struct region *r, uint64_t address)
{
    if (fill_block(mm, r, address))
        return MM_RESOLVED;
    struct chunk *chunk = mm_own_chunk(mm, address);
    if (!chunk)
        return MM_NO_MEMORY;
    uint64_t block = address & ~(BLOCK_SIZE - 1), around = AROUND_PAGES * PAGE_SIZE;
    uint64_t from = max_u64(max_u64(block, r->start), address & ~(around - 1));
    uint64_t to = min_u64(min_u64(block + BLOCK_SIZE, r->end), (address & ~(around - 1)) + around);
    for (uint64_t at = from; at < to; at += PAGE_SIZE) {
        uint32_t *frame = &chunk->frame[at / PAGE_SIZE % BLOCK_PAGES];
        if (!*frame)
            *frame = frame_alloc();
        if (*frame && mm_fill(mm, at, at + PAGE_SIZE, frame_hva(*frame), frame_rights(r, chunk, *frame), false) &&
            at == address)
            return MM_NO_MEMORY;
        if (!*frame && at == address)
            return MM_NO_MEMORY;
    }
    return MM_RESOLVED;
}

/* Pages of the file around address: the whole block, up to the end of region, window and file. */
static enum mm_fault fault_file(struct mm *mm, struct region *r, uint64_t address, uint64_t error_code)
{
    uint64_t size = page_up(file_size(r->file)), offset = r->offset + (address - r->start);
    if (offset >= size)
        return MM_BEYOND_FILE;
    uint64_t block = address & ~(BLOCK_SIZE - 1);
    uint64_t from = max_u64(block, r->start), to = min_u64(block + BLOCK_SIZE, r->end);
    uint64_t from_offset = r->offset + (from - r->start);
    to = min_u64(to, from + (size - from_offset));
    uint64_t rights = mm_rights(r);
    if (r->kind == REGION_FILE_PRIVATE) {
        rights &= ~PTE_W;
        int error = fill_existing(mm, r, address);
        if (error)
            return MM_NO_MEMORY;
    }
    bool huge = r->kind == REGION_FILE_SHARED || !mm_chunk(mm, address);
    if (mm->careful) {
        uint64_t length = PAGE_SIZE;
        char *hva;
        int error = file_hva(r->file, offset, &length, &hva);
        if (!error && mm_page_is_lost(mm, hva, error_code))
            return MM_BEYOND_FILE;
        return no_memory_unless(error ? error : mm_fill(mm, address, address + PAGE_SIZE, hva, rights, false));
    }
    for (uint64_t at = from; at < to;) {
        uint64_t length = to - at;
        char *hva;
        int error = file_hva(r->file, r->offset + (at - r->start), &length, &hva);
        if (!error)
            error = mm_fill(mm, at, at + length, hva, rights, huge && !((uint64_t)hva & (BLOCK_SIZE - 1)));
        if (error)
            return MM_NO_MEMORY;
        at += length;
    }
    return MM_RESOLVED;
}

/* A write to private memory whose page is there: its own page, writable; copied if anybody else may see it. */
enum mm_fault mm_break_cow(struct mm_change *change, struct region *r, uint64_t address)
{
    struct mm *mm = change->mm;
    uint64_t page = address & PAGE_MASK;
    struct chunk *chunk = mm_own_chunk(mm, page);
    if (!chunk)
        return MM_NO_MEMORY;
    uint32_t *frame = &chunk->frame[page / PAGE_SIZE % BLOCK_PAGES], old = *frame;
    if (old && frame_references(old) == 1) {
        /* Nobody else has it. A 2 MiB entry all of whose frames are ours becomes writable again as it is. */
        uint64_t size, entry = pagetable_lookup(&mm->pt, page, &size);
        if (entry && size == BLOCK_SIZE && (entry & PTE_W))
            return MM_RESOLVED;
        return mm_replace_page(change, page, frame_hva(old), mm_rights(r)) ? MM_RESOLVED : MM_NO_MEMORY;
    }
    if (!mm_gather_room(change, 1, 0))
        return MM_NO_MEMORY;
    uint32_t fresh = frame_alloc();
    if (!fresh)
        return MM_NO_MEMORY;
    if (old) {
        memcpy(frame_hva(fresh), frame_hva(old), PAGE_SIZE);
    } else {
        ssize_t n = file_read(r->file, frame_hva(fresh), PAGE_SIZE, r->offset + (page - r->start));
        if (n <= 0) {
            frame_drop(fresh);
            return n < 0 ? MM_NO_MEMORY : MM_BEYOND_FILE;
        }
    }
    if (!mm_replace_page(change, page, frame_hva(fresh), mm_rights(r))) {
        frame_drop(fresh);
        return MM_NO_MEMORY;
    }
    *frame = fresh;
    if (old)
        change->frames[change->frame_count++] = old;
    return MM_RESOLVED;
}

static bool allowed(const struct region *r, uint64_t error)
{
    if (r->privileged)
        return false;
    if (error & ERROR_WRITE)
        return r->prot & PROT_WRITE;
    if (error & ERROR_FETCH)
        return r->prot & PROT_EXEC;
    return r->prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
}

static bool entry_suffices(uint64_t entry, uint64_t error)
{
    return entry && (entry & PTE_U) && (!(error & ERROR_WRITE) || (entry & PTE_W)) &&
           (!(error & ERROR_FETCH) || !(entry & PTE_NX));
}

static enum mm_fault widen_rights(
    struct mm_change *change, const struct region *r, uint64_t address, uint64_t entry, uint64_t size)
{
    uint64_t pa = (entry & PTE_ADDRESS) + (address & (size - 1) & PAGE_MASK);
    return mm_replace_page(change, address & PAGE_MASK, physmem_hva((gpa_t){pa}), mm_rights(r)) ? MM_RESOLVED
                                                                                                : MM_NO_MEMORY;
}

static enum mm_fault fault_private(
    struct mm_change *change, struct region *r, uint64_t address, uint64_t error, uint64_t entry)
{
    struct mm *mm = change->mm;
    struct chunk *chunk = mm_chunk(mm, address);
    bool have = chunk && chunk->frame[address / PAGE_SIZE % BLOCK_PAGES];
    if (entry && !(error & ERROR_WRITE)) { /* present, but without the right to be fetched: it has been given since */
        uint64_t size;
        pagetable_lookup(&mm->pt, address, &size);
        struct region as_mapped = *r;
        if (!(entry & PTE_W))
            as_mapped.prot &= ~PROT_WRITE;
        return widen_rights(change, &as_mapped, address, entry, size);
    }
    if ((error & ERROR_WRITE) && (have || r->kind == REGION_FILE_PRIVATE)) {
        if (!have && r->offset + (address - r->start) >= page_up(file_size(r->file)))
            return MM_BEYOND_FILE;
        return mm_break_cow(change, r, address);
    }
    if (have) /* whatever has become of the file */
        return no_memory_unless(fill_existing(mm, r, address));
    return r->kind == REGION_ANONYMOUS ? fault_anonymous(mm, r, address) : fault_file(mm, r, address, error);
}

enum mm_fault mm_fault(struct mm_change *change, uint64_t address, uint64_t error)
{
    struct mm *mm = change->mm;
    if (address >= USER_END)
        return MM_NOT_MAPPED;
    if (mm->self)
        return mm_self_fault(mm, address, error);
    struct region *r = region_find(&mm->regions, address);
    if (!r)
        return MM_NOT_MAPPED;
    if (!allowed(r, error))
        return MM_DENIED;
    uint64_t size, entry = pagetable_lookup(&mm->pt, address, &size);
    if (entry_suffices(entry, error))
        return MM_RESOLVED; /* by somebody else meanwhile, or the translation was an old one */
    if (r->kind != REGION_FILE_SHARED)
        return fault_private(change, r, address & PAGE_MASK, error, entry);
    return entry ? widen_rights(change, r, address, entry, size) : fault_file(mm, r, address & PAGE_MASK, error);
}

static void distrust_own(struct mm_change *change)
{
    struct mm *mm = change->mm;
    /* What /proc/self/maps said may be outdated. */
    for (struct region *r = region_at_or_after(&mm->regions, 0), *next; r; r = next) {
        next = region_next(r);
        if (r->kind == REGION_OBSERVED)
            regions_remove(&mm->regions, r->start, r->end);
    }
    mm_unmap_pages(change, 0, USER_END);
    mm->careful = CAREFUL_FAULTS;
}

static void distrust_files(struct mm_change *change, bool all)
{
    struct mm *mm = change->mm;
    for (struct region *r = region_at_or_after(&mm->regions, 0); r; r = region_next(r)) {
        uint64_t size = !r->file ? UINT64_MAX : all ? 0 : page_up(file_size(r->file));
        if (r->file && r->offset + (r->end - r->start) > size) {
            uint64_t from = r->offset >= size ? r->start : r->start + (size - r->offset);
            mm_unmap_pages(change, from & ~(BLOCK_SIZE - 1), r->end);
        }
    }
}

void mm_distrust_windows(struct mm *mm)
{
    struct mm_change change;
    mm_begin(mm, &change);
    if (mm->self) {
        distrust_own(&change);
    } else {
        distrust_files(&change, false);
        if (!change.changed) { /* no file has become too short: a disk is full, or cannot be read */
            distrust_files(&change, true);
            mm->careful = CAREFUL_FAULTS;
        }
    }
    mm_finish(&change);
}

/* ---------------------------------------------------------------- copies */

static int copy_regions(struct mm *from, struct mm *to)
{
    for (struct region *r = region_at_or_after(&from->regions, 0); r; r = region_next(r)) {
        if (!regions_reserve(&to->regions, 1))
            return -ENOMEM;
        regions_add(&to->regions, r);
    }
    return 0;
}

static int copy_chunks(struct mm *from, struct mm *to)
{
    if (from->chunk_capacity > CHUNKS_INLINE) {
        to->chunks = record_alloc(from->chunk_capacity * sizeof *to->chunks);
        if (!to->chunks) {
            to->chunks = to->fixed_chunks;
            return -ENOMEM;
        }
        to->chunk_capacity = from->chunk_capacity;
    }
    memcpy(to->chunks, from->chunks, from->chunk_capacity * sizeof *to->chunks);
    to->chunk_count = from->chunk_count;
    for (uint32_t i = 0; i < to->chunk_capacity; i++) {
        if (to->chunks[i].key)
            chunk_hold(to->chunks[i].chunk);
    }
    return 0;
}

int mm_copy(struct mm *mm, struct mm **result)
{
    struct mm *copy;
    if (mm->self)
        return -EINVAL;
    int error = mm_new(&copy);
    if (error)
        return error;
    struct mm_change change;
    mm_begin(mm, &change);
    error = copy_regions(mm, copy);
    /* The original loses its upper levels, a handful of edits, and gets fresh tables, read-only, at its faults:
     * touching every present entry would cost ring 0 a microsecond each where it is emulated. */
    if (!error && mm->chunk_count && !mm_unmap_pages(&change, 0, USER_END))
        error = -ENOMEM;
    if (!error)
        error = copy_chunks(mm, copy);
    mm_finish(&change);
    if (error)
        mm_drop(copy);
    else
        *result = copy;
    return error;
}
