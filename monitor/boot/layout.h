/* SPDX-License-Identifier: MIT */
/*
 * layout: where in guest-physical memory the monitor puts what a kernel starts with, and the page tables and areas
 * themselves, as abi.h promises them.
 *
 *   image | to the next 2 MiB | page tables | AREA_EARLY's code | areas | initrd | device tree | free
 */
#ifndef MONITOR_BOOT_LAYOUT_H
#define MONITOR_BOOT_LAYOUT_H

#include <stdint.h>

#include "boot/image.h"
#include "boot/ram.h"

#define LAYOUT_DIRECT_MAX (512ull << 30) /* what one entry of the root maps */

struct layout {
    /* Guest-physical, each a page boundary. */
    uint64_t image, tables, early, areas, initrd, device_tree, end;
    uint64_t initrd_size, device_tree_size; /* in bytes; the latter is the room for it */
    uint32_t cpus;
};

/* direct_end: the guest-physical address where RAM at its limit and all windows of files end. */
void layout_plan(struct layout *layout, const struct image *image, uint32_t cpus, uint64_t direct_end,
    uint64_t initrd_size, uint64_t device_tree_size);

/* Writes image, tables and areas into RAM that reaches beyond layout->end. */
void layout_fill(const struct layout *layout, const struct image *image, struct ram *ram, uint64_t direct_end);

/* Guest-virtual address of a vCPU's area. */
uint64_t layout_area(uint32_t cpu);
/* Guest-physical address of its data page. */
uint64_t layout_data_page(const struct layout *layout, uint32_t cpu);

#endif
