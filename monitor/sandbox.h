/* SPDX-License-Identifier: MIT */
/* sandbox: polder_run_sandbox: entering until something has to be reported, and what that is. */
#ifndef MONITOR_SANDBOX_H
#define MONITOR_SANDBOX_H

#include "mm.h"
#include "state.h"
#include <polder/polder.h>

/* 0 or -errno. */
int sandbox_run(struct mm *mm, struct polder_params *params);
int sandbox_kick(struct polder_params *params);
void sandbox_fini(struct polder_params *params);

/* Counts since the start, for measurements: KVM_RUN exits that a run took, and faults that the library resolved itself.
 */
struct sandbox_counts {
    uint64_t entries, faults;
} PRIVATE_TYPE;
extern struct sandbox_counts sandbox_counts;

#endif
