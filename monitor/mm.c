/* SPDX-License-Identifier: MIT */
#include "mm.h"
#include "file.h"
#include "hostmem.h"
#include "map_args.h"
#include "physmem.h"
#include "vcpu.h"
#include <errno.h>
#include <sched.h>
#include <string.h>

/* A mapping of at most so many pages is filled at once; a larger one at its faults. */
#define EAGER_PAGES 64

static PRIVATE_STATE struct {
    uint64_t last_serial;
} PRIVATE_TYPE serials;

/* ---------------------------------------------------------------- the page table's memory and its entries */

static uint64_t *pt_entries(void *opaque, uint64_t pa)
{
    (void)opaque;
    return table_entries(pa);
}

static uint64_t pt_alloc(void *opaque)
{
    (void)opaque;
    return table_alloc();
}

static void pt_release(void *opaque, uint64_t pa)
{
    struct mm *mm = opaque;
    edits_drop_page(&mm->edits, table_entries(pa));
    table_list_add(&mm->released, pa);
}

static uint64_t pt_load(void *opaque, const uint64_t *entry)
{
    struct mm *mm = opaque;
    struct edit *pending = edits_find(&mm->edits, entry);
    return pending ? pending->value : __atomic_load_n(entry, __ATOMIC_RELAXED);
}

static void pt_store(void *opaque, uint64_t *entry, uint64_t value)
{
    struct mm *mm = opaque;
    if (!(__atomic_load_n(entry, __ATOMIC_RELAXED) & PTE_P) && !edits_find(&mm->edits, entry)) {
        __atomic_store_n(entry, value, __ATOMIC_RELEASE);
#ifdef POLDER_BYPASS_EDITS /* for the test that shows that the test of stale translations can fail */
    } else if (true) {
        __atomic_store_n(entry, value, __ATOMIC_RELEASE);
#endif
    } else if (!mm->loaded) {
        /* No vCPU ever had this root: KVM has no shadow of its tables, and the host may write what it likes. */
        __atomic_store_n(entry, value, __ATOMIC_RELEASE);
    } else {
        edits_put(&mm->edits, entry, value);
    }
}

static const struct pagetable_ops pt_ops = {pt_entries, pt_alloc, pt_release, pt_load, pt_store};

/* ---------------------------------------------------------------- life */

int mm_new(struct mm **result)
{
    struct mm *mm = record_alloc(sizeof *mm);
    if (!mm)
        return -ENOMEM;
    pthread_mutex_init(&mm->lock, NULL);
    mm->references = 1;
    mm->serial = __atomic_add_fetch(&serials.last_serial, 1, __ATOMIC_RELAXED);
    mm->pt = (struct pagetable){.root = table_alloc_root(), .ops = &pt_ops, .opaque = mm};
    if (!mm->pt.root) {
        record_free(mm, sizeof *mm);
        return -ENOMEM;
    }
    edits_init(&mm->edits);
    regions_init(&mm->regions);
    mm->chunks = mm->fixed_chunks;
    mm->chunk_capacity = CHUNKS_INLINE;
    *result = mm;
    return 0;
}

void mm_hold(struct mm *mm)
{
    __atomic_add_fetch(&mm->references, 1, __ATOMIC_RELAXED);
}

static void drop_chunks(struct mm *mm)
{
    for (uint32_t i = 0; i < mm->chunk_capacity; i++) {
        if (mm->chunks[i].key)
            chunk_drop(mm->chunks[i].chunk);
    }
    if (mm->chunks != mm->fixed_chunks)
        record_free(mm->chunks, mm->chunk_capacity * sizeof *mm->chunks);
}

void mm_drop(struct mm *mm)
{
    if (__atomic_sub_fetch(&mm->references, 1, __ATOMIC_ACQ_REL))
        return;
    pagetable_destroy(&mm->pt);
    if (mm->loaded)
        tables_retire(&mm->released);
    else
        tables_free_unshadowed(&mm->released);
    drop_chunks(mm);
    regions_fini(&mm->regions);
    edits_fini(&mm->edits);
    pthread_mutex_destroy(&mm->lock);
    record_free(mm, sizeof *mm);
}

