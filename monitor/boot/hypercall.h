/* SPDX-License-Identifier: MIT */
/* hypercall: what a kernel asks for by PORT_HYPERCALL (abi.h, HC_...). */
#ifndef MONITOR_BOOT_HYPERCALL_H
#define MONITOR_BOOT_HYPERCALL_H

#include "boot/machine.h"

/* The names for the device tree, HC_COUNT of them, by number. */
extern const char *const hypercall_names[];

/* Carries out the one whose number and arguments are in the vCPU's data page. False if it ended the machine. */
bool hypercall(struct cpu *cpu);

#endif
