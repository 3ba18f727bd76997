/* SPDX-License-Identifier: MIT */
/*
 * ram: the machine's memory, and the one gate to it. Guest-physical memory from BOOT_RAM_BASE on is one range of host
 * memory; what is there grows at its end, up to the limit.
 */
#ifndef MONITOR_BOOT_RAM_H
#define MONITOR_BOOT_RAM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define RAM_STEP (2ull << 20)

struct ram {
    char *base;         /* host address of BOOT_RAM_BASE */
    uint64_t size;      /* bytes that are there; only grows */
    uint64_t limit;     /* that it grows to; both are multiples of RAM_STEP */
    uint32_t next_slot; /* of KVM's memory slots */
    bool in_core;       /* a core file is to have it */
    pthread_mutex_t lock;
};

/* Reserves addresses. 0 or -errno. */
int ram_init(struct ram *ram, uint64_t limit, uint32_t first_slot, bool in_core);

/* Brings in so many bytes more, zeroed: their guest-physical address, -ENOMEM beyond the limit, -EINVAL if it is not a
 * multiple of RAM_STEP, or 0. Thread-safe. */
int64_t ram_grow(struct ram *ram, uint64_t bytes);

/*
 * The gate: the host's address of guest-physical memory that is wholly RAM, else NULL. Nothing else may turn a number
 * that comes from the guest into a pointer. Files are not RAM: they can be cut, and the monitor must not touch them.
 */
void *ram_at(const struct ram *ram, uint64_t gpa, uint64_t length);

#endif
