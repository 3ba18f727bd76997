/* SPDX-License-Identifier: MIT */
#include "cmd_program.h"

#include <unistd.h>

enum { KEY_ALLOW = 0x2000, KEY_DENY };

static const struct argp_option options[] = {
    {"allow", KEY_ALLOW, "NAMES", 0,
        "Only these system calls: names or %file, %desc, %memory, %process, %network, %signal, separated by commas; "
        "others are EPERM in the program",
        0},
    {"deny", KEY_DENY, "NAMES", 0, "These system calls are EPERM in the program", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct program_options *program = state->input;
    const char *unknown;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &program->confine;
        return 0;
    case KEY_ALLOW:
    case KEY_DENY:
        unknown = key == KEY_ALLOW ? policy_allow(&program->policy, arg) : policy_deny(&program->policy, arg);
        if (unknown) {
            const char *option = key == KEY_ALLOW ? "allow" : "deny", *nearest = policy_nearest(unknown);
            argp_error(state, "--%s: there is no system call `%s'%s%s%s", option, unknown,
                nearest ? "; did you mean `" : "", nearest ? nearest : "", nearest ? "'?" : "");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&confine_argp, 0, NULL, 0}, {0}};

const struct argp program_argp = {.options = options, .parser = parse, .children = children};

/* Files, sockets and descriptors are the program's to use: of those nothing can be given up. */
static bool confine(void *opaque)
{
    const struct confine *wishes = opaque;
    if (wishes->off) {
        confine_tell_off(&confine_program_filter, "");
        return true;
    }
    return (wishes->core || confine_core(false)) && confine_privileges() && confine_calls(&confine_program_filter);
}

int program_run(struct program_options *program, char **argv, const struct linux_hooks *hooks, void *opaque)
{
    const struct linux_setting setting = {
        .policy = &program->policy, .confine = confine, .confine_opaque = &program->confine};
    return linux_run(argv[0], argv, environ, &setting, hooks, opaque);
}
