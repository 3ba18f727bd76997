/* SPDX-License-Identifier: MIT */
/*
 * physmem: guest-physical windows over host mappings. A window is one memslot: an aligned WINDOW_SIZE of host
 * addresses, whatever is or is not mapped there, made when the first page in it is needed and kept. So there are as
 * many memslots as the host's memory in use has windows, never one per mapping, and mapping a page of a window is a
 * page-table write.
 */
#ifndef MONITOR_PHYSMEM_H
#define MONITOR_PHYSMEM_H

#include "types.h"

/* The guest-physical address of a host address: 0, or -ENOMEM (guest-physical space or memslots are used up), -errno.
 */
int physmem_gpa(const void *hva, gpa_t *gpa);
/* The host address of a guest-physical one that physmem_gpa has given out. */
void *physmem_hva(gpa_t gpa);
/* Number of windows made. */
uint32_t physmem_windows(void);
void physmem_forget(void);

#endif
