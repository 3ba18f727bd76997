/* SPDX-License-Identifier: MIT */
/* sandbox: polder_run_sandbox: entering until something has to be reported, and what that is. */
#ifndef MONITOR_SANDBOX_H
#define MONITOR_SANDBOX_H

#include "mm.h"
#include <polder/polder.h>

/* 0 or -errno. */
int sandbox_run(struct mm *mm, struct polder_params *params);
int sandbox_kick(struct polder_params *params);
void sandbox_fini(struct polder_params *params);

#endif
