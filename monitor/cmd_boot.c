/* SPDX-License-Identifier: MIT */
#include "cmd.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "boot/machine.h"

#define DEFAULT_MEMORY (256ull << 20)
#define MAX_MEMORY (1ull << 39)
#define MAX_TIMEOUT (1ull << 32)

enum { KEY_MEMORY = 256, KEY_APPEND, KEY_INITRD, KEY_FILE, KEY_DUMP_DTB, KEY_CPUS, KEY_TIMEOUT };

static const struct argp_option option_table[] = {
    {"memory", KEY_MEMORY, "SIZE", 0, "Memory that the machine may come to have, with K, M or G: 256M", 0},
    {"append", KEY_APPEND, "ARGS", 0, "The kernel's arguments: bootargs of /chosen", 0},
    {"initrd", KEY_INITRD, "FILE", 0, "A file that is in memory from the start", 0},
    {"file", KEY_FILE, "NAME=PATH[,rw]", 0, "A file that the kernel can map; with rw, also write", 0},
    {"cpus", KEY_CPUS, "N", 0, "vCPUs: 1", 0},
    {"timeout", KEY_TIMEOUT, "SECONDS", 0, "End a machine that runs longer, with a report and status 70", 0},
    {"dump-dtb", KEY_DUMP_DTB, "FILE", 0, "Write the device tree to FILE instead of booting", 0},
    {0},
};

static bool parse_number(const char *text, uint64_t least, uint64_t most, bool suffix, uint64_t *value)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 0);
    unsigned shift = 0;
    if (suffix && *end && !end[1])
        shift = *end == 'K' || *end == 'k' ? 10 : *end == 'M' || *end == 'm' ? 20 : *end == 'G' || *end == 'g' ? 30 : 0;
    if (errno || end == text || *text == '-' || *(shift ? end + 1 : end) || n > most >> shift || n << shift < least)
        return false;
    *value = n << shift;
    return true;
}

static void add_file(struct argp_state *state, struct boot_options *options, char *arg)
{
    char *path = strchr(arg, '=');
    if (!path || path == arg || !path[1])
        argp_error(state, "--file `%s' is not NAME=PATH", arg);
    *path++ = '\0';
    for (uint32_t i = 0; i < options->file_count; i++)
        if (strcmp(options->files[i].name, arg) == 0)
            argp_error(state, "there are two --file of the name `%s'", arg);
    size_t length = strlen(path);
    bool writable = length > 3 && strcmp(path + length - 3, ",rw") == 0;
    if (writable)
        path[length - 3] = '\0';
    options->files = reallocarray(options->files, options->file_count + 1, sizeof *options->files);
    if (!options->files)
        argp_failure(state, 2, ENOMEM, "--file");
    options->files[options->file_count++] = (struct window){.name = arg, .path = path, .writable = writable, .fd = -1};
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct boot_options *options = state->input;
    uint64_t number;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->confine;
        return 0;
    case KEY_MEMORY:
        if (!parse_number(arg, 1, MAX_MEMORY, true, &options->memory))
            argp_error(state, "--memory `%s' is not a size up to 512G, such as 256M", arg);
        return 0;
    case KEY_APPEND:
        options->append = arg;
        return 0;
    case KEY_INITRD:
        options->initrd = arg;
        return 0;
    case KEY_FILE:
        add_file(state, options, arg);
        return 0;
    case KEY_DUMP_DTB:
        options->dump_dtb = arg;
        return 0;
    case KEY_CPUS:
        if (!parse_number(arg, 1, MACHINE_MAX_CPUS, false, &number))
            argp_error(state, "--cpus `%s' is not a number from 1 to %d", arg, MACHINE_MAX_CPUS);
        options->cpus = (uint32_t)number;
        return 0;
    case KEY_TIMEOUT:
        if (!parse_number(arg, 1, MAX_TIMEOUT, false, &options->timeout))
            argp_error(state, "--timeout `%s' is not a number of seconds, at least 1", arg);
        return 0;
    case ARGP_KEY_ARG:
        if (options->kernel)
            argp_error(state, "one KERNEL, please; its arguments go into --append");
        options->kernel = arg;
        return 0;
    case ARGP_KEY_END:
        if (!options->kernel)
            argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&confine_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
    .options = option_table,
    .children = children,
    .parser = parse,
    .args_doc = "KERNEL",
    .doc =
        "Boots a resident kernel: a static ELF file that runs in ring 0 of a KVM guest.\v"
        "The console is standard input and output. If standard input is a terminal it is in raw mode, Ctrl-A x ends "
        "the machine (status 130) and Ctrl-A Ctrl-A sends Ctrl-A. The status is the kernel's own; 70: it faulted, or "
        "ran longer than --timeout; 127: no such file; 126: it is not a kernel; 2: the machine cannot be made.",
};

int cmd_boot(int argc, char **argv)
{
    struct boot_options options = {.append = "", .memory = DEFAULT_MEMORY, .cpus = 1};
    if (!cmd_parse(&argp, argc, argv, 0, &options))
        return 2;
    return machine_boot(&options);
}
