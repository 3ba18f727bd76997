/* SPDX-License-Identifier: MIT */
/*
 * Two kernels of user-mode Linux with the same configuration, one that runs user code by libpolder and one by ptrace,
 * and the kernel around them, in turns.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NATIVE, PTRACE, POLDER, WAYS };

static const char *const way_names[WAYS] = {"native", "by ptrace", "by libpolder"};

/* The goals are those of `polder : ptrace`, for processors with virtualisation of their own. */
static const struct row {
    const char *name, *text;
    double instructions; /* at the most, where they are counted; of time, 1 for all */
    const char *script;  /* run with this machine's files; NULL: a row of bench/processes.c, or the boot */
} rows[] = {
    {"getpid", "getpid", 0.5, NULL},
    {"fault", "a page touched for the first time", 0.2, NULL},
    {"mmap", "mmap, 4 pages touched, munmap", 1, NULL},
    {"fork", "fork, exit, wait; 1 MiB touched", 1, NULL},
    {"exec", "fork, execve of busybox, exit, wait", 0.5, NULL},
    {"pipe", "a byte through a pipe and one back", 1, NULL},
    {"signal", "a signal to oneself", 1, NULL},
    {"boot", "boot, a shell's true, power off", 1, NULL},
    {"make", "make -j2 of 13 files of C", 1, "make"},
    {"python", "python3: strings, a dictionary, json", 1, "python"},
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static char build[400]; /* .../build */

/* This command, natively or in a kernel on an initramfs. */
static void wrap(char *line, size_t size, int way, const char *command)
{
    if (way == NATIVE)
        snprintf(line, size, "%s 2>/dev/null", command);
    else
        snprintf(line, size,
            "cd %s/.. && sh %s/tests/uml/boot -t 900 -m 256M -a initrd=%s/tests/uml/initrd.cpio -k %s/bench/uml/%s "
            "'%s' 2>/dev/null",
            build, build, build, build, way == POLDER ? "linux" : "linux-ptrace", command);
}

/* BENCH_UML names the rows that are wanted; all without it. */
static bool wanted(const char *name)
{
    const char *names = getenv("BENCH_UML");
    return !names || strstr(names, name);
}

static void note(struct figure figures[][WAYS], int way, const char *name, double value)
{
    for (size_t i = 0; i < ROWS; i++) {
        struct figure *f = &figures[i][way];
        if (strcmp(rows[i].name, name) == 0 && f->count < MOST_ROUNDS)
            f->rounds[f->count++] = value;
    }
}

/* What bench/processes.c prints. A single command is the row's. */
static void listen(struct figure figures[][WAYS], int way, const char *line, const char *row)
{
    FILE *output = popen(line, "re");
    char name[32];
    unsigned long long value;

    if (!output)
        return;
    while (fscanf(output, "%31s %llu", name, &value) == 2)
        note(figures, way, strcmp(name, "command") == 0 ? row : name, (double)value);
    pclose(output);
}

static void boot(struct figure figures[][WAYS], int way)
{
    char line[3000];
    double start = now_ns();

    wrap(line, sizeof(line), way, "true");
    if (system(line) == 0)
        note(figures, way, "boot", now_ns() - start);
}

static void one_round(struct figure figures[][WAYS], int way)
{
    char line[3000], command[1000];
    const char *scale = getenv("BENCH_PROCESSES") ? getenv("BENCH_PROCESSES") : "10";
    size_t used = (size_t)snprintf(command, sizeof(command), "%s/bench/processes %s", build, scale), none = used;

    for (size_t i = 0; i < ROWS; i++)
        if (!rows[i].script && strcmp(rows[i].name, "boot") != 0 && wanted(rows[i].name))
            used += (size_t)snprintf(command + used, sizeof(command) - used, " %s", rows[i].name);
    if (used > none) {
        wrap(line, sizeof(line), way, command);
        listen(figures, way, line, "");
    }
    if (way != NATIVE && wanted("boot"))
        boot(figures, way);
    for (size_t i = 0; i < ROWS; i++) {
        if (!rows[i].script || !wanted(rows[i].name))
            continue;
        int length = way == NATIVE ? 0 : snprintf(command, sizeof(command), "sh %s/../bench/uml/root ", build);
        snprintf(command + length, sizeof(command) - (size_t)length, "%s/bench/processes -c \"sh %s/../bench/uml/%s\"",
            build, build, rows[i].script);
        wrap(line, sizeof(line), way, command);
        listen(figures, way, line, rows[i].name);
    }
}

void bench_uml(void)
{
    static struct figure figures[ROWS][WAYS];
    ssize_t length = readlink("/proc/self/exe", build, sizeof(build) - 1);
    int rounds = bench_rounds < 5 ? bench_rounds : 5;
    bool counting = strcmp(bench_unit, "ns") != 0;
    char path[500];

    build[length > 0 ? length : 0] = 0;
    for (int i = 0; i < 2; i++)
        *strrchr(build, '/') = 0;
    table_title("User-mode Linux, by libpolder and by ptrace");
    snprintf(path, sizeof(path), "%s/bench/uml/linux-ptrace", build);
    if (access(path, X_OK) != 0) {
        table_fault("both kernels", "make bench-uml builds them");
        return;
    }
    fflush(stdout);
    /* The kernel by ptrace empties processes of glibc's, whose rseq area (glibc 2.35) the host then writes to in vain.
     */
    setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1);
    for (int i = 0; i < rounds; i++)
        for (int way = 0; way < WAYS; way++)
            one_round(figures, way);
    for (size_t i = 0; i < ROWS; i++) {
        char text[96];
        if (!wanted(rows[i].name))
            continue;
        for (int way = 0; way < WAYS; way++) {
            struct figure *f = &figures[i][way];
            figure_finish(f);
            if (f->count == 0)
                snprintf(f->fault, sizeof(f->fault), "not here");
            snprintf(text, sizeof(text), "%s: %s", rows[i].text, way_names[way]);
            table_figure(text, f);
        }
        table_ratio(
            "by libpolder : by ptrace", &figures[i][POLDER], &figures[i][PTRACE], counting ? rows[i].instructions : 1);
    }
}
