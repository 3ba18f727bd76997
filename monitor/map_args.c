/* SPDX-License-Identifier: MIT */
#include "map_args.h"
#include <polder/polder.h>
#if __STDC_HOSTED__
#include <errno.h>
#endif

/* <asm-generic/mman-common.h> and <asm-generic/mman.h>: known, and without effect here or refused. */
#ifndef PROT_SEM
#define PROT_SEM 0x8
#endif
#ifndef MAP_UNINITIALIZED
#define MAP_UNINITIALIZED 0x4000000
#endif
#ifndef MAP_TYPE
#define MAP_TYPE 0x0f
#endif
#ifndef MAP_GROWSDOWN
#define MAP_GROWSDOWN 0x00100
#define MAP_DENYWRITE 0x00800
#define MAP_EXECUTABLE 0x01000
#define MAP_LOCKED 0x02000
#define MAP_NONBLOCK 0x10000
#define MAP_STACK 0x20000
#define MAP_HUGETLB 0x40000
#endif
#ifndef EOPNOTSUPP
#define EOPNOTSUPP 95
#endif

#define LOWEST_CHOSEN 0x10000ull
#define KNOWN_FLAGS_IGNORED                                                                                            \
    (MAP_UNINITIALIZED | MAP_DENYWRITE | MAP_EXECUTABLE | MAP_LOCKED | MAP_NORESERVE | MAP_NONBLOCK | MAP_STACK |      \
        MAP_POPULATE)

uint64_t map_choose(struct regions *regions, uint64_t hint, uint64_t length, bool huge)
{
    uint64_t end = hint + length;
    if (hint >= PAGE_SIZE && end > hint && end <= USER_END) {
        struct region *next = region_at_or_after(regions, hint);
        if (!next || next->start >= end)
            return hint;
    }
    if (huge) {
        uint64_t at = regions_gap(regions, length + BLOCK_SIZE - PAGE_SIZE, USER_END, LOWEST_CHOSEN);
        if (at)
            return (at + BLOCK_SIZE - 1) & ~(BLOCK_SIZE - 1);
    }
    return regions_gap(regions, length, USER_END, LOWEST_CHOSEN);
}

int map_check(uint64_t start, uint64_t length, int flags, uint64_t offset)
{
    int type = flags & MAP_TYPE;
    if (length == 0 || (offset & ~PAGE_MASK))
        return -EINVAL;
    if (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE)
        return -EINVAL;
    if (type == MAP_SHARED_VALIDATE && (flags & ~(MAP_TYPE | MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_ANONYMOUS |
                                                    MAP_GROWSDOWN | MAP_HUGETLB | KNOWN_FLAGS_IGNORED)))
        return -EOPNOTSUPP;
    if (flags & (MAP_GROWSDOWN | MAP_HUGETLB))
        return -EINVAL;
    if (page_up(length) == 0 || page_up(length) > USER_END)
        return -ENOMEM;
    if (offset > INT64_MAX - page_up(length))
        return -EOVERFLOW;
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if (start & ~PAGE_MASK)
            return -EINVAL;
        if (start > USER_END - page_up(length))
            return -ENOMEM;
        if (start < PAGE_SIZE) /* as below vm.mmap_min_addr; what must not be there is said at MSR_CSTAR */
            return -EPERM;
    }
    return 0;
}

int range_check(uint64_t start, uint64_t length)
{
    if (start & ~PAGE_MASK)
        return -EINVAL;
    if (length > USER_END || start > USER_END - page_up(length))
        return -ENOMEM;
    return 0;
}

bool prot_check(int prot)
{
    return !(prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM | POLDER_PRIVILEGED));
}