/* ---------------------------------------------------------------- changes */

void mm_wait_editor(struct mm *mm)
{
    while (mm->editor && !vcpu_edits_done(mm->editor)) {
        /* It is in the stub, or about to be; it needs this lock only if it came out before it was done. */
        pthread_mutex_unlock(&mm->lock);
        sched_yield();
        pthread_mutex_lock(&mm->lock);
    }
}

void mm_begin(struct mm *mm, struct mm_change *change)
{
    change->mm = mm;
    change->changed = false;
    change->tables = (struct table_list){0};
    change->file = NULL;
    change->frames = NULL;
    change->chunks = NULL;
    change->frame_count = change->frame_capacity = 0;
    change->chunk_count = change->chunk_capacity = 0;
    change->files = NULL;
    change->files_count = change->files_capacity = 0;
    change->inside_count = 0;
    pthread_mutex_lock(&mm->lock);
    mm_wait_editor(mm);
}

void mm_finish(struct mm_change *change)
{
    struct mm *mm = change->mm;
    change->tables = mm->released;
    mm->released = (struct table_list){0};
    bool loaded = mm->loaded;
    /* Tables that went are a change too, if nothing in them was present: CPUs keep the upper levels of a walk. */
    change->changed |= loaded && change->tables.count;
    if (change->changed)
        mm->generation++;
    /* Who builds on what another operation took away must not return before its vCPUs are out either. */
    bool wait = change->changed || __atomic_load_n(&mm->leaving, __ATOMIC_ACQUIRE);
    if (wait) {
        __atomic_add_fetch(&mm->leaving, 1, __ATOMIC_ACQ_REL);
        vcpu_force_out(change);
    }
    pthread_mutex_unlock(&mm->lock);
    vcpu_wait_out(change);
    if (wait)
        __atomic_sub_fetch(&mm->leaving, 1, __ATOMIC_ACQ_REL);
    if (loaded)
        tables_retire(&change->tables);
    else
        tables_free_unshadowed(&change->tables);
    for (uint32_t i = 0; i < change->frame_count; i++)
        frame_drop(change->frames[i]);
    for (uint32_t i = 0; i < change->chunk_count; i++)
        chunk_drop(change->chunks[i]);
    for (uint32_t i = 0; i < change->files_count; i++)
        file_drop(change->files[i]);
    if (change->file)
        file_drop(change->file);
    record_free(change->frames, change->frame_capacity * sizeof *change->frames);
    record_free(change->chunks, change->chunk_capacity * sizeof *change->chunks);
    record_free(change->files, change->files_capacity * sizeof *change->files);
}

bool mm_unmap_pages(struct mm_change *change, uint64_t start, uint64_t end)
{
    struct mm *mm = change->mm;
    if (!edits_reserve(&mm->edits, pagetable_edits(start, end)))
        return false;
    change->changed |= pagetable_unmap(&mm->pt, start, end) && mm->loaded;
    return true;
}

/* ---------------------------------------------------------------- private pages */

static struct chunk_slot *chunk_slot(struct mm *mm, uint64_t address)
{
    uint64_t key = address / BLOCK_SIZE + 1;
    uint32_t i = (uint32_t)(key * 0x9e3779b97f4a7c15ull >> 40);
    for (;; i++) {
        struct chunk_slot *slot = &mm->chunks[i & (mm->chunk_capacity - 1)];
        if (slot->key == key || !slot->key)
            return slot;
    }
}

struct chunk *mm_chunk(struct mm *mm, uint64_t address)
{
    struct chunk_slot *slot = chunk_slot(mm, address);
    return slot->key ? slot->chunk : NULL;
}

