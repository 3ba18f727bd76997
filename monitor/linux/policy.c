/* SPDX-License-Identifier: MIT */
#include "linux/policy.h"

#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

static const char *add(struct strace_filter *filter, const char *names)
{
    struct strace_filter more;
    const char *unknown = filter_parse(&more, names);
    if (unknown)
        return unknown;
    filter->all |= more.all;
    for (size_t i = 0; i < sizeof more.chosen / sizeof more.chosen[0]; i++)
        filter->chosen[i] |= more.chosen[i];
    return NULL;
}

const char *policy_allow(struct linux_policy *policy, const char *names)
{
    policy->restricts = true;
    return add(&policy->allow, names);
}

const char *policy_deny(struct linux_policy *policy, const char *names)
{
    return add(&policy->deny, names);
}

#define NEAR 2       /* letters that are wrong, missing or too many */
#define LONGEST 63ul /* of a name, as filter_parse gives it back */

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance, row by row. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[LONGEST + 1];
    size_t length = strlen(b);
    if (length > LONGEST)
        return NEAR + 1;
    for (unsigned j = 0; j <= length; j++)
        row[j] = j;
    for (unsigned i = 1; *a; i++, a++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            unsigned above = row[j];
            row[j] = least(least(row[j - 1], above) + 1, diagonal + (*a != b[j - 1]));
            diagonal = above;
        }
    }
    return row[length];
}

const char *policy_nearest(const char *name)
{
    const char *nearest = NULL;
    unsigned least_distance = NEAR + 1;
    for (unsigned number = 0; number < call_limit; number++) {
        const struct call *call = call_find(number);
        unsigned d = call ? distance(name, call->name) : least_distance;
        if (d < least_distance) {
            least_distance = d;
            nearest = call->name;
        }
    }
    return nearest;
}

bool policy_denies(const struct linux_policy *policy, uint64_t number)
{
    if (!policy || number == SYS_exit || number == SYS_exit_group || number == SYS_rt_sigreturn)
        return false;
    return filter_has(&policy->deny, number) || (policy->restricts && !filter_has(&policy->allow, number));
}

bool policy_denies_vdso(const struct linux_policy *policy)
{
    static const int told[] = {
        SYS_clock_gettime, SYS_clock_getres, SYS_gettimeofday, SYS_time, SYS_getcpu, SYS_getrandom};
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++)
        if (policy_denies(policy, (uint64_t)told[i]))
            return true;
    return false;
}
