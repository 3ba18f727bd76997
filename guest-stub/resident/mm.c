/* SPDX-License-Identifier: MIT */
#include "mm.h"
#include "arena.h"
#include "cpu.h"
#include "file.h"
#include "machine.h"
#include "map_args.h"
#include "records.h"
#include "tables.h"
#include <polder/freestanding.h>

static struct {
    struct lock lock;
    struct mm *all, *last; /* in the order in which they were made */
    uint64_t last_serial;
    struct mm own;
} mms;

/* ---------------------------------------------------------------- life */

/* A copy stands behind its original: who takes a file's pages out of all of them, one by one, comes to it later, when
 * there is no more to be copied. */
static void enlist(struct mm *mm)
{
    lock(&mms.lock);
    mm->serial = ++mms.last_serial;
    mm->previous = mms.last;
    if (mm->previous)
        mm->previous->next = mm;
    else
        mms.all = mm;
    mms.last = mm;
    unlock(&mms.lock);
}

static void delist(struct mm *mm)
{
    lock(&mms.lock);
    if (mm->next)
        mm->next->previous = mm->previous;
    else
        mms.last = mm->previous;
    if (mm->previous)
        mm->previous->next = mm->next;
    else
        mms.all = mm->next;
    unlock(&mms.lock);
}

void mm_init(void)
{
    mms.own.references = 1;
    mms.own.root = tables_own_root();
    regions_init(&mms.own.regions);
    enlist(&mms.own);
}

struct mm *mm_own(void)
{
    return &mms.own;
}

bool mm_own_in_use(void)
{
    return mms.own.regions.count != 0;
}

int mm_new(struct mm **result)
{
    struct mm *mm = record_alloc(sizeof *mm);
    if (!mm)
        return -ENOMEM;
    mm->references = 1;
    mm->root = root_alloc();
    if (!mm->root) {
        record_free(mm, sizeof *mm);
        return -ENOMEM;
    }
    regions_init(&mm->regions);
    enlist(mm);
    *result = mm;
    return 0;
}

static void drop_pages(void *opaque, uint64_t address, uint64_t *entry, unsigned count)
{
    struct mm_change *change = opaque;
    uint32_t gone = 0;
    bool hide = machine.cpu_count > 1 && !change->at_once;
    FOR_ENTRIES(i, entry, count)
    {
        uint64_t value = entry[i], pa = value & PTE_ADDRESS;
        if (hide && (value & PTE_P) && frame_is_ram(pa) && frame_references(pa) > 1) {
            entry_set(&entry[i], pa | PTE_HELD);
            mm_note_change(change, address + i * PAGE_SIZE);
            change->hidden = true;
            continue;
        }
        entry[i] = 0;
        gone++;
        if (value & PTE_P)
            mm_note_change(change, address + i * PAGE_SIZE);
        if (frame_is_ram(pa))
            frame_drop(pa, &change->frames);
    }
    entries_gone(entry, gone);
}

void mm_free(struct mm *mm)
{
    struct mm_change change = {.mm = mm, .at_once = true};
    delist(mm);
    cpu_evict(mm->root);
    tables_visit(mm->root, 0, USER_END, drop_pages, &change, &change.tables);
    frames_free(&change.frames);
    tables_free(&change.tables);
    root_free(mm->root);
    regions_fini(&mm->regions);
    record_free(mm, sizeof *mm);
}

/* ---------------------------------------------------------------- changes */

/* Tables that went are a change too, if none of their pages was present: CPUs keep upper levels of the walk as well. */
void mm_flush(struct mm_change *change)
{
    struct mm *mm = change->mm;
    if (change->changed || change->tables.first) {
        __atomic_store_n(&mm->generation, mm->generation + 1, __ATOMIC_SEQ_CST);
        if (change->changed == 1)
            cpu_flush_page(mm, change->page);
        cpu_shoot_down(mm);
    }
    change->changed = 0;
    change->hidden = false;
}

void mm_finish_changed(struct mm_change *change)
{
    mm_flush(change);
    unlock(&change->mm->lock);
    if (change->tables.first)
        tables_free(&change->tables);
    if (change->frames.first)
        frames_free(&change->frames);
}

