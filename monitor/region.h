/* SPDX-License-Identifier: MIT */
/*
 * region: what is mapped where in a space, as intervals that do not overlap. Page tables are filled from this at mmap
 * time or at the fault. Compiled for the host and for resident kernels.
 */
#ifndef MONITOR_REGION_H
#define MONITOR_REGION_H

#include "types.h"
#include <bsd/sys/tree.h>

struct file; /* whoever compiles region.c says what it is: */
void file_hold(struct file *file);
void file_drop(struct file *file);

enum region_kind {
    REGION_ANONYMOUS,    /* private: frames, in the space's chunks */
    REGION_FILE_PRIVATE, /* the file's pages until written, then frames */
    REGION_FILE_SHARED,  /* the file's pages; shared anonymous memory is a file without a name */
    REGION_OWN,          /* "/proc/self/mm": the caller's memory at its own address, as polder_mmap recorded it */
    REGION_OBSERVED,     /* the same, as /proc/self/maps said at a fault; may be outdated */
    REGION_HIDDEN,       /* "/proc/self/mm": privileged */
};

struct region {
    RB_ENTRY(region) link;
    uint64_t start, end;
    struct file *file; /* held */
    uint64_t offset;   /* in the file, of start */
    uint8_t kind;      /* enum region_kind */
    uint8_t prot;      /* PROT_READ | PROT_WRITE | PROT_EXEC */
    bool privileged;
    bool file_writable; /* the descriptor it came from may write: PROT_WRITE may be added */
};

RB_HEAD(region_tree, region);

struct regions {
    struct region_tree tree;
    struct region *spare; /* linked by file; asked for beforehand, so that cutting cannot fail */
    uint32_t spares;
    uint64_t count;
    uint64_t gap_hint; /* where the last gap from the top was found */
};

void regions_init(struct regions *regions);
void regions_fini(struct regions *regions);
/* Makes sure that n nodes can be had. False without memory. */
bool regions_reserve(struct regions *regions, uint32_t n);
/* The region that holds address; NULL if none does. */
struct region *region_find(struct regions *regions, uint64_t address);
/* The first region that ends above address. */
struct region *region_at_or_after(struct regions *regions, uint64_t address);
struct region *region_next(struct region *region);
/* Cuts at address: two spare nodes at most are used by two cuts. */
void regions_split(struct regions *regions, uint64_t address);
/* Removes [start, end), cutting at its ends. Two spare nodes at the most. */
void regions_remove(struct regions *regions, uint64_t start, uint64_t end);
/* Adds a copy of model, whose range is free, joined with its neighbours where they continue it. One spare node. The
 * file is held once more. */
void regions_add(struct regions *regions, const struct region *model);
/* Joins neighbours that continue each other around [start, end). */
void regions_join(struct regions *regions, uint64_t start, uint64_t end);
/* A free range of this size that ends at or below `below`, from the top as far as the last search has not moved on; 0
 * if there is none. */
uint64_t regions_gap(struct regions *regions, uint64_t size, uint64_t below, uint64_t above);
/* True if [start, end) has no hole. */
bool regions_cover(struct regions *regions, uint64_t start, uint64_t end);

#endif
