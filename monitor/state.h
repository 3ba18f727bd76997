/* SPDX-License-Identifier: MIT */
/*
 * state: where the library's static data lies, and whether it is still this process's.
 *
 * Every static variable of libpolder is declared PRIVATE_STATE, with a type that is PRIVATE_TYPE: whole pages in a
 * section of their own, so that they can be hidden from a sandbox of "/proc/self/mm" without hiding anything of the
 * embedder's.
 */
#ifndef MONITOR_STATE_H
#define MONITOR_STATE_H

#include "types.h"
#include <pthread.h>

#define PRIVATE_STATE __attribute__((section("polder_state")))
#define PRIVATE_TYPE __attribute__((aligned(4096)))

/*
 * The library's locks, in the order in which a thread may take them; a space's and a vCPU's own come before `files`.
 * All are held while libc forks, so that the child finds nothing half changed, and are free in it.
 */
extern struct locks {
    pthread_mutex_t first_use, descriptors, self, vcpus, files, tables, frames, physmem, records, epochs;
} PRIVATE_TYPE locks;

/* True if a byte of the range is in the library's static data. */
bool state_overlaps(uint64_t address, uint64_t length);

/* The kernel zeroes this page in a fork()ed child (MADV_WIPEONFORK): noticing costs no getpid() per call. */
extern struct state_wiped {
    uint64_t epoch;
} PRIVATE_TYPE state_wiped;
uint64_t state_new_epoch(void);

/* A number that differs between a process and its fork()ed child, and from 0: what was made under another epoch belongs
 * to another process. 0 as long as there is no memory for noticing a fork: then nothing may be made. One load when
 * nothing has happened. */
static inline uint64_t state_epoch(void)
{
    uint64_t epoch = __atomic_load_n(&state_wiped.epoch, __ATOMIC_ACQUIRE);
    return __builtin_expect(epoch != 0, 1) ? epoch : state_new_epoch();
}

#endif