static void remove_range(struct mm_change *change, uint64_t start, uint64_t end)
{
    struct region *r = region_at_or_after(&change->mm->regions, start);
    if (!r || r->start >= end)
        return;
    if (change->hidden) /* by an operation before this one */
        mm_flush(change);
    tables_visit(change->mm->root, start, end, drop_pages, change, &change->tables);
    if (change->hidden) {
        mm_flush(change);
        tables_visit(change->mm->root, start, end, drop_pages, change, &change->tables);
    }
    regions_remove(&change->mm->regions, start, end);
}

/* ---------------------------------------------------------------- mmap */

/* A mapping of a file of at most so many pages is filled at once: whoever maps a page at its fault wants it now. */
#define EAGER_PAGES 16

static int populate(struct mm_change *change, struct region *r, uint64_t start, uint64_t end)
{
    bool write = change->mm == mm_own() && (r->prot & PROT_WRITE);
    if (!(r->prot & (PROT_READ | PROT_WRITE | PROT_EXEC)))
        return 0;
    for (uint64_t page = start; page < end; page += PAGE_SIZE) {
        enum mm_fault result = mm_bring_in(change, r, page, write);
        if (result == MM_NO_MEMORY)
            return -ENOMEM;
    }
    return 0;
}

/* The kernel itself uses its own space, and must not fault: all is there from the start. */
static int map_own(struct mm_change *change, uint64_t start, uint64_t end)
{
    int error = populate(change, region_find(&change->mm->regions, start), start, end);
    if (error && regions_reserve(&change->mm->regions, 2))
        remove_range(change, start, end);
    return error;
}

static int map_model(
    struct mm_change *change, struct region *model, uint64_t hint, uint64_t length, int flags, uint64_t *result)
{
    struct mm *mm = change->mm;
    bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
    uint64_t start = fixed ? hint : map_choose(&mm->regions, page_up(hint), length, false);
    if (!start && !fixed)
        return -ENOMEM;
    if (flags & MAP_FIXED_NOREPLACE) {
        struct region *r = region_at_or_after(&mm->regions, start);
        if (r && r->start < start + length)
            return -EEXIST;
    }
    if (!regions_reserve(&mm->regions, 3))
        return -ENOMEM;
    remove_range(change, start, start + length);
    model->start = start;
    model->end = start + length;
    regions_add(&mm->regions, model);
    *result = start;
    bool eager =
        model->file && length <= EAGER_PAGES * PAGE_SIZE && (model->prot & (PROT_READ | PROT_WRITE | PROT_EXEC));
    if (mm == mm_own())
        return map_own(change, start, start + length);
    /* Running out of memory here, or of file, costs only a fault later. */
    for (uint64_t page = start; eager && page < start + length; page += PAGE_SIZE) {
        if (mm_bring_in_file(change, model, page, false) != MM_RESOLVED)
            return 0;
    }
    if (flags & MAP_POPULATE)
        populate(change, model, start, start + length);
    return 0;
}

int mm_map(struct mm_change *change, uint64_t start, uint64_t length, int prot, int flags, struct file *file,
    uint64_t offset, uint64_t *result)
{
    int error = map_check(start, length, flags, offset);
    if (error)
        return error;
    length = page_up(length);
    bool shared = (flags & MAP_SHARED);
    struct region model = {.kind = shared ? REGION_FILE_SHARED : REGION_FILE_PRIVATE,
        .prot = prot & (PROT_READ | PROT_WRITE | PROT_EXEC),
        .privileged = prot & POLDER_PRIVILEGED,
        .offset = offset,
        .file = file,
        .file_writable = true};
    if (file) {
        model.file_writable = file->writable;
        if (shared && (prot & PROT_WRITE) && !file->writable)
            return -EACCES;
        return map_model(change, &model, start, length, flags, result);
    }
    model.offset = 0;
    if (!shared) {
        model.kind = REGION_ANONYMOUS;
        return map_model(change, &model, start, length, flags, result);
    }
    model.file = file_new(length);
    if (!model.file)
        return -ENOMEM;
    error = map_model(change, &model, start, length, flags, result);
    file_drop(model.file);
    return error;
}

/* ---------------------------------------------------------------- munmap, mprotect */

