/* SPDX-License-Identifier: MIT */
/*
 * mm: the spaces of a resident kernel. What is mapped where stands in regions, as in a hosted space; the pages
 * themselves stand in the page table, whose entries own a reference of their frame each.
 *
 * Everything here is done under mm->lock, between mm_begin and mm_finish. What an operation takes away is gathered and
 * freed only once no vCPU can reach it. All functions return 0 or a value, or -errno.
 */
#ifndef RESIDENT_MM_H
#define RESIDENT_MM_H

#include "frames.h"
#include "lock.h"
#include "region.h"
#include "tables.h"
#include <polder/polder.h>

struct mm {
    struct lock lock;
    uint32_t references; /* descriptors and calls under way */
    uint64_t root;
    uint64_t generation; /* raised when a present entry has changed */
    uint64_t serial;     /* never used twice */
    struct regions regions;
    struct mm *next, *previous; /* in the list of all */
};

struct mm_change {
    struct mm *mm;
    uint64_t page;    /* the page whose present entry was changed, if it is one */
    uint32_t changed; /* how many */
    bool hidden;      /* pages that others hold too were made not present, but are held still: to be flushed first */
    bool at_once;     /* references may go before the flush */
    struct frame_list frames, tables;
};

/* The kernel's own space, made by mm_init. */
void mm_init(void);
struct mm *mm_own(void);
/* Something is mapped in its lower half: the kernel may use it at any time, so its root must be loaded while it runs.
 */
bool mm_own_in_use(void);

int mm_new(struct mm **mm);
static inline void mm_hold(struct mm *mm)
{
    __atomic_fetch_add(&mm->references, 1, __ATOMIC_RELAXED);
}
void mm_free(struct mm *mm);
static inline void mm_drop(struct mm *mm)
{
    if (!__atomic_sub_fetch(&mm->references, 1, __ATOMIC_ACQ_REL))
        mm_free(mm);
}
int mm_copy(struct mm *mm, struct mm **copy);

static inline void mm_begin(struct mm *mm, struct mm_change *change)
{
    *change = (struct mm_change){.mm = mm};
    lock(&mm->lock);
}
/*
 * What was changed so far is flushed everywhere. Who gives up a reference of a page that others hold, or of a file,
 * does so after this: nobody else waits for this space's vCPUs before the last one gives the page back.
 */
void mm_flush(struct mm_change *change);
void mm_finish_changed(struct mm_change *change);
static inline void mm_finish(struct mm_change *change)
{
    if (__builtin_expect(change->changed || change->tables.first || change->frames.first, 0))
        mm_finish_changed(change);
    else
        unlock(&change->mm->lock);
}

/* file: held by the caller; NULL for anonymous memory. */
int mm_map(struct mm_change *change, uint64_t start, uint64_t length, int prot, int flags, struct file *file,
    uint64_t offset, uint64_t *result);
int mm_unmap(struct mm_change *change, uint64_t start, uint64_t length);
int mm_protect(struct mm_change *change, uint64_t start, uint64_t length, int prot);

enum mm_fault { MM_RESOLVED, MM_WAS_THERE, MM_NOT_MAPPED, MM_DENIED, MM_BEYOND_FILE, MM_NO_MEMORY };

/* A fault of ring 3; error is the hardware's code, of which W (2) and I (16) count. */
enum mm_fault mm_fault(struct mm_change *change, uint64_t address, uint64_t error);

ssize_t mm_read(struct mm *mm, void *buf, size_t count, uint64_t addr);
ssize_t mm_write(struct mm *mm, const void *buf, size_t count, uint64_t addr);

/* Takes the file's own pages from offset on out of every space. */
void mms_forget_file(struct file *file, uint64_t offset);

/* Shared by the parts of mm. */
static inline uint64_t mm_rights(const struct region *region)
{
    uint64_t rights = PTE_P | PTE_A | PTE_D;
    if (!region->privileged)
        rights |= PTE_U;
    if (region->prot & PROT_WRITE)
        rights |= PTE_W;
    if (!(region->prot & PROT_EXEC))
        rights |= PTE_NX;
    return rights;
}

static inline void mm_note_change(struct mm_change *change, uint64_t address)
{
    change->page = address & PAGE_MASK;
    change->changed++;
}

/* Makes the page of address there, for writing if write. */
enum mm_fault mm_bring_in_file(struct mm_change *change, const struct region *r, uint64_t page, bool write);
enum mm_fault mm_bring_in(struct mm_change *change, struct region *region, uint64_t address, bool write);

#endif
