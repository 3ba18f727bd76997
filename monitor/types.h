/* SPDX-License-Identifier: MIT */
/* The three kinds of address. Mixing up a guest-physical with any other number does not compile. */
#ifndef MONITOR_TYPES_H
#define MONITOR_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t value;
} gpa_t;                /* guest-physical */
typedef uint64_t gva_t; /* guest-virtual; ring 3's are below USER_END */
/* A host-virtual address is a pointer. */

#define PAGE_SIZE 4096ull
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define BLOCK_SIZE (2ull << 20) /* what a page-directory entry maps */
#define BLOCK_PAGES 512ull
#define USER_END 0x7ffffffff000ull /* TASK_SIZE of x86-64 with four levels */

static inline uint64_t page_up(uint64_t n)
{
    return (n + PAGE_SIZE - 1) & PAGE_MASK;
}

static inline bool canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif
