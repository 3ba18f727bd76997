/* SPDX-License-Identifier: MIT */
/* report: what a machine that was not shut down was doing, on standard error. */
#ifndef MONITOR_BOOT_REPORT_H
#define MONITOR_BOOT_REPORT_H

#include "boot/machine.h"

/* Every vCPU has stopped. All that the guest has is untrusted. */
void report(struct machine *machine);

#endif
