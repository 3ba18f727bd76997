/* SPDX-License-Identifier: MIT */
/*
 * machine: in the place of monitor/kvm.c, a KVM with shadow paging that keeps whatever it may keep.
 *
 *  - A present entry that was once walked is known by its shadow from then on: what the host stores there is not seen,
 *    what ring 0 stores is.
 *  - Each vCPU keeps every entry that it has walked, of all levels, until it loads CR3 without bit 63, or faults there.
 *    Neighbours of an entry come along,
 *    and it looks ahead of what it executes.
 *  - A vCPU in ring 3 may access once more after an NMI was sent; in the stub the NMI comes at any of its steps.
 *
 * Ring 3 runs programs that are written below, not code: rip says which, rdi is an address, rsi a value, rdx a count.
 */
#ifndef TESTS_PROTOCOL_MACHINE_H
#define TESTS_PROTOCOL_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

enum program {
    PROGRAM_STORE = 0x1000, /* rdx times: store rsi; then a system call */
    PROGRAM_LOAD,           /* rdx times: load; the last value is in rbx */
    PROGRAM_KEEP,           /* rdx times: store rsi and load it: it must still be there */
    PROGRAM_SPIN,           /* for ever, touching nothing */
};

/* Between schedules. */
void machine_reset(void);
/* From now on no vCPU may store to this page of the space that all runs are in, or not access it at all. */
void machine_forbid(uint64_t page, bool loads_too);
/* Nobody runs: what is kept by shadows must be what the entries say. */
void machine_check_shadows(void);

#endif