static bool grow_chunks(struct mm *mm)
{
    uint32_t old_capacity = mm->chunk_capacity, capacity = old_capacity * 2;
    struct chunk_slot *old = mm->chunks, *slots = record_alloc(capacity * sizeof *slots);
    if (!slots)
        return false;
    mm->chunks = slots;
    mm->chunk_capacity = capacity;
    for (uint32_t i = 0; i < old_capacity; i++) {
        if (old[i].key)
            *chunk_slot(mm, (old[i].key - 1) * BLOCK_SIZE) = old[i];
    }
    if (old != mm->fixed_chunks)
        record_free(old, old_capacity * sizeof *old);
    return true;
}

static bool put_chunk(struct mm *mm, uint64_t address, struct chunk *chunk)
{
    if ((mm->chunk_count + 1) * 4 > mm->chunk_capacity * 3 && !grow_chunks(mm))
        return false;
    struct chunk_slot *slot = chunk_slot(mm, address);
    if (!slot->key)
        mm->chunk_count++;
    *slot = (struct chunk_slot){address / BLOCK_SIZE + 1, chunk};
    return true;
}

struct chunk *mm_own_chunk(struct mm *mm, uint64_t address)
{
    struct chunk *chunk = mm_chunk(mm, address);
    if (chunk && !chunk_is_shared(chunk))
        return chunk;
    struct chunk *own = chunk ? chunk_clone(chunk) : chunk_new();
    if (!own)
        return NULL;
    if (chunk) {
        chunk_slot(mm, address)->chunk = own;
        chunk_drop(chunk);
    } else if (!put_chunk(mm, address, own)) {
        chunk_drop(own);
        return NULL;
    }
    return own;
}

static void remove_chunk_slot(struct mm *mm, struct chunk_slot *slot)
{
    uint32_t mask = mm->chunk_capacity - 1, hole = (uint32_t)(slot - mm->chunks);
    for (uint32_t i = (hole + 1) & mask; mm->chunks[i].key; i = (i + 1) & mask) {
        uint32_t wanted = (uint32_t)(mm->chunks[i].key * 0x9e3779b97f4a7c15ull >> 40) & mask;
        if (((i - wanted) & mask) >= ((i - hole) & mask)) {
            mm->chunks[hole] = mm->chunks[i];
            hole = i;
        }
    }
    mm->chunks[hole] = (struct chunk_slot){0, NULL};
    mm->chunk_count--;
}

static void *grow(void *old, uint32_t count, uint32_t *capacity, uint32_t more, size_t size)
{
    if (count + more <= *capacity)
        return old;
    /* Twice as much at least: one call can have very many operations that each gather little. */
    uint32_t wanted = (uint32_t)max_u64(count + more, 2ull * *capacity);
    void *grown = record_alloc(wanted * size);
    if (!grown)
        return NULL;
    if (old)
        memcpy(grown, old, count * size);
    record_free(old, *capacity * size);
    *capacity = wanted;
    return grown;
}

bool mm_gather_room(struct mm_change *change, uint32_t frames, uint32_t chunks)
{
    if (frames) {
        void *grown =
            grow(change->frames, change->frame_count, &change->frame_capacity, frames, sizeof *change->frames);
        if (!grown)
            return false;
        change->frames = grown;
    }
    if (chunks) {
        void *grown =
            grow(change->chunks, change->chunk_count, &change->chunk_capacity, chunks, sizeof *change->chunks);
        if (!grown)
            return false;
        change->chunks = grown;
    }
    return true;
}

/* Before the mappings in [start, end) are taken away: with a file's last one its windows would go, and be another
 * file's, while a vCPU still uses them. */
static bool hold_files(struct mm_change *change, uint64_t start, uint64_t end)
{
    struct mm *mm = change->mm;
    struct region *r = mm->loaded ? region_at_or_after(&mm->regions, start) : NULL;
    for (struct file *last = NULL; r && r->start < end; r = region_next(r)) {
        if (!r->file || r->file == last)
            continue;
        void *grown = grow(change->files, change->files_count, &change->files_capacity, 1, sizeof *change->files);
        if (!grown)
            return false;
        change->files = grown;
        change->files[change->files_count++] = last = r->file;
        file_hold(last);
    }
    return true;
}

