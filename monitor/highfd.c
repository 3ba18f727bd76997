/* SPDX-License-Identifier: MIT */
#include "highfd.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#define WANTED 512

int highfd_duplicate(int fd)
{
    struct rlimit limit;
    int from = WANTED;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 2 * WANTED)
        from = (int)limit.rlim_cur / 2;
    int up = fcntl(fd, F_DUPFD_CLOEXEC, from);
    return up >= 0 ? up : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

int highfd_move(int fd)
{
    int up = fd < 0 ? -1 : highfd_duplicate(fd);
    if (up < 0)
        return fd;
    close(fd);
    return up;
}
