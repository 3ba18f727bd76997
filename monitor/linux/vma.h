/* SPDX-License-Identifier: MIT */
/*
 * vma: which addresses belong to the program, with their protection. Everything else in this process is the monitor's,
 * and no memory call of the program may touch it. Pure data; the caller keeps it in step with the host.
 */
#ifndef MONITOR_LINUX_VMA_H
#define MONITOR_LINUX_VMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vma {
    uint64_t start, end; /* page-aligned, not empty */
    int prot;
};

/* Ascending, disjoint; neighbours with the same protection are one. All zero is an empty list. */
struct vma_list {
    struct vma *v;
    size_t count, room;
};

/*
 * vma_reserve: makes room so that the next vma_set or vma_clear cannot fail; false if there is no memory. Called before
 * the host is changed: a change that could not be recorded would have to be undone.
 */
bool vma_reserve(struct vma_list *list);
void vma_set(struct vma_list *list, uint64_t start, uint64_t end, int prot);
void vma_clear(struct vma_list *list, uint64_t start, uint64_t end);
void vma_free(struct vma_list *list);

/* The first entry that ends above addr (it may start above it), or NULL. */
const struct vma *vma_find(const struct vma_list *list, uint64_t addr);

/* Where the run of mapped addresses that begins at start ends, at most end; start itself if start is not mapped. */
uint64_t vma_covered(const struct vma_list *list, uint64_t start, uint64_t end);

#endif
