/* SPDX-License-Identifier: MIT */
#include "cmd.h"

#include <argp.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd_program.h"

struct run_options {
    struct program_options common;
    char **program; /* and its arguments */
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct run_options *options = state->input;
    (void)arg;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
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

static const struct argp_child children[] = {{&program_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
    .children = children,
    .parser = parse,
    .args_doc = "PROGRAM [ARG...]",
    .doc = "Runs an unmodified x86-64 Linux program in a sandbox.\v"
           "The program is found by PATH. Standard streams, working directory, environment, exit status and death by "
           "signal are its own. Status 127: no such program; 126: it cannot be run; 2: KVM cannot be had.",
};

int cmd_run(int argc, char **argv)
{
    static struct run_options options;
    if (!cmd_parse(&argp, argc, argv, ARGP_IN_ORDER, &options) || !options.program)
        return 2;
    return program_run(&options.common, options.program, NULL, NULL);
}
