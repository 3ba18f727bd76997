/* SPDX-License-Identifier: MIT */
/* walk: the guest's page tables, as the CPU would read them. They are untrusted. */
#ifndef MONITOR_BOOT_WALK_H
#define MONITOR_BOOT_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot/ram.h"

struct translation {
    uint64_t gpa;  /* of the address itself */
    uint64_t size; /* of the page: 4 KiB, 2 MiB, 1 GiB */
    bool writable, user, executable;
};

/* False if nothing is mapped there, or a table lies outside RAM. */
bool walk(const struct ram *ram, uint64_t cr3, uint64_t gva, struct translation *result);

/* Copies all of it, or false. */
bool walk_read(const struct ram *ram, uint64_t cr3, uint64_t gva, void *to, size_t length);

#endif
