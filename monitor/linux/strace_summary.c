/* SPDX-License-Identifier: MIT */
/* The table of -c: the calls by the time that they took, outside of the sandbox and with the printing left out. */
#include "strace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE "------ ----------- ----------- --------- --------- ----------------\n"

void summary_add(struct strace_summary *summary, uint64_t number, uint64_t nanoseconds, bool error)
{
    if (number < sizeof(summary->counts) / sizeof(summary->counts[0])) {
        struct strace_count *count = &summary->counts[number];
        count->calls++;
        count->errors += error;
        count->nanoseconds += nanoseconds;
    }
}

static void put_row(struct strace *s, const struct strace_count *count, uint64_t all, const char *name)
{
    char errors[24] = "";
    if (count->errors) {
        snprintf(errors, sizeof(errors), "%" PRIu64, count->errors);
    }
    double share = all ? 100.0 * (double)count->nanoseconds / (double)all : 0;
    put_f(s, "%6.2f %11.6f %11" PRIu64 " %9" PRIu64 " %9s %s\n", share, (double)count->nanoseconds / 1e9,
        count->calls ? count->nanoseconds / 1000 / count->calls : 0, count->calls, errors, name);
}

void summary_print(const struct strace_summary *summary, struct strace *s)
{
    const unsigned limit = sizeof(summary->counts) / sizeof(summary->counts[0]);
    struct strace_count total = {0};
    bool done[sizeof(summary->counts) / sizeof(summary->counts[0])] = {0};
    for (unsigned i = 0; i < limit; i++) {
        total.calls += summary->counts[i].calls;
        total.errors += summary->counts[i].errors;
        total.nanoseconds += summary->counts[i].nanoseconds;
    }
    put(s, "% time     seconds  usecs/call     calls    errors syscall\n" LINE);
    for (;;) {
        unsigned most = limit;
        for (unsigned i = 0; i < limit; i++) {
            if (!done[i] && summary->counts[i].calls &&
                (most == limit || summary->counts[i].nanoseconds > summary->counts[most].nanoseconds)) {
                most = i;
            }
        }
        if (most == limit) {
            break;
        }
        done[most] = true;
        const struct call *call = call_find(most);
        char unknown[32];
        snprintf(unknown, sizeof(unknown), "syscall_%#x", most);
        put_row(s, &summary->counts[most], total.nanoseconds, call ? call->name : unknown);
    }
    put(s, LINE);
    put_row(s, &total, total.nanoseconds, "total");
}
