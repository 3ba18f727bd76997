/* SPDX-License-Identifier: MIT */
/* timer: one one-shot timer of the hypervisor's per vCPU serves polder_timer and the deadlines of runs. */
#ifndef RESIDENT_TIMER_H
#define RESIDENT_TIMER_H

#include "hypercall.h"
#include "machine.h"
#include <polder/abi.h>

/* Times are in ticks of the TSC; where it does not go at one pace, nanoseconds of the monitor's clock. */

/* ns from now; never 0. */
uint64_t timer_ticks_after(uint64_t ns);
/* Sees to it that VECTOR_TIMER comes at `at`, if nothing is armed for an earlier time: that finds it too early,
 * and arms again. An exit only where something must be armed. */
void timer_arm(struct cpu *cpu, uint64_t at);
/* VECTOR_TIMER has come: what time it is at the least, for KVM goes by another clock. */
uint64_t timer_expired(struct cpu *cpu);
/* An exit where the TSC cannot be trusted. */
static inline uint64_t timer_now(void)
{
    return machine.tsc_khz ? __builtin_ia32_rdtsc() : (uint64_t)hypercall(HC_CLOCK, 0, 0, 0, 0);
}

/* a is not after b. The TSC is a number that goes round: a hypervisor under this one may have moved it below 0. */
static inline bool timer_reached(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) <= 0;
}

#endif
