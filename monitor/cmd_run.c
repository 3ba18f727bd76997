/* SPDX-License-Identifier: MIT */
#include "cmd.h"

#include <argp.h>
#include <stdlib.h>
#include <unistd.h>

#include "linux/linux.h"

struct run_options {
    char **program; /* and its arguments */
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct run_options *options = state->input;
    (void)arg;
    switch (key) {
    case ARGP_KEY_ARGS:
        options->program = state->argv + state->next;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .parser = parse,
    .args_doc = "PROGRAM [ARG...]",
    .doc = "Runs an unmodified x86-64 Linux program in a sandbox.\v"
           "The program is found by PATH. Standard streams, working directory, environment, exit status and death by "
           "signal are its own. Status 127: no such program; 126: it cannot be run; 2: KVM cannot be had.",
};

int cmd_run(int argc, char **argv)
{
    struct run_options options = {0};
    argp_err_exit_status = 2;
    if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &options) != 0 || !options.program)
        return 2;
    return linux_run(options.program[0], options.program, environ, NULL, NULL);
}
