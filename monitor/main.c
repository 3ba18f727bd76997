/* SPDX-License-Identifier: MIT */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "polder/polder.h"

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
    {"run", cmd_run},
    {"trace", cmd_trace},
    {"boot", cmd_boot},
    {"info", cmd_info},
};

struct main_options {
    const struct command *command;
    int argc;
    char **argv;
};

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static void print_version(FILE *stream, struct argp_state *state)
{
    (void)state;
    fprintf(stream, "polder %d.%d.%d\n", POLDER_VERSION >> 16, POLDER_VERSION >> 8 & 0xff, POLDER_VERSION & 0xff);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct main_options *options = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (strcmp(arg, "help") == 0) {
            /* `polder help run` is `polder run --help`. */
            const struct command *command = state->next < state->argc ? find(state->argv[state->next]) : NULL;
            if (!command)
                argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
            static char help[] = "--help";
            static char *argv[] = {NULL, help, NULL};
            argv[0] = state->argv[state->next];
            options->argv = argv;
            options->argc = 2;
            options->command = command;
        } else {
            options->command = find(arg);
            if (!options->command)
                argp_error(state, "there is no command `%s'", arg);
            options->argv = state->argv + state->next - 1;
            options->argc = state->argc - state->next + 1;
        }
        state->next = state->argc; /* the rest is the command's */
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
    .args_doc = "COMMAND [OPTION...] [ARG...]",
    .doc = "Runs code inside address spaces that are the page tables of a KVM guest.\v"
           "Commands:\n"
           "  run PROGRAM [ARG...]    run a Linux program in a sandbox\n"
           "  trace PROGRAM [ARG...]  the same, and print its system calls\n"
           "  boot KERNEL             boot a resident kernel\n"
           "  info                    what this machine's KVM can do\n"
           "  help [COMMAND]          this text, or that of a command\n"
           "\n"
           "`polder COMMAND --help' tells the options of a command.",
};

bool cmd_parse(const struct argp *with, int argc, char **argv, unsigned flags, void *input)
{
    argp_err_exit_status = 2;
    int error = argp_parse(with, argc, argv, flags, NULL, input);
    if (error) /* it has no memory, for anything else it ends by itself */
        fprintf(stderr, "%s: %s\n", argv[0], strerror(error));
    return error == 0;
}

int main(int argc, char **argv)
{
    struct main_options options = {0};
    argp_program_version_hook = print_version;
    if (!cmd_parse(&argp, argc, argv, ARGP_IN_ORDER, &options) || !options.command)
        return 2;
    /* Usage texts and messages say "polder run". */
    static char name[32];
    snprintf(name, sizeof(name), "polder %s", options.command->name);
    options.argv[0] = name;
    int status = options.command->run(options.argc, options.argv);
    fflush(NULL);
    /* Nothing that takes time is worth doing at the end: the process goes with all it has. */
    _exit(status);
}
