/* SPDX-License-Identifier: MIT */
#include "linux/vma.h"

#include <stdlib.h>
#include <string.h>

bool vma_reserve(struct vma_list *list)
{
    /* Cutting a hole into one entry leaves two, and one more may be put between them. */
    if (list->room - list->count >= 2)
        return true;
    size_t room = list->room ? list->room * 2 : 64;
    struct vma *v = realloc(list->v, room * sizeof(*v));
    if (!v)
        return false;
    list->v = v;
    list->room = room;
    return true;
}

void vma_free(struct vma_list *list)
{
    free(list->v);
    *list = (struct vma_list){0};
}

/* The index of the first entry that ends above addr. */
static size_t find(const struct vma_list *list, uint64_t addr)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (list->v[mid].end > addr)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static void insert(struct vma_list *list, size_t at, struct vma vma)
{
    memmove(&list->v[at + 1], &list->v[at], (list->count - at) * sizeof(vma));
    list->v[at] = vma;
    list->count++;
}

static void drop(struct vma_list *list, size_t from, size_t to)
{
    memmove(&list->v[from], &list->v[to], (list->count - to) * sizeof(list->v[0]));
    list->count -= to - from;
}

void vma_clear(struct vma_list *list, uint64_t start, uint64_t end)
{
    size_t i = find(list, start);
    if (i == list->count || list->v[i].start >= end || start >= end)
        return;
    if (list->v[i].start < start) {
        struct vma tail = list->v[i];
        list->v[i++].end = start;
        if (tail.end > end) {
            tail.start = end;
            insert(list, i, tail);
            return;
        }
    }
    size_t j = i;
    while (j < list->count && list->v[j].end <= end)
        j++;
    if (j < list->count && list->v[j].start < end)
        list->v[j].start = end;
    drop(list, i, j);
}

void vma_set(struct vma_list *list, uint64_t start, uint64_t end, int prot)
{
    if (start >= end)
        return;
    vma_clear(list, start, end);
    size_t i = find(list, start);
    bool joins_last = i > 0 && list->v[i - 1].end == start && list->v[i - 1].prot == prot;
    bool joins_next = i < list->count && list->v[i].start == end && list->v[i].prot == prot;
    if (joins_last && joins_next) {
        list->v[i - 1].end = list->v[i].end;
        drop(list, i, i + 1);
    } else if (joins_last) {
        list->v[i - 1].end = end;
    } else if (joins_next) {
        list->v[i].start = start;
    } else {
        insert(list, i, (struct vma){start, end, prot});
    }
}

const struct vma *vma_find(const struct vma_list *list, uint64_t addr)
{
    size_t i = find(list, addr);
    return i < list->count ? &list->v[i] : NULL;
}

uint64_t vma_covered(const struct vma_list *list, uint64_t start, uint64_t end)
{
    uint64_t at = start;
    for (size_t i = find(list, start); i < list->count && list->v[i].start <= at && at < end; i++)
        at = list->v[i].end;
    return at < end ? at : end;
}
