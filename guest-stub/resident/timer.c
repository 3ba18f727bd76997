/* SPDX-License-Identifier: MIT */
#include "timer.h"
#include "own.h"
#include <polder/resident.h>

/* KVM's arithmetic overflows with times that are hours away; who finds it too early arms again. */
#define ARM_AT_MOST_NS 100000000000ull

static uint64_t ticks_per_ms(void)
{
    return machine.tsc_khz ? machine.tsc_khz : 1000000;
}

uint64_t timer_ticks_after(uint64_t ns)
{
    uint64_t khz = ticks_per_ms();
    /* ns * khz / 10^6 without the 128-bit division that a kernel has no library for. */
    uint64_t ms = ns / 1000000, rest = ns % 1000000;
    uint64_t ticks = ms > (UINT64_MAX >> 2) / khz ? UINT64_MAX >> 2 : ms * khz + rest * khz / 1000000;
    uint64_t at = timer_now() + ticks;
    return at ? at : 1;
}

static uint64_t ns_until(uint64_t at)
{
    int64_t ticks = (int64_t)(at - timer_now());
    if (ticks <= 0)
        return 1;
    uint64_t khz = ticks_per_ms(), ms = (uint64_t)ticks / khz, rest = (uint64_t)ticks % khz;
    return ms > UINT64_MAX / 2000000 ? UINT64_MAX / 2 : ms * 1000000 + rest * 1000000 / khz + 1;
}

void timer_arm(struct cpu *cpu, uint64_t at)
{
    if (cpu->armed_at && timer_reached(cpu->armed_at, at))
        return;
    uint64_t most = timer_ticks_after(ARM_AT_MOST_NS);
    if (timer_reached(most, at))
        at = most;
    cpu->armed_at = at;
    hypercall(HC_TIMER, ns_until(at), 0, 0, 0);
}

uint64_t timer_expired(struct cpu *cpu)
{
    uint64_t now = timer_now(), armed = cpu->armed_at;
    cpu->armed_at = 0;
    cpu_end_interrupt(cpu);
    return timer_reached(armed, now) || !machine.tsc_khz ? now : armed;
}

EXPORT void polder_timer(uint64_t ns)
{
    struct cpu *cpu = this_cpu();
    if (ns == UINT64_MAX) {
        cpu->timer_at = 0; /* what is armed finds nothing to do */
        return;
    }
    cpu->timer_at = timer_ticks_after(ns);
    timer_arm(cpu, cpu->timer_at);
}

/* Lets in what waits. True if polder_timer's time has come. PVM takes an interrupt only some instructions after STI. */
static bool take_interrupts(struct cpu *cpu)
{
    __asm__ volatile("sti\n\t.rept 16\n\tnop\n\t.endr\n\tcli" : : : "memory");
    if (!cpu->timer_pending)
        return false;
    cpu->timer_pending = 0;
    uint64_t now = timer_expired(cpu);
    if (!cpu->timer_at)
        return false;
    if (timer_reached(cpu->timer_at, now)) {
        cpu->timer_at = 0;
        return true;
    }
    timer_arm(cpu, cpu->timer_at);
    return false;
}

/* Its interrupt may not have been let in yet (ring 0's emulation takes its time): whoever it meets next finds no
 * expiry. */
static bool time_has_come(struct cpu *cpu)
{
    if (!cpu->timer_at || !timer_reached(cpu->timer_at, timer_now()))
        return false;
    cpu->timer_at = 0;
    return true;
}

EXPORT void polder_idle(bool console)
{
    struct cpu *cpu = this_cpu();
    if (take_interrupts(cpu) || time_has_come(cpu))
        return;
    cpu_idle(console ? IDLE_CONSOLE : 0);
    if (!take_interrupts(cpu))
        time_has_come(cpu);
}
