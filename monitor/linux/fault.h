/* SPDX-License-Identifier: MIT */
/*
 * fault: which signal Linux sends for what the sandbox's processor reported.
 */
#ifndef MONITOR_LINUX_FAULT_H
#define MONITOR_LINUX_FAULT_H

#include <signal.h>

#include "linux/memory.h"
#include "polder/polder.h"

/*
 * Fills *info for a run that ended with POLDER_PAGE_FAULT, POLDER_EXCEPTION, POLDER_STEP or POLDER_BUS. fpu is the
 * context's XSAVE area, or NULL: it tells which floating-point error it was.
 */
void fault_signal(siginfo_t *info, const struct polder_params *params, const struct vma_list *vmas, const void *fpu);

/* True if fault_signal wants to see the XSAVE area. */
bool fault_needs_fpu(const struct polder_params *params);

#endif
