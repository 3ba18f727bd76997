/* SPDX-License-Identifier: MIT */
#include "confine/confine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine/message.h"

enum { KEY_NO_CONFINE = 0x1000, KEY_CORE };

static const struct argp_option options[] = {
    {"no-confine", KEY_NO_CONFINE, NULL, 0, "Give up nothing before the guest runs: for debugging", 0},
    {"core", KEY_CORE, NULL, 0, "Allow core files, with the guest's memory in them", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct confine *confine = state->input;
    (void)arg;
    switch (key) {
    case KEY_NO_CONFINE:
        confine->off = true;
        return 0;
    case KEY_CORE:
        confine->core = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp confine_argp = {.options = options, .parser = parse};

bool confine_failed(const char *what, int error)
{
    fprintf(stderr, "polder: no confinement: %s: %s; --no-confine does without\n", what, strerror(error));
    return false;
}

void confine_tell_off(const struct confine_filter *filter, const char *others)
{
    fprintf(
        stderr, "polder: not confined: core files, no_new_privs, filter of %u system calls%s\n", filter->calls, others);
}

bool confine_core(bool for_good)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit))
        return confine_failed("RLIMIT_CORE", errno);
    /* One byte: less than any core file, and it goes for those too that would be piped to a program (core(5)), for
     * which 0 has no meaning. */
    if (limit.rlim_cur > 1 || (for_good && limit.rlim_max > 1))
        limit.rlim_cur = 1;
    if (for_good)
        limit.rlim_max = limit.rlim_cur;
    return setrlimit(RLIMIT_CORE, &limit) == 0 || confine_failed("RLIMIT_CORE", errno);
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

bool confine_descriptors(int *keep, size_t count)
{
    qsort(keep, count, sizeof *keep, compare);
    unsigned from = STDERR_FILENO + 1;
    for (size_t i = 0; i < count; i++) {
        if (keep[i] < (int)from)
            continue;
        if (keep[i] > (int)from && syscall(SYS_close_range, from, keep[i] - 1, 0))
            return confine_failed("closing of descriptors", errno);
        from = (unsigned)keep[i] + 1;
    }
    return syscall(SYS_close_range, from, ~0u, 0) == 0 || confine_failed("closing of descriptors", errno);
}
