/* SPDX-License-Identifier: MIT */
/*
 * report: what is said when the program dies of a fault.
 */
#ifndef MONITOR_LINUX_REPORT_H
#define MONITOR_LINUX_REPORT_H

#include <signal.h>

struct task;

/* Registers, faulting address and mapping, on the standard error that the monitor was started with. */
void report_death(const struct task *task, const siginfo_t *info);

#endif
