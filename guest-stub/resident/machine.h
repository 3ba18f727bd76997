/* SPDX-License-Identifier: MIT */
/* machine: what the device tree says, read once at the start. */
#ifndef RESIDENT_MACHINE_H
#define RESIDENT_MACHINE_H

#include "types.h"

struct machine {
    const void *device_tree;
    const char *bootargs;
    const void *initrd;
    uint64_t initrd_size;
    uint64_t ram_start, ram_end; /* free at the start, in whole blocks of 2 MiB */
    uint64_t ram_limit;          /* bytes */
    uint32_t cpu_count;
    uint32_t tsc_khz; /* 0: the TSC does not go at one pace */
    uint32_t xstate_size;
    bool native_ring0; /* XSAVE and FSGSBASE can be executed in ring 0 */
    bool x2apic;
};

extern struct machine machine;

/* False: it is not the tree of a machine that this run-time knows. */
bool machine_read(const void *device_tree);
/* The --file of this name: its index, or -ENOENT; whether it may be written. */
int machine_file(const char *name, bool *writable);

#endif
