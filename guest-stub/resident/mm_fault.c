/* SPDX-License-Identifier: MIT */
/* mm: what a fault of ring 3 finds, memory that is shared copy-on-write, and copies of spaces. */
#include "cpu.h"
#include "file.h"
#include "machine.h"
#include "mm.h"
#include "tables.h"
#include <polder/freestanding.h>

#define ERROR_WRITE 2
#define ERROR_FETCH 16

/* How many pages of a file are mapped around a fault. */
#define AROUND_PAGES 16

static void set_present(struct mm_change *change, uint64_t address, uint64_t *entry, uint64_t value)
{
    uint64_t old = *entry;
    entry_set(entry, value);
    if (old & PTE_P)
        mm_note_change(change, address);
}

/* A private page is there, and not writable: it becomes so if nobody else has it, else a copy does. */
static enum mm_fault break_cow(struct mm_change *change, const struct region *r, uint64_t address, uint64_t *entry)
{
    uint64_t old = *entry & PTE_ADDRESS;
    if (frame_is_ram(old) && frame_references(old) == 1) {
        set_present(change, address, entry, old | mm_rights(r));
        return MM_RESOLVED;
    }
    uint64_t fresh = frame_alloc();
    if (!fresh)
        return MM_NO_MEMORY;
    memcpy(direct(fresh), direct(old), PAGE_SIZE);
    bool seen = *entry & PTE_P;
    set_present(change, address, entry, fresh | mm_rights(r));
    if (seen && machine.cpu_count > 1)
        mm_flush(change);
    if (frame_is_ram(old))
        frame_drop(old, &change->frames);
    return MM_RESOLVED;
}

/* A page of a file where nothing is yet. */
static enum mm_fault bring_in_file(
    struct mm_change *change, const struct region *r, uint64_t address, uint64_t *entry, bool write)
{
    uint64_t pa, rights = mm_rights(r);
    int error = file_page(r->file, r->offset + (address - r->start), true, &pa);
    if (__builtin_expect(error != 0, 0))
        return error == -ERANGE ? MM_BEYOND_FILE : MM_NO_MEMORY;
    if (r->kind == REGION_FILE_PRIVATE) {
        rights &= ~PTE_W;
        if (write) {
            entry_set(entry, pa | PTE_HELD); /* what break_cow copies and drops */
            return break_cow(change, r, address, entry);
        }
    }
    entry_set(entry, pa | rights);
    return MM_RESOLVED;
}

enum mm_fault mm_bring_in_file(struct mm_change *change, const struct region *r, uint64_t page, bool write)
{
    uint64_t *entry = table_entry_make(change->mm->root, page);
    if (!entry)
        return MM_NO_MEMORY;
    return *entry ? MM_RESOLVED : bring_in_file(change, r, page, entry, write);
}

enum mm_fault mm_bring_in(struct mm_change *change, struct region *r, uint64_t address, bool write)
{
    uint64_t page = address & PAGE_MASK;
    uint64_t *entry = table_entry_make(change->mm->root, page);
    if (!entry)
        return MM_NO_MEMORY;
    uint64_t value = *entry;
    if (value & (PTE_P | PTE_HELD)) {
        if (write && !(value & PTE_W) && r->kind != REGION_FILE_SHARED)
            return break_cow(change, r, page, entry);
        uint64_t rights = mm_rights(r);
        if (r->kind != REGION_FILE_SHARED && !(value & PTE_W))
            rights &= ~PTE_W;
        set_present(change, page, entry, (value & PTE_ADDRESS) | rights);
        return MM_RESOLVED;
    }
    if (r->kind != REGION_ANONYMOUS)
        return bring_in_file(change, r, page, entry, write);
    uint64_t pa = frame_alloc_zeroed();
    if (!pa)
        return MM_NO_MEMORY;
    entry_set(entry, pa | mm_rights(r));
    return MM_RESOLVED;
}