/* Before the private pages of [start, end) are taken away: a chunk of our own where a block is cut, and room for all
 * that will be gathered. After it, taking away cannot fail. */
static bool prepare_drop_private(struct mm_change *change, uint64_t start, uint64_t end)
{
    struct mm *mm = change->mm;
    if (!mm->chunk_count)
        return true;
    uint32_t cut = 0;
    uint64_t edges[2] = {start, end - 1};
    for (int i = 0; i < 2; i++) {
        uint64_t block = edges[i] & ~(BLOCK_SIZE - 1);
        if ((start > block || end < block + BLOCK_SIZE) && mm_chunk(mm, block)) {
            if (!mm_own_chunk(mm, block))
                return false;
            cut++;
        }
    }
    return mm_gather_room(
        change, cut * (uint32_t)BLOCK_PAGES, (uint32_t)min_u64(mm->chunk_count, (end - start) / BLOCK_SIZE + 2));
}

static void drop_block(struct mm_change *change, struct chunk_slot *slot, uint64_t start, uint64_t end)
{
    struct chunk *chunk = slot->chunk;
    bool empty = true;
    if (end - start < BLOCK_SIZE) {
        uint32_t first = start / PAGE_SIZE % BLOCK_PAGES, count = (uint32_t)((end - start) / PAGE_SIZE);
        for (uint32_t i = 0; i < BLOCK_PAGES; i++) {
            if (i - first < count && chunk->frame[i]) {
                change->frames[change->frame_count++] = chunk->frame[i];
                chunk->frame[i] = 0;
            }
            empty &= chunk->frame[i] == 0;
        }
    }
    if (empty) {
        remove_chunk_slot(change->mm, slot);
        change->chunks[change->chunk_count++] = chunk;
    }
}

static void drop_private(struct mm_change *change, uint64_t start, uint64_t end)
{
    struct mm *mm = change->mm;
    if (!mm->chunk_count)
        return;
    if ((end - start) / BLOCK_SIZE <= mm->chunk_capacity) {
        for (uint64_t at = start, next; at < end; at = next) {
            next = min_u64(end, (at & ~(BLOCK_SIZE - 1)) + BLOCK_SIZE);
            struct chunk_slot *slot = chunk_slot(mm, at);
            if (slot->key)
                drop_block(change, slot, at, next);
        }
        return;
    }
    /* A huge range over few chunks: go by the chunks. Removing one may move another into its place. */
    for (uint32_t i = 0; i < mm->chunk_capacity; i++) {
        struct chunk_slot *slot = &mm->chunks[i];
        while (slot->key) {
            uint64_t block = (slot->key - 1) * BLOCK_SIZE, key = slot->key;
            if (block >= end || block + BLOCK_SIZE <= start)
                break;
            drop_block(change, slot, max_u64(start, block), min_u64(end, block + BLOCK_SIZE));
            if (slot->key == key)
                break;
        }
    }
}

/* ---------------------------------------------------------------- filling the page table */

uint64_t mm_rights(const struct region *region)
{
    uint64_t rights = 0;
    if (!region->privileged)
        rights |= PTE_U;
    if (region->prot & PROT_WRITE)
        rights |= PTE_W;
    if (!(region->prot & PROT_EXEC))
        rights |= PTE_NX;
    return rights;
}

static bool any_present(struct mm *mm, uint64_t block)
{
    uint64_t size;
    for (uint64_t at = block; at < block + BLOCK_SIZE; at += PAGE_SIZE) {
        if (pagetable_lookup(&mm->pt, at, &size))
            return true;
    }
    return false;
}

