/* SPDX-License-Identifier: MIT */
/* run: polder_run_sandbox inside the guest. */
#ifndef RESIDENT_RUN_H
#define RESIDENT_RUN_H

#include <stdbool.h>

struct mm;
struct polder_params;

/* 0 or -errno. mm is held. */
int sandbox_run(struct mm *mm, struct polder_params *params);
/* A run that went the short way (entry.S) has come out with this, which is no system call. True if it is over; else
 * ring 3 is to go on. */
bool sandbox_trapped(struct mm *mm, struct polder_params *params, unsigned what, int *error);
/* The run is over, and the next one may go the short way if it is the same again. */
void sandbox_ready(int mm_fd, struct mm *mm, struct polder_params *params);
void sandbox_kick(struct polder_params *params);
void sandbox_fini(struct polder_params *params);

#endif
