/* SPDX-License-Identifier: MIT */
/* map_args: what mmap(2), munmap(2) and mprotect(2) refuse, and which address mmap chooses. Compiled for the host and
 * for resident kernels. 0 or -errno. */
#ifndef MONITOR_MAP_ARGS_H
#define MONITOR_MAP_ARGS_H

#include "region.h"

int map_check(uint64_t start, uint64_t length, int flags, uint64_t offset);
/* Where a mapping of this length goes that is not MAP_FIXED; at a boundary of 2 MiB if huge; 0 if there is no room. */
uint64_t map_choose(struct regions *regions, uint64_t hint, uint64_t length, bool huge);
int range_check(uint64_t start, uint64_t length);
bool prot_check(int prot);

#endif
