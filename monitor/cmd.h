/* SPDX-License-Identifier: MIT */
/*
 * cmd: the sub-commands of the polder program. argv[0] is the sub-command's own name ("polder run"), its options
 * follow. Each returns the status to exit with.
 */
#ifndef MONITOR_CMD_H
#define MONITOR_CMD_H

#include <stdbool.h>

struct argp;

/* Reads the options of a command into input. False if that is its end, with status 2: what is wrong has been said. */
bool cmd_parse(const struct argp *argp, int argc, char **argv, unsigned flags, void *input);

int cmd_run(int argc, char **argv);
int cmd_trace(int argc, char **argv);
int cmd_boot(int argc, char **argv);
int cmd_info(int argc, char **argv);

#endif
