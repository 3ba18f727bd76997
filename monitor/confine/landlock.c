/* SPDX-License-Identifier: MIT */
/* Landlock: Documentation/userspace-api/landlock.rst. Headers of Debian 12 know its second version only. */
#include "confine/confine.h"

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine/message.h"

#define CREATE_RULESET_VERSION 1
#define NEWEST 6 /* the youngest version that brought something to give up */

struct ruleset {
    uint64_t fs, net, scoped;
};

/* All that each version can withhold. */
static const struct ruleset withheld[NEWEST + 1] = {
    [1] = {.fs = (1 << 13) - 1},                        /* open, execute, make, remove, list */
    [2] = {.fs = (1 << 14) - 1},                        /* link and rename into other folders */
    [3] = {.fs = (1 << 15) - 1},                        /* truncate */
    [4] = {.fs = (1 << 15) - 1, .net = 3},              /* bind and connect, TCP */
    [5] = {.fs = (1 << 16) - 1, .net = 3},              /* ioctl of devices that are opened later */
    [6] = {.fs = (1 << 16) - 1, .net = 3, .scoped = 3}, /* abstract sockets and signals to others */
};

int confine_landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
    return abi < 0 ? 0 : (int)abi;
}

/* A sanitizer's run-time opens files to make its report. */
#ifdef __SANITIZE_ADDRESS__
#define MAY_OPEN true
#else
#define MAY_OPEN false
#endif

bool confine_files(void)
{
    int abi = confine_landlock_abi();
    if (abi == 0 || MAY_OPEN)
        return true;
    /* A rule would be an exception, and there is none. */
    struct ruleset ruleset = withheld[abi < NEWEST ? abi : NEWEST];
    long fd = syscall(SYS_landlock_create_ruleset, &ruleset, sizeof ruleset, 0);
    if (fd < 0)
        return confine_failed("Landlock", errno);
    long error = syscall(SYS_landlock_restrict_self, fd, 0);
    int why = errno;
    close((int)fd);
    return error == 0 || confine_failed("Landlock", why);
}
