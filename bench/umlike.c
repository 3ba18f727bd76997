/* SPDX-License-Identifier: MIT */
/* bench/processes.c natively and under examples/umlike, in turns. */
#include "bench.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name, *text;
    double goal; /* of the ratio to native, 0 for none */
} lines[] = {
    {"getpid", "getpid", 1},
    {"pipe", "a pipe there and back", 1},
    {"fork", "fork, exit, wait; 1 MiB touched", 0},
    {"exec", "fork, execve of busybox, exit, wait", 0},
};

enum { LINES = sizeof(lines) / sizeof(lines[0]) };

/* Runs it once; what it said goes to the figures. */
static bool run(const char *command, struct figure *figures)
{
    FILE *output = popen(command, "re");
    char name[32];
    unsigned long long value;
    unsigned seen = 0;

    if (!output)
        return false;
    while (fscanf(output, "%31s %llu", name, &value) == 2) {
        for (size_t i = 0; i < LINES; i++) {
            if (strcmp(lines[i].name, name) == 0) {
                figures[i].rounds[figures[i].count++] = (double)value;
                seen++;
            }
        }
    }
    return pclose(output) == 0 && seen == LINES;
}

void bench_umlike(void)
{
    static struct figure native[LINES], umlike[LINES];
    char here[400], programs[800], boot[2000];
    ssize_t length = readlink("/proc/self/exe", here, sizeof(here) - 1);
    int rounds = bench_rounds < 5 ? bench_rounds : 5;

    here[length > 0 ? length : 0] = 0;
    *strrchr(here, '/') = 0;
    const char *scale = getenv("BENCH_PROCESSES") ? getenv("BENCH_PROCESSES") : "10";
    snprintf(programs, sizeof(programs), "%s/processes %s", here, scale);
    snprintf(boot, sizeof(boot),
        "%s/../polder boot --initrd %s/../examples/umlike/initrd.cpio --file p=%s/processes --append 'init=/files/p -- "
        "%s' %s/../examples/umlike/umlike </dev/null",
        here, here, here, scale, here);
    table_title("What a kernel costs its processes: umlike, against the kernel that runs it");
    fflush(stdout);
    for (int i = 0; i < rounds; i++) {
        if (!run(programs, native) || !run(boot, umlike)) {
            table_fault("umlike", "the programs do not run; is examples/umlike built?");
            return;
        }
    }
    for (size_t i = 0; i < LINES; i++) {
        char text[96];
        figure_finish(&native[i]);
        figure_finish(&umlike[i]);
        snprintf(text, sizeof(text), "%s: native", lines[i].text);
        table_figure(text, &native[i]);
        snprintf(text, sizeof(text), "%s: umlike", lines[i].text);
        table_figure(text, &umlike[i]);
        table_ratio("umlike : native", &umlike[i], &native[i], lines[i].goal);
    }
}
