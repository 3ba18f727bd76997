/* SPDX-License-Identifier: MIT */
/* Cases that run inside a resident kernel (resident_kernel.c): each asks it over its console. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct kernel {
    const char *operation;
    FILE *to, *from;
    double exits; /* of the last round, for one operation */
};

static const char *beside(const char *name, char *path, size_t size)
{
    char own[400];
    ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);

    own[length > 0 ? length : 0] = 0;
    char *slash = strrchr(own, '/');
    if (slash)
        *slash = 0;
    snprintf(path, size, "%s/%s", own, name);
    return path;
}

static void *boot(const char *operation)
{
    static struct kernel kernel;
    char polder[500], image[500];
    int to[2], from[2];

    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        bench_give_up("pipe: %s", strerror(errno));
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(to[0], 0);
        dup2(from[1], 1);
        beside("../polder", polder, sizeof(polder));
        beside("resident-kernel", image, sizeof(image));
        execl(polder, polder, "boot", image, NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    kernel = (struct kernel){.operation = operation, .to = fdopen(to[1], "w"), .from = fdopen(from[0], "r")};
    if (!kernel.to || !kernel.from)
        bench_give_up("fdopen: %s", strerror(errno));
    return &kernel;
}

static double round_of(void *state, long n)
{
    struct kernel *kernel = state;
    unsigned long long ns, exits;

    fprintf(kernel->to, "%s %ld\n", kernel->operation, n);
    fflush(kernel->to);
    if (fscanf(kernel->from, "%llu %llu", &ns, &exits) != 2)
        bench_give_up("polder boot does not run the kernel");
    kernel->exits = (double)exits / (double)n;
    return (double)ns;
}

#define CASE(identifier, operation, text)                                                                              \
    static void *boot_##identifier(void)                                                                               \
    {                                                                                                                  \
        return boot(operation);                                                                                        \
    }                                                                                                                  \
    const struct bench_case resident_##identifier = {text, boot_##identifier, round_of, 0};                            \
    double exits_of_resident_##identifier(void)                                                                        \
    {                                                                                                                  \
        struct kernel *kernel = boot(operation);                                                                       \
        round_of(kernel, 2048);                                                                                        \
        round_of(kernel, 2048);                                                                                        \
        return kernel->exits;                                                                                          \
    }

CASE(null, "null", "null run_sandbox, resident")
CASE(two_contexts, "two-contexts", "the same, two contexts in turns (FPU state changes hands)")
CASE(fault_map, "fault-map", "fault reported, page mapped, resumed")
CASE(fault_demand, "fault-demand", "fault resolved by the library, resumed")
CASE(space, "space", "space made and dropped")
CASE(copy, "copy", "space of 1 MiB copied, the copy dropped")
