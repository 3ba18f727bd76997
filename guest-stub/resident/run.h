/* SPDX-License-Identifier: MIT */
/* run: polder_run_sandbox inside the guest. */
#ifndef RESIDENT_RUN_H
#define RESIDENT_RUN_H

struct mm;
struct polder_params;

/* 0 or -errno. mm is held. */
int sandbox_run(struct mm *mm, struct polder_params *params);
void sandbox_kick(struct polder_params *params);
void sandbox_fini(struct polder_params *params);

#endif
