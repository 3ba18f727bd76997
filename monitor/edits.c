/* SPDX-License-Identifier: MIT */
#include "edits.h"
#include "hostmem.h"
#include <string.h>

void edits_init(struct edits *edits)
{
    memset(edits, 0, sizeof *edits);
    edits->slots = edits->fixed;
    edits->capacity = EDITS_INLINE;
}

void edits_fini(struct edits *edits)
{
    if (edits->slots != edits->fixed)
        record_free(edits->slots, edits->capacity * sizeof *edits->slots);
    edits_init(edits);
}

static uint32_t home(const struct edits *edits, const uint64_t *entry)
{
    return (uint32_t)((uint64_t)entry / 8 * 0x9e3779b97f4a7c15ull >> 32) & (edits->capacity - 1);
}

static struct edit *slot_of(const struct edits *edits, const uint64_t *entry)
{
    uint32_t i = home(edits, entry);
    while (edits->slots[i].entry && edits->slots[i].entry != entry)
        i = (i + 1) & (edits->capacity - 1);
    return &edits->slots[i];
}

struct edit *edits_find(const struct edits *edits, const uint64_t *entry)
{
    if (!edits->count)
        return NULL;
    struct edit *e = slot_of(edits, entry);
    return e->entry ? e : NULL;
}

bool edits_reserve(struct edits *edits, size_t n)
{
    uint64_t capacity = edits->capacity;
    while (capacity * 3 / 4 < edits->count + n)
        capacity *= 2;
    if (capacity == edits->capacity)
        return true;
    if (capacity > UINT32_MAX)
        return false;
    struct edits grown = {.capacity = (uint32_t)capacity, .slots = record_alloc(capacity * sizeof(struct edit))};
    if (!grown.slots)
        return false;
    for (uint32_t i = 0; i < edits->capacity; i++) {
        if (edits->slots[i].entry)
            *slot_of(&grown, edits->slots[i].entry) = edits->slots[i];
    }
    if (edits->slots != edits->fixed)
        record_free(edits->slots, edits->capacity * sizeof *edits->slots);
    edits->slots = grown.slots;
    edits->capacity = grown.capacity;
    return true;
}

void edits_put(struct edits *edits, uint64_t *entry, uint64_t value)
{
    struct edit *e = slot_of(edits, entry);
    if (!e->entry)
        edits->count++;
    *e = (struct edit){entry, value};
}

/* Linear probing without tombstones: what follows a hole is moved back into it where its own place allows. */
static void remove_slot(struct edits *edits, uint32_t hole)
{
    uint32_t mask = edits->capacity - 1;
    for (uint32_t i = (hole + 1) & mask; edits->slots[i].entry; i = (i + 1) & mask) {
        uint32_t wanted = home(edits, edits->slots[i].entry);
        if (((i - wanted) & mask) >= ((i - hole) & mask)) {
            edits->slots[hole] = edits->slots[i];
            hole = i;
        }
    }
    edits->slots[hole] = (struct edit){NULL, 0};
    edits->count--;
}

void edits_drop_page(struct edits *edits, const uint64_t *page)
{
    if (!edits->count)
        return;
    if (edits->count < 64) {
        for (uint32_t i = 0; i < edits->capacity;) {
            const uint64_t *entry = edits->slots[i].entry;
            if (entry && entry >= page && entry < page + 512)
                remove_slot(edits, i);
            else
                i++;
        }
        return;
    }
    for (const uint64_t *entry = page; entry < page + 512; entry++) {
        struct edit *e = edits_find(edits, entry);
        if (e)
            remove_slot(edits, (uint32_t)(e - edits->slots));
    }
}

uint32_t edits_take(struct edits *edits, struct edit *list, uint32_t max)
{
    uint32_t taken = 0;
    if (edits->count <= max) {
        for (uint32_t i = 0; i < edits->capacity && taken < edits->count; i++) {
            if (edits->slots[i].entry)
                list[taken++] = edits->slots[i];
        }
        memset(edits->slots, 0, edits->capacity * sizeof *edits->slots);
        edits->count = 0;
        return taken;
    }
    for (uint32_t i = 0; i < edits->capacity && taken < max;) {
        if (edits->slots[i].entry) {
            list[taken++] = edits->slots[i];
            remove_slot(edits, i);
        } else {
            i++;
        }
    }
    return taken;
}
