// SPDX-License-Identifier: GPL-2.0
/*
 * Address spaces: a descriptor of libpolder's for each of the kernel's mm, and the kernel's changes to its page tables
 * as lists of operations on it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <polder/polder.h>

#include <mm_id.h>
#include <os.h>

#include "backend.h"

extern int backend_idle_space(void);

/* In which nothing is mapped: for runs that enter nothing. */
static int idle_space;

int backend_idle_space(void)
{
    return idle_space;
}

int backend_init(void)
{
    struct rlimit limit;

    /* A descriptor for each mm. */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    idle_space = polder_open("/proc/mm");
    if (idle_space < 0) {
        fprintf(stderr, "polder: /dev/kvm cannot be used: %s. `polder info' says what this machine can do.\n",
            strerror(errno));
        exit(1);
    }
    return 1;
}

int backend_open_space(void)
{
    int fd = polder_open("/proc/mm");

    return fd < 0 ? -errno : fd;
}

void backend_close_space(int fd)
{
    close(fd);
}

/*
 * The kernel's operations come one by one, with `done` at the last of a series: they are gathered, and applied
 * together. One series is under way at a time, for nothing else runs meanwhile.
 */
#define MOST_OPS 512

static struct polder_op ops[MOST_OPS];
static size_t count;

static int apply(struct mm_id *mm, int done)
{
    int error = 0;

    if (!done && count < MOST_OPS)
        return 0;
    if (count && polder_apply(mm->u.mm_fd, ops, count) < 0)
        error = -errno;
    count = 0;
    return error;
}

int map(struct mm_id *mm_idp, unsigned long virt, unsigned long len, int prot, int phys_fd, unsigned long long offset,
    int done, void **data)
{
    (void)data;
    ops[count++] = (struct polder_op){.code = POLDER_OP_MMAP,
        .prot = prot,
        .flags = MAP_SHARED | MAP_FIXED,
        .src_fd = phys_fd,
        .start = (void *)virt,
        .length = len,
        .offset = (off_t)offset};
    return apply(mm_idp, done);
}

int unmap(struct mm_id *mm_idp, unsigned long addr, unsigned long len, int done, void **data)
{
    (void)data;
    ops[count++] = (struct polder_op){.code = POLDER_OP_MUNMAP, .start = (void *)addr, .length = len};
    return apply(mm_idp, done);
}

int protect(struct mm_id *mm_idp, unsigned long addr, unsigned long len, unsigned int prot, int done, void **data)
{
    (void)data;
    ops[count++] =
        (struct polder_op){.code = POLDER_OP_MPROTECT, .prot = (int)prot, .start = (void *)addr, .length = len};
    return apply(mm_idp, done);
}
