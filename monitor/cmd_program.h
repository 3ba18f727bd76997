/* SPDX-License-Identifier: MIT */
/* cmd_program: what `polder run` and `polder trace` have in common: what the program may do, and what is given up. */
#ifndef MONITOR_CMD_PROGRAM_H
#define MONITOR_CMD_PROGRAM_H

#include <argp.h>

#include "confine/confine.h"
#include "linux/linux.h"
#include "linux/policy.h"

struct program_options {
    struct confine confine;
    struct linux_policy policy;
};

/* A child of the command's own argp; its input is the struct program_options. */
extern const struct argp program_argp;

/* Runs argv[0] and returns the status to exit with; hooks may be NULL. */
int program_run(struct program_options *options, char **argv, const struct linux_hooks *hooks, void *opaque);

#endif
