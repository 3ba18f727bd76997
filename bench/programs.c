/* SPDX-License-Identifier: MIT */
/* Programs under `polder run` and natively, in turns. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* The programs of the build lie beside this one, polder itself a folder above. */
static const char *built(const char *name)
{
    static char paths[3][512]; /* one for each name */
    char *path = paths[strcmp(name, "polder") == 0 ? 0 : strcmp(name, "hash") == 0 ? 1 : 2];
    char own[400];
    ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);

    own[length > 0 ? length : 0] = 0;
    char *slash = strrchr(own, '/');
    if (slash)
        *slash = 0;
    if (strcmp(name, "polder") == 0 && getenv("POLDER"))
        snprintf(path, sizeof(paths[0]), "%s", getenv("POLDER"));
    else if (strcmp(name, "polder") == 0)
        snprintf(path, sizeof(paths[0]), "%s/../polder", own);
    else
        snprintf(path, sizeof(paths[0]), "%s/%s", own, name);
    return path;
}

/* argv, with "polder run --" before it if it is to be sandboxed. */
static void command(char **to, char *const argv[], bool sandboxed)
{
    int n = 0;

    if (sandboxed) {
        to[n++] = (char *)built("polder");
        to[n++] = "run";
        to[n++] = "--";
    }
    for (int i = 0; argv[i]; i++)
        to[n++] = argv[i];
    to[n] = NULL;
}

/* Runs a program to its end. Its first 200 bytes of output go to `output`, if there is one. */
static double timed(char *const argv[], bool sandboxed, char *output, struct rusage *usage, char *fault, size_t size)
{
    char *full[16];
    int pipes[2], status;

    command(full, argv, sandboxed);
    if (pipe2(pipes, O_CLOEXEC) != 0)
        bench_give_up("pipe: %s", strerror(errno));
    fflush(stdout);
    double start = now_ns();
    pid_t pid = vfork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        dup2(null, 0);
        dup2(pipes[1], 1);
        execvp(full[0], full);
        _exit(127);
    }
    close(pipes[1]);
    char buf[200] = "";
    size_t got = 0;
    ssize_t some;
    while ((some = read(pipes[0], buf + got, sizeof(buf) - 1 - got)) > 0)
        got += (size_t)some;
    close(pipes[0]);
    struct rusage own;
    if (wait4(pid, &status, 0, usage ? usage : &own) != pid)
        bench_give_up("wait4: %s", strerror(errno));
    double took = now_ns() - start;
    buf[got] = 0;
    if (output)
        memcpy(output, buf, sizeof(buf));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        snprintf(fault, size, "%s %s: status %#x", sandboxed ? "under polder run" : "natively", argv[0], status);
        return NAN;
    }
    return took;
}

static void in_turns(char *const argv[], int rounds, struct figure *native, struct figure *sandboxed)
{
    char native_output[200], output[200];

    memset(native, 0, sizeof(*native));
    memset(sandboxed, 0, sizeof(*sandboxed));
    for (int i = -1; i < rounds; i++) { /* the first is for the page cache */
        double a = timed(argv, false, native_output, NULL, native->fault, sizeof(native->fault));
        double b = timed(argv, true, output, NULL, sandboxed->fault, sizeof(sandboxed->fault));
        if (!isnan(a) && !isnan(b) && strcmp(output, native_output) != 0) {
            snprintf(sandboxed->fault, sizeof(sandboxed->fault), "the outputs differ");
            b = NAN;
        }
        if (isnan(a) || isnan(b)) {
            native->count = sandboxed->count = 0;
            break;
        }
        if (i < 0)
            continue;
        native->rounds[native->count++] = a;
        sandboxed->rounds[sandboxed->count++] = b;
    }
    figure_finish(native);
    figure_finish(sandboxed);
}

static void pair(const char *name, char *const argv[], int rounds, double goal)
{
    struct figure native, sandboxed;
    char line[96];

    in_turns(argv, rounds, &native, &sandboxed);
    if (sandboxed.count == 0) {
        table_fault(name, native.fault[0] ? native.fault : sandboxed.fault);
        return;
    }
    snprintf(line, sizeof(line), "%s, natively", name);
    table_figure(line, &native);
    snprintf(line, sizeof(line), "%s, under polder run", name);
    table_figure(line, &sandboxed);
    table_ratio("  ratio", &sandboxed, &native, goal);
}