int mm_unmap(struct mm_change *change, uint64_t start, uint64_t length)
{
    if (range_check(start, length) || length == 0)
        return -EINVAL;
    if (!regions_reserve(&change->mm->regions, 2))
        return -ENOMEM;
    remove_range(change, start, start + page_up(length));
    return 0;
}

struct protecting {
    struct mm_change *change;
    const struct region *region;
};

static void protect_pages(void *opaque, uint64_t address, uint64_t *entry, unsigned count)
{
    const struct protecting *p = opaque;
    FOR_ENTRIES(i, entry, count)
    {
        uint64_t old = entry[i], pa = old & PTE_ADDRESS, value = pa | PTE_HELD;
        if (p->region->prot) {
            value = pa | mm_rights(p->region);
            /* Private pages may be shared, with copies or with the file: who writes finds out by a fault. */
            if (p->region->kind != REGION_FILE_SHARED && !(frame_is_ram(pa) && frame_references(pa) == 1))
                value &= ~PTE_W;
        }
        if (value == old)
            continue;
        entry_set(&entry[i], value);
        if (old & PTE_P)
            mm_note_change(p->change, address + i * PAGE_SIZE);
        p->change->hidden |= (old & PTE_P) && !(value & PTE_P);
    }
}

int mm_protect(struct mm_change *change, uint64_t start, uint64_t length, int prot)
{
    struct mm *mm = change->mm;
    uint8_t rwx = prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
    if (!prot_check(prot))
        return -EINVAL;
    int error = range_check(start, length);
    if (error || length == 0)
        return error;
    uint64_t end = start + page_up(length);
    bool declare = mm == mm_own() && prot == POLDER_PRIVILEGED;
    if (!declare && !regions_cover(&mm->regions, start, end)) /* polder.h: what is declared need not be mapped */
        return -ENOMEM;
    for (struct region *r = region_at_or_after(&mm->regions, start); r && r->start < end; r = region_next(r)) {
        if ((rwx & PROT_WRITE) && r->kind == REGION_FILE_SHARED && !r->file_writable)
            return -EACCES;
    }
    if (!regions_reserve(&mm->regions, 2))
        return -ENOMEM;
    regions_split(&mm->regions, start);
    regions_split(&mm->regions, end);
    for (struct region *r = region_at_or_after(&mm->regions, start); r && r->start < end; r = region_next(r)) {
        r->privileged = prot & POLDER_PRIVILEGED;
        if (!declare) /* of the kernel's own: hidden from ring 3, and the kernel goes on using it */
            r->prot = rwx;
        struct protecting p = {change, r};
        tables_visit(mm->root, r->start, r->end, protect_pages, &p, &change->tables);
        if (mm == mm_own() && !error)
            error = populate(change, r, r->start, r->end);
    }
    regions_join(&mm->regions, start, end);
    return error;
}

/* ---------------------------------------------------------------- files that are cut */

struct forgetting {
    struct mm_change *change;
    struct region *region;
};

static void forget_pages(void *opaque, uint64_t address, uint64_t *entry, unsigned count)
{
    struct forgetting *f = opaque;
    FOR_ENTRIES(i, entry, count)
    {
        uint64_t offset = f->region->offset + (address + i * PAGE_SIZE - f->region->start);
        if (file_has_page(f->region->file, offset, entry[i] & PTE_ADDRESS))
            drop_pages(f->change, address + i * PAGE_SIZE, &entry[i], 1);
    }
}

void mms_forget_file(struct file *file, uint64_t offset)
{
    lock(&mms.lock);
    for (struct mm *mm = mms.all; mm; mm = mm->next) {
        struct mm_change change;
        mm_begin(mm, &change);
        change.at_once = true; /* the file holds its pages until all spaces are done */
        for (struct region *r = region_at_or_after(&mm->regions, 0); r; r = region_next(r)) {
            uint64_t from = offset > r->offset ? r->start + (offset - r->offset) : r->start;
            struct forgetting f = {&change, r};
            if (r->file == file && from < r->end)
                tables_visit(mm->root, from, r->end, forget_pages, &f, &change.tables);
        }
        mm_finish(&change);
    }
    unlock(&mms.lock);
}
