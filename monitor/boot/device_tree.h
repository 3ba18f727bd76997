/* SPDX-License-Identifier: MIT */
/* device_tree: the flattened device tree that a kernel gets (docs/boot.md). */
#ifndef MONITOR_BOOT_DEVICE_TREE_H
#define MONITOR_BOOT_DEVICE_TREE_H

#include "boot/machine.h"

/* Bytes that are enough for it. */
uint64_t device_tree_room(const struct boot_options *options);

/* Makes it, of the machine as it lies in its RAM, at `to`, where there is that much room. False after a message. */
bool device_tree_make(const struct machine *machine, void *to, uint64_t room);

#endif
