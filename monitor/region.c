/* SPDX-License-Identifier: MIT */
#include "region.h"
#include "records.h"

static int compare(const struct region *a, const struct region *b)
{
    return a->start < b->start ? -1 : a->start > b->start;
}

#define TREE_FUNCTION __attribute__((unused)) static
RB_PROTOTYPE_INTERNAL(region_tree, region, link, compare, TREE_FUNCTION)
RB_GENERATE_INTERNAL(region_tree, region, link, compare, TREE_FUNCTION)

void regions_init(struct regions *regions)
{
    *regions = (struct regions){0};
    RB_INIT(&regions->tree);
}

static void give_back(struct regions *regions, struct region *region)
{
    regions->spares++;
    region->file = (struct file *)regions->spare;
    regions->spare = region;
}

static struct region *take_spare(struct regions *regions)
{
    struct region *region = regions->spare;
    regions->spare = (struct region *)region->file;
    regions->spares--;
    return region;
}

static void trim_spares(struct regions *regions, uint32_t keep)
{
    while (regions->spares > keep)
        record_free(take_spare(regions), sizeof(struct region));
}

void regions_fini(struct regions *regions)
{
    regions_remove(regions, 0, UINT64_MAX);
    trim_spares(regions, 0);
}

bool regions_reserve(struct regions *regions, uint32_t n)
{
    while (regions->spares < n) {
        struct region *region = record_alloc(sizeof *region);
        if (!region)
            return false;
        give_back(regions, region);
    }
    return true;
}

struct region *region_at_or_after(struct regions *regions, uint64_t address)
{
    struct region *found = NULL;
    for (struct region *r = RB_ROOT(&regions->tree); r;) {
        if (r->end > address) {
            found = r;
            r = RB_LEFT(r, link);
        } else {
            r = RB_RIGHT(r, link);
        }
    }
    return found;
}

struct region *region_find(struct regions *regions, uint64_t address)
{
    struct region *r = region_at_or_after(regions, address);
    return r && r->start <= address ? r : NULL;
}

struct region *region_next(struct region *region)
{
    return region_tree_RB_NEXT(region);
}

static void insert(struct regions *regions, struct region *region)
{
    region_tree_RB_INSERT(&regions->tree, region);
    regions->count++;
}

static void erase(struct regions *regions, struct region *region)
{
    region_tree_RB_REMOVE(&regions->tree, region);
    regions->count--;
    if (region->file)
        file_drop(region->file);
    give_back(regions, region);
}

void regions_split(struct regions *regions, uint64_t address)
{
    struct region *left = region_find(regions, address);
    if (!left || left->start == address)
        return;
    struct region *right = take_spare(regions);
    *right = *left;
    right->start = address;
    right->offset += address - left->start;
    left->end = address;
    if (right->file)
        file_hold(right->file);
    insert(regions, right);
}

void regions_remove(struct regions *regions, uint64_t start, uint64_t end)
{
    regions_split(regions, start);
    regions_split(regions, end);
    for (struct region *r = region_at_or_after(regions, start), *next; r && r->start < end; r = next) {
        next = region_next(r);
        erase(regions, r);
    }
    if (end > regions->gap_hint)
        regions->gap_hint = end;
    trim_spares(regions, 4);
}

static bool continues(const struct region *left, const struct region *right)
{
    return left->end == right->start && left->kind == right->kind && left->prot == right->prot &&
           left->privileged == right->privileged && left->file == right->file &&
           left->file_writable == right->file_writable &&
           (!left->file || left->offset + (left->end - left->start) == right->offset);
}

void regions_join(struct regions *regions, uint64_t start, uint64_t end)
{
    struct region *r = region_at_or_after(regions, start ? start - 1 : 0);
    while (r && r->start <= end) {
        struct region *next = region_next(r);
        if (next && continues(r, next)) {
            r->end = next->end;
            erase(regions, next);
        } else {
            r = next;
        }
    }
    trim_spares(regions, 4);
}

void regions_add(struct regions *regions, const struct region *model)
{
    struct region *next = region_at_or_after(regions, model->start);
    struct region *before = model->start ? region_find(regions, model->start - 1) : NULL;
    if (before && continues(before, model)) {
        before->end = model->end;
        if (next && continues(before, next)) {
            before->end = next->end;
            erase(regions, next);
        }
        return;
    }
    if (next && continues(model, next)) {
        /* Its key shrinks but stays between its neighbours': the tree keeps its order. */
        next->start = model->start;
        next->offset = model->offset;
        return;
    }
    struct region *region = take_spare(regions);
    *region = *model;
    if (region->file)
        file_hold(region->file);
    insert(regions, region);
}

uint64_t regions_gap(struct regions *regions, uint64_t size, uint64_t below, uint64_t above)
{
    uint64_t top = below;
    if (regions->gap_hint && regions->gap_hint < below && regions->gap_hint >= above + size)
        top = regions->gap_hint;
    for (int pass = 0; pass < 2; pass++) {
        struct region *r = NULL;
        /* The last region that starts below top. */
        for (struct region *at = RB_ROOT(&regions->tree); at;) {
            if (at->start < top) {
                r = at;
                at = RB_RIGHT(at, link);
            } else {
                at = RB_LEFT(at, link);
            }
        }
        uint64_t limit = top;
        for (;;) {
            uint64_t floor = r ? r->end : 0;
            if (floor < above)
                floor = above;
            if (limit > floor && limit - floor >= size) {
                regions->gap_hint = limit - size;
                return limit - size;
            }
            if (!r || r->start < above + size)
                break;
            limit = min_u64(limit, r->start);
            r = region_tree_RB_PREV(r);
        }
        if (top == below)
            return 0;
        top = below; /* the hint was too low */
    }
    return 0;
}

bool regions_cover(struct regions *regions, uint64_t start, uint64_t end)
{
    for (struct region *r = region_find(regions, start); r && r->start <= start; r = region_next(r)) {
        if (r->end >= end)
            return true;
        start = r->end;
    }
    return start >= end;
}
