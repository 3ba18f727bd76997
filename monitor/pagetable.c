/* SPDX-License-Identifier: MIT */
#include "pagetable.h"

#define LEVELS 4
#define ENTRIES 512u
#define LOWER_HALF (1ull << 47)
#define TABLE_RIGHTS (PTE_P | PTE_W | PTE_U | PTE_A)

/* What one entry of a table at `level` covers: 4 KiB at level 1, 512 GiB at level 4. */
static uint64_t span(int level)
{
    return 1ull << (12 + 9 * (level - 1));
}

static unsigned slot(uint64_t address, int level)
{
    return (unsigned)(address >> (12 + 9 * (level - 1))) % ENTRIES;
}

static uint64_t next_boundary(uint64_t address, uint64_t end, int level)
{
    uint64_t next = (address & ~(span(level) - 1)) + span(level);
    return next < end ? next : end;
}

static bool is_leaf(uint64_t entry, int level)
{
    return level == 1 || (entry & PTE_PS);
}

/* Unlinked already: nothing in it is stored, but all its table pages go back. */
static void release_table(struct pagetable *pt, uint64_t pa, int level)
{
    if (level > 1) {
        const uint64_t *entries = pt->ops->entries(pt->opaque, pa);
        unsigned count = level == LEVELS ? ENTRIES / 2 : ENTRIES;
        for (unsigned i = 0; i < count; i++) {
            uint64_t entry = pt->ops->load(pt->opaque, &entries[i]);
            if ((entry & PTE_P) && !is_leaf(entry, level))
                release_table(pt, entry & PTE_ADDRESS, level - 1);
        }
    }
    pt->ops->release(pt->opaque, pa);
}

static bool clear_entry(struct pagetable *pt, uint64_t *entry, int level)
{
    uint64_t old = pt->ops->load(pt->opaque, entry);
    if (!(old & PTE_P))
        return false;
    pt->ops->store(pt->opaque, entry, 0);
    if (!is_leaf(old, level))
        release_table(pt, old & PTE_ADDRESS, level - 1);
    return true;
}

static bool unmap_in(struct pagetable *pt, uint64_t pa, int level, uint64_t start, uint64_t end)
{
    uint64_t *entries = pt->ops->entries(pt->opaque, pa);
    bool changed = false;
    for (uint64_t at = start, next; at < end; at = next) {
        next = next_boundary(at, end, level);
        uint64_t *entry = &entries[slot(at, level)];
        uint64_t value = pt->ops->load(pt->opaque, entry);
        if (!(value & PTE_P))
            continue;
        if (is_leaf(value, level) || next - at == span(level))
            changed |= clear_entry(pt, entry, level);
        else
            changed |= unmap_in(pt, value & PTE_ADDRESS, level - 1, at, next);
    }
    return changed;
}

bool pagetable_unmap(struct pagetable *pt, uint64_t start, uint64_t end)
{
    return start < end && unmap_in(pt, pt->root, LEVELS, start, end < LOWER_HALF ? end : LOWER_HALF);
}

static bool protect_in(struct pagetable *pt, uint64_t pa, int level, uint64_t start, uint64_t end, uint64_t rights)
{
    uint64_t *entries = pt->ops->entries(pt->opaque, pa);
    bool changed = false;
    for (uint64_t at = start, next; at < end; at = next) {
        next = next_boundary(at, end, level);
        uint64_t *entry = &entries[slot(at, level)];
        uint64_t value = pt->ops->load(pt->opaque, entry);
        if (!(value & PTE_P))
            continue;
        bool whole = next - at == span(level);
        if (is_leaf(value, level) && whole) {
            uint64_t wanted = (value & ~PTE_RIGHTS) | rights;
            if (wanted != value) {
                pt->ops->store(pt->opaque, entry, wanted);
                changed = true;
            }
        } else if (is_leaf(value, level) || whole) {
            changed |= clear_entry(pt, entry, level);
        } else {
            changed |= protect_in(pt, value & PTE_ADDRESS, level - 1, at, next, rights);
        }
    }
    return changed;
}

bool pagetable_protect(struct pagetable *pt, uint64_t start, uint64_t end, uint64_t rights)
{
    return start < end && protect_in(pt, pt->root, LEVELS, start, end < LOWER_HALF ? end : LOWER_HALF, rights);
}

size_t pagetable_edits(uint64_t start, uint64_t end)
{
    /* Whole tables are unlinked, so that only the two ragged edges go down a level: fewer than 2 * 511 entries at each.
     */
    size_t edits = 0;
    for (int level = 1; level <= LEVELS; level++) {
        uint64_t entries = (end + span(level) - 1) / span(level) - start / span(level);
        edits += entries < 2 * ENTRIES ? entries : 2 * ENTRIES;
    }
    return edits;
}

static bool map_in(
    struct pagetable *pt, uint64_t pa, int level, uint64_t start, uint64_t end, uint64_t to, uint64_t rights, bool huge)
{
    uint64_t *entries = pt->ops->entries(pt->opaque, pa);
    for (uint64_t at = start, next; at < end; to += next - at, at = next) {
        next = next_boundary(at, end, level);
        uint64_t *entry = &entries[slot(at, level)];
        uint64_t value = pt->ops->load(pt->opaque, entry);
        bool leaf = level == 1 || (level == 2 && huge && next - at == span(2) && !(to & (span(2) - 1)));
        if (leaf) {
            uint64_t wanted = to | rights | PTE_P | PTE_A | PTE_D | (level == 2 ? PTE_PS : 0);
            if (value == wanted)
                continue;
            pt->ops->store(pt->opaque, entry, wanted);
            if ((value & PTE_P) && !is_leaf(value, level))
                release_table(pt, value & PTE_ADDRESS, level - 1);
            continue;
        }
        if ((value & PTE_P) && (value & PTE_PS)) { /* cut: the rest comes back at its next fault */
            clear_entry(pt, entry, level);
            value = 0;
        }
        uint64_t child = value & PTE_ADDRESS;
        if (!(value & PTE_P)) {
            child = pt->ops->alloc(pt->opaque);
            if (!child)
                return false;
            pt->ops->store(pt->opaque, entry, child | TABLE_RIGHTS);
        }
        if (!map_in(pt, child, level - 1, at, next, to, rights, huge))
            return false;
    }
    return true;
}

bool pagetable_map(struct pagetable *pt, uint64_t start, uint64_t end, uint64_t pa, uint64_t rights, bool huge)
{
    return start >= end || map_in(pt, pt->root, LEVELS, start, end, pa, rights, huge);
}

uint64_t pagetable_lookup(const struct pagetable *pt, uint64_t address, uint64_t *size)
{
    uint64_t pa = pt->root;
    for (int level = LEVELS; level >= 1; level--) {
        const uint64_t *entries = pt->ops->entries(pt->opaque, pa);
        uint64_t entry = pt->ops->load(pt->opaque, &entries[slot(address, level)]);
        if (!(entry & PTE_P))
            return 0;
        if (is_leaf(entry, level)) {
            *size = span(level);
            return entry;
        }
        pa = entry & PTE_ADDRESS;
    }
    return 0;
}

void pagetable_destroy(struct pagetable *pt)
{
    release_table(pt, pt->root, LEVELS);
    pt->root = 0;
}
