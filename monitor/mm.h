/* SPDX-License-Identifier: MIT */
/*
 * mm: address spaces. What is mapped where (regions), the private pages (chunks), the page table that is filled from
 * both, and who runs in it now.
 *
 * The rules, in one place:
 *  - Everything here is done under mm->lock. While a vCPU carries out this space's edits (mm->editor), nothing is
 * changed.
 *  - A present page-table entry is changed by putting an edit; not-present to present is stored directly, unless an
 * edit is pending for that entry.
 *  - Every put edit raises mm->generation; a vCPU that enters with an older one flushes itself.
 *  - What an operation takes away (frames, table pages) is gathered, and freed only after every vCPU that was inside
 * has left: struct mm_change.
 *
 * All functions return 0 or a value, or -errno.
 */
#ifndef MONITOR_MM_H
#define MONITOR_MM_H

#include "edits.h"
#include "frames.h"
#include "pagetable.h"
#include "proceed/proceed.h"
#include "region.h"
#include "tables.h"
#include "types.h"
#include <polder/polder.h>
#include <pthread.h>

struct vcpu;

/* The chunk of a 2 MiB block, by address / 2 MiB. Open addressing; block + 1, 0: free. */
struct chunk_slot {
    uint64_t key;
    struct chunk *chunk;
};

#define CHUNKS_INLINE 4

struct mm {
    pthread_mutex_t lock;
    uint32_t references; /* descriptors and runs */
    bool self;
    bool loaded;      /* the root has been in some vCPU's CR3 */
    uint32_t careful; /* so many faults look at the very page before it is mapped: memory has gone lately */
    struct pagetable pt;
    struct edits edits;
    uint64_t generation;
    struct vcpu *editor;
    uint32_t leaving;           /* operations that still wait for vCPUs to come out */
    struct table_list released; /* by the operation under way */
    struct regions regions;
    struct chunk_slot *chunks;
    uint32_t chunk_capacity, chunk_count;
    struct chunk_slot fixed_chunks[CHUNKS_INLINE];
    uint64_t serial; /* never used twice: tells a root page that was reused from the one it was */
};

#define MM_MAX_INSIDE 256

/* What an operation has to finish after the lock is gone. */
struct mm_change {
    struct mm *mm;
    bool changed; /* a present entry was */
    struct table_list tables;
    uint32_t *frames; /* taken away, to be dropped; records, with room made before anything is changed */
    uint32_t frame_count, frame_capacity;
    struct chunk **chunks; /* whole ones, likewise */
    uint32_t chunk_count, chunk_capacity;
    struct file **files; /* whose mappings were: their windows stay until then */
    uint32_t files_count, files_capacity;
    struct file *file; /* of file_fd, held: one identity check per descriptor and call, however many operations */
    int file_fd;
    bool file_writable;
    uint32_t inside_count;
    struct {
        struct vcpu *vcpu;
        uint64_t run;
    } inside[MM_MAX_INSIDE];
};

int mm_new(struct mm **mm);
/* The caller's own space; one per process, made when first asked for. Held. */
int mm_get_self(struct mm **mm);
void mm_hold(struct mm *mm);
/* The last one frees the space. No vCPU is inside then. */
void mm_drop(struct mm *mm);

void mm_begin(struct mm *mm, struct mm_change *change);
/* Unlocks, forces out whoever is inside if something present was changed, and frees what was taken away. */
void mm_finish(struct mm_change *change);

/* With the lock held, between mm_begin and mm_finish. Any number of them. */
int mm_map(struct mm_change *change, uint64_t start, uint64_t length, int prot, int flags, int fd, uint64_t offset,
    uint64_t *result);
int mm_unmap(struct mm_change *change, uint64_t start, uint64_t length);
int mm_protect(struct mm_change *change, uint64_t start, uint64_t length, int prot);

/* The caller's own process, mm_self.c: the host's own call and the record. */
int mm_self_map(struct mm_change *change, uint64_t start, uint64_t length, int prot, int flags, int fd, uint64_t offset,
    uint64_t *result);
int mm_self_unmap(struct mm_change *change, uint64_t start, uint64_t length);
int mm_self_protect(struct mm_change *change, uint64_t start, uint64_t length, int prot);

int mm_copy(struct mm *mm, struct mm **copy);
/* A new space with the memory of a foreign process. */
int mm_snapshot(pid_t pid, struct mm **mm);

enum mm_fault { MM_RESOLVED, MM_NOT_MAPPED, MM_DENIED, MM_BEYOND_FILE, MM_NO_MEMORY };

/* A fault of ring 3, between mm_begin and mm_finish; error is the hardware's code, of which W (2) and I (16) count. */
enum mm_fault mm_fault(struct mm_change *change, uint64_t address, uint64_t error);
/* KVM_RUN said EFAULT: some window has lost its memory. Takes away what may lead there, so that the next access faults.
 */
void mm_distrust_windows(struct mm *mm);

/* Shared by the parts of mm. */
uint64_t mm_rights(const struct region *region);
bool mm_unmap_pages(struct mm_change *change, uint64_t start, uint64_t end);
struct chunk *mm_chunk(struct mm *mm, uint64_t address);
/* A private chunk of that block: made or cloned; NULL without memory. */
struct chunk *mm_own_chunk(struct mm *mm, uint64_t address);
int mm_fill(struct mm *mm, uint64_t start, uint64_t end, const void *hva, uint64_t rights, bool huge);
enum mm_fault mm_self_fault(struct mm *mm, uint64_t address, uint64_t error);
/* Looks at a page of a window before it is mapped, while memory is going: it has none behind it. */
bool mm_page_is_lost(struct mm *mm, const void *hva, uint64_t error);
void mm_wait_editor(struct mm *mm);
bool mm_replace_page(struct mm_change *change, uint64_t address, const void *hva, uint64_t rights);
enum mm_fault mm_break_cow(struct mm_change *change, struct region *region, uint64_t address);
/* Makes room for gathering so many; false without memory. */
bool mm_gather_room(struct mm_change *change, uint32_t frames, uint32_t chunks);

#endif