/* Maps the pages of [start, end) that are not mapped to the memory at hva. No present entry changes. */
int mm_fill(struct mm *mm, uint64_t start, uint64_t end, const void *hva, uint64_t rights, bool huge)
{
    const char *from = hva;
    for (uint64_t at = start; at < end;) {
        uint64_t size, in_window = WINDOW_SIZE - ((uint64_t)from & (WINDOW_SIZE - 1));
        uint64_t to = min_u64(end, at + in_window);
        gpa_t gpa;
        int error = physmem_gpa(from, &gpa);
        if (error)
            return error;
        if (huge && to - at == BLOCK_SIZE && !any_present(mm, at)) {
            if (!pagetable_map(&mm->pt, at, to, gpa.value, rights, true))
                return -ENOMEM;
        } else {
            for (uint64_t page = at; page < to; page += PAGE_SIZE) {
                uint64_t pa = gpa.value + (page - at);
                if (!pagetable_lookup(&mm->pt, page, &size) &&
                    !pagetable_map(&mm->pt, page, page + PAGE_SIZE, pa, rights, false))
                    return -ENOMEM;
            }
        }
        from += to - at;
        at = to;
    }
    return 0;
}

/* Makes one page map hva, whatever is there: an edit if it is present. Whoever is inside is sent out if the page now
 * lies elsewhere: the old place may be written by its other owner. More rights alone he finds out by a fault. */
bool mm_replace_page(struct mm_change *change, uint64_t address, const void *hva, uint64_t rights)
{
    struct mm *mm = change->mm;
    gpa_t gpa;
    uint64_t size, old = pagetable_lookup(&mm->pt, address, &size);
    if (physmem_gpa(hva, &gpa) || !edits_reserve(&mm->edits, 8))
        return false;
    bool mapped = pagetable_map(&mm->pt, address, address + PAGE_SIZE, gpa.value, rights, false);
    if (old && mm->loaded) {
        /* Without memory for a table, a larger page may be gone all the same. */
        mm->generation++;
        change->changed |= size != PAGE_SIZE || (old & PTE_ADDRESS) != gpa.value;
    }
    return mapped;
}

/* ---------------------------------------------------------------- mmap */

static int fill_eagerly(struct mm *mm, const struct region *r)
{
    if (!(r->prot & (PROT_READ | PROT_WRITE | PROT_EXEC)) || r->kind == REGION_ANONYMOUS)
        return 0;
    uint64_t rights = mm_rights(r);
    if (r->kind == REGION_FILE_PRIVATE)
        rights &= ~PTE_W;
    for (uint64_t at = r->start, length; at < r->end; at += length) {
        char *hva;
        length = r->end - at;
        int error = file_hva(r->file, r->offset + (at - r->start), &length, &hva);
        if (!error)
            error = mm_fill(mm, at, at + length, hva, rights, false);
        if (error)
            return error;
    }
    return 0;
}

static int replace(struct mm_change *change, uint64_t start, uint64_t end)
{
    struct mm *mm = change->mm;
    struct region *r = region_at_or_after(&mm->regions, start);
    if (!r || r->start >= end)
        return 0;
    if (!hold_files(change, start, end) || !prepare_drop_private(change, start, end) ||
        !mm_unmap_pages(change, start, end))
        return -ENOMEM;
    drop_private(change, start, end);
    regions_remove(&mm->regions, start, end);
    return 0;
}

static int map_checked(
    struct mm_change *change, struct region *model, uint64_t hint, uint64_t length, int flags, uint64_t *result)
{
    struct mm *mm = change->mm;
    bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
    uint64_t start =
        fixed ? hint : map_choose(&mm->regions, (hint + PAGE_SIZE - 1) & PAGE_MASK, length, length >= BLOCK_SIZE);
    if (!start && !fixed)
        return -ENOMEM;
    if (flags & MAP_FIXED_NOREPLACE) {
        struct region *r = region_at_or_after(&mm->regions, start);
        if (r && r->start < start + length)
            return -EEXIST;
    }
    if (!regions_reserve(&mm->regions, 3))
        return -ENOMEM;
    int error = replace(change, start, start + length);
    if (error)
        return error;
    model->start = start;
    model->end = start + length;
    regions_add(&mm->regions, model);
    *result = start;
    /* Running out of memory here costs only a fault later. */
    if (length <= EAGER_PAGES * PAGE_SIZE)
        fill_eagerly(mm, model);
    return 0;
}

