/* SPDX-License-Identifier: MIT */
/* cpu: a vCPU and the thread that runs it. */
#ifndef MONITOR_BOOT_CPU_H
#define MONITOR_BOOT_CPU_H

#include "boot/machine.h"

/* Makes KVM's vCPU, with the state of the boot protocol but RIP and RSP. 0 or -errno. */
int cpu_create(struct machine *machine, uint32_t number);

/* Makes its thread, which waits until the vCPU is started. 0 or -errno. */
int cpu_make_thread(struct cpu *cpu);

/* Starts it: 0, -EBUSY if it has been, -EINVAL for addresses that no CPU takes, -errno. */
int cpu_start(struct cpu *cpu, uint64_t cr3, uint64_t rip, uint64_t rsp, uint64_t rdi);

/* Ends its HC_IDLE, or the next one. */
void cpu_wake(struct cpu *cpu);

/* HC_IDLE. */
int64_t cpu_idle(struct cpu *cpu, bool console);

/* machine->stop is set: waits until every vCPU's thread is out of the guest and will not go back. */
void cpus_wait_stopped(struct machine *machine);

#endif
