/* SPDX-License-Identifier: MIT */
/*
 * lock: spin locks between vCPUs. Interrupts are off in ring 0, so no handler can want a lock that its vCPU holds. The
 * order: a descriptor table's, a memory object's that is for its cutting, that of all spaces, a space's, its copy's, a
 * memory object's, frames'; records' last.
 */
#ifndef RESIDENT_LOCK_H
#define RESIDENT_LOCK_H

#include <stdint.h>

struct lock {
    uint32_t held;
};

static inline void lock(struct lock *lock)
{
    while (__atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE)) {
        while (__atomic_load_n(&lock->held, __ATOMIC_RELAXED))
            __builtin_ia32_pause();
    }
}

static inline void unlock(struct lock *lock)
{
    __atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
}

#endif