/* What a program reads in one place it reads nearby: a fault costs more than an entry. */
static void map_around(struct mm_change *change, const struct region *r, uint64_t address)
{
    uint64_t around = AROUND_PAGES * PAGE_SIZE, first = address & ~(around - 1);
    uint64_t from = max_u64(first, r->start), to = min_u64(first + around, r->end);
    uint64_t *entry = table_entry(change->mm->root, from);
    for (uint64_t page = from; entry && page < to; page += PAGE_SIZE, entry++) {
        if (!*entry && bring_in_file(change, r, page, entry, false) != MM_RESOLVED)
            return;
    }
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
    return (entry & PTE_P) && (entry & PTE_U) && (!(error & ERROR_WRITE) || (entry & PTE_W)) &&
           (!(error & ERROR_FETCH) || !(entry & PTE_NX));
}

enum mm_fault mm_fault(struct mm_change *change, uint64_t address, uint64_t error)
{
    struct mm *mm = change->mm;
    if (address >= USER_END)
        return MM_NOT_MAPPED;
    struct region *r = region_find(&mm->regions, address);
    if (!r)
        return MM_NOT_MAPPED;
    if (!allowed(r, error))
        return MM_DENIED;
    uint64_t *entry = table_entry(mm->root, address);
    if (entry && entry_suffices(*entry, error)) {
        /* By another vCPU meanwhile, or the translation here was an old one. */
        __asm__ volatile("invlpg %0" : : "m"(*(char *)address) : "memory");
        return MM_WAS_THERE;
    }
    enum mm_fault result = mm_bring_in(change, r, address, error & ERROR_WRITE);
    if (result == MM_RESOLVED && r->kind != REGION_ANONYMOUS && !(error & ERROR_WRITE))
        map_around(change, r, address);
    return result;
}

/* ---------------------------------------------------------------- copies */

struct copying {
    struct mm_change *change;
    struct mm *copy;
    bool shared;
    bool failed;
};

/* The copy's table is made if there is anything to put into it. */
static void copy_pages(void *opaque, uint64_t address, uint64_t *entry, unsigned count)
{
    struct copying *c = opaque;
    uint64_t *copy = NULL;
    uint32_t come = 0;
    if (c->failed)
        return;
    FOR_ENTRIES(i, entry, count)
    {
        uint64_t value = entry[i], pa = value & PTE_ADDRESS;
        if (!copy) {
            copy = table_entry_make(c->copy->root, address);
            if (!copy) {
                c->failed = true;
                return;
            }
        }
        if (!c->shared && (value & PTE_W)) {
            value &= ~PTE_W;
            entry[i] = value;
            mm_note_change(c->change, address + i * PAGE_SIZE);
        }
        if (frame_is_ram(pa))
            frame_hold(pa);
        copy[i] = value;
        come++;
    }
    if (copy)
        entries_come(copy, come);
}

static int copy_all(struct mm_change *change, struct mm *copy)
{
    struct copying c = {.change = change, .copy = copy};
    for (struct region *r = region_at_or_after(&change->mm->regions, 0); r; r = region_next(r)) {
        if (!regions_reserve(&copy->regions, 1))
            return -ENOMEM;
        regions_add(&copy->regions, r);
        c.shared = r->kind == REGION_FILE_SHARED;
        tables_visit(change->mm->root, r->start, r->end, copy_pages, &c, &change->tables);
        if (c.failed)
            return -ENOMEM;
    }
    return 0;
}

int mm_copy(struct mm *mm, struct mm **result)
{
    struct mm *copy;
    if (mm == mm_own())
        return -EINVAL;
    int error = mm_new(&copy);
    if (error)
        return error;
    struct mm_change change;
    mm_begin(mm, &change);
    lock(&copy->lock); /* it is among all the spaces already: mms_forget_file finds it */
    error = copy_all(&change, copy);
    unlock(&copy->lock);
    mm_finish(&change);
    if (error)
        mm_drop(copy);
    else
        *result = copy;
    return error;
}