/* The file of a descriptor, held by the change. */
static int change_file(struct mm_change *change, int fd)
{
    if (change->file && change->file_fd == fd)
        return 0;
    if (change->file)
        file_drop(change->file);
    change->file = NULL;
    change->file_fd = fd;
    change->file_writable = false;
    return file_get(fd, &change->file, &change->file_writable);
}

int mm_map(struct mm_change *change, uint64_t start, uint64_t length, int prot, int flags, int fd, uint64_t offset,
    uint64_t *result)
{
    int error = map_check(start, length, flags, offset);
    if (error)
        return error;
    length = page_up(length);
    bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
    struct region model = {.kind = shared ? REGION_FILE_SHARED : REGION_FILE_PRIVATE,
        .prot = prot & (PROT_READ | PROT_WRITE | PROT_EXEC),
        .privileged = prot & POLDER_PRIVILEGED,
        .offset = offset,
        .file_writable = true};
    if (!(flags & MAP_ANONYMOUS)) {
        error = change_file(change, fd);
        if (error && error != -EBADF && shared && (prot & PROT_WRITE) && !change->file_writable)
            return -EACCES;
        if (error == -ENODEV && file_is_zero_device(fd))
            flags |= MAP_ANONYMOUS;
        else if (error)
            return error;
    }
    if (!(flags & MAP_ANONYMOUS)) {
        model.file = change->file;
        model.file_writable = change->file_writable && !(shared && file_is_sealed(change->file, fd));
        if (shared && (prot & PROT_WRITE) && !model.file_writable)
            return file_is_sealed(change->file, fd) ? -EPERM : -EACCES;
        return map_checked(change, &model, start, length, flags, result);
    }
    model.offset = 0;
    if (!shared) {
        model.kind = REGION_ANONYMOUS;
        return map_checked(change, &model, start, length, flags, result);
    }
    error = file_new_anonymous(length, &model.file);
    if (error)
        return error;
    error = map_checked(change, &model, start, length, flags, result);
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
    return replace(change, start, start + page_up(length));
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
    size_t edits = 0;
    if (!regions_cover(&mm->regions, start, end))
        return -ENOMEM;
    for (struct region *r = region_at_or_after(&mm->regions, start); r && r->start < end; r = region_next(r)) {
        if ((rwx & PROT_WRITE) && r->kind == REGION_FILE_SHARED && !r->file_writable)
            return -EACCES;
        edits += pagetable_edits(max_u64(r->start, start), min_u64(r->end, end));
    }
    if (!regions_reserve(&mm->regions, 2) || !edits_reserve(&mm->edits, edits))
        return -ENOMEM;
    regions_split(&mm->regions, start);
    regions_split(&mm->regions, end);
    for (struct region *r = region_at_or_after(&mm->regions, start); r && r->start < end; r = region_next(r)) {
        r->prot = rwx;
        r->privileged = prot & POLDER_PRIVILEGED;
        uint64_t rights = mm_rights(r);
        bool changed;
        /* Private pages may be shared with copies: writing comes back by the fault, which looks. */
        if (r->kind != REGION_FILE_SHARED)
            rights &= ~PTE_W;
        if (rwx)
            changed = pagetable_protect(&mm->pt, r->start, r->end, rights);
        else
            changed = pagetable_unmap(&mm->pt, r->start, r->end);
        change->changed |= changed && mm->loaded;
    }
    regions_join(&mm->regions, start, end);
    return 0;
}