/* Not a wrapper script, which would fork. */
static char *python3(void)
{
    return access("/usr/bin/python3", X_OK) == 0 ? "/usr/bin/python3" : "python3";
}

static bool runnable(char *const argv[])
{
    char fault[96];

    return !isnan(timed(argv, false, NULL, NULL, fault, sizeof(fault)));
}

/* How much work takes as long as is wanted: measured natively on a small amount. */
static long calibrated(char *const argv[], char *amount, size_t size, long small)
{
    char fault[96];
    double took = NAN, nothing;

    snprintf(amount, size, "0");
    nothing = timed(argv, false, NULL, NULL, fault, sizeof(fault));
    for (int i = 0; i < 3; i++) {
        snprintf(amount, size, "%ld", small);
        double t = timed(argv, false, NULL, NULL, fault, sizeof(fault)) - nothing;
        if (isnan(took) || t < took)
            took = t;
    }
    if (!(took > 1000))
        return small;
    return (long)((double)small * bench_program_ns / took) + 1;
}

void bench_compute(void)
{
    char amount[32];
    const int rounds = bench_rounds < 5 ? bench_rounds : 5;

    table_title("Compute loops");
    char *hash[] = {(char *)built("hash"), amount, NULL};
    long mib = calibrated(hash, amount, sizeof(amount), 16);
    snprintf(amount, sizeof(amount), "%ld", mib);
    pair("SHA-256 in memory", hash, rounds, 1.02);

    char script[] = "import sys\nx = 0\nfor i in range(int(sys.argv[1])): x = (x * 31 + i) % 1000003\nprint(x)";
    char *python[] = {python3(), "-c", script, amount, NULL};
    snprintf(amount, sizeof(amount), "1");
    if (!runnable(python)) {
        table_fault("python3 loop", "no python3");
        return;
    }
    long loops = calibrated(python, amount, sizeof(amount), 300000);
    snprintf(amount, sizeof(amount), "%ld", loops);
    pair("python3 loop", python, rounds, 1.02);
}

void bench_start(void)
{
    char *busybox[] = {"busybox", "true", NULL};
    char *python[] = {python3(), "-c", "pass", NULL};

    table_title("From start to end");
    if (runnable(busybox))
        pair("busybox true", busybox, bench_rounds, 0);
    else
        table_fault("busybox true", "no busybox");
    if (runnable(python))
        pair("python3 -c pass", python, bench_rounds, 0);
    else
        table_fault("python3 -c pass", "no python3");
}

void bench_touch(void)
{
    enum { MIB = 200, ONE_BY_ONE = MIB * 256 };
    char *touch[] = {(char *)built("touch"), "200", NULL}, *nothing[] = {touch[0], "0", NULL};
    char *full[16], output[200], fault[96] = "";
    struct counts with, without;
    struct rusage usage;

    table_title("First touch of 200 MiB");
    for (int sandboxed = 0; sandboxed < 2; sandboxed++) {
        struct figure f = {.count = 0};
        for (int i = 0; i < (bench_rounds < 5 ? bench_rounds : 5); i++) {
            if (isnan(timed(touch, sandboxed, output, &usage, f.fault, sizeof(f.fault)))) {
                f.count = 0;
                break;
            }
            f.rounds[f.count++] = atof(output);
        }
        figure_finish(&f);
        table_figure(sandboxed ? "under polder run" : "natively", &f);
    }
    command(full, touch, true);
    bool counted = count_program(full, &with);
    command(full, nothing, true);
    counted = counted && count_program(full, &without);
    if (!counted) {
        table_fault("calls of KVM_RUN for it", fault[0] ? fault : "polder run failed");
        return;
    }
    table_at_most("calls of KVM_RUN for it", (double)(with.runs - without.runs), (double)ONE_BY_ONE / 100, "");
    table_at_least("one page at a time would be, for each of them",
        (double)ONE_BY_ONE / (double)(with.runs - without.runs), 0, "faults");
}
