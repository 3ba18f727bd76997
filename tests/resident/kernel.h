/* SPDX-License-Identifier: MIT */
/* What the tests of the run-time itself have in common, besides sandbox.h: code of ring 3 that is in code.S. */
#ifndef TESTS_RESIDENT_KERNEL_H
#define TESTS_RESIDENT_KERNEL_H

#include "sandbox.h"

#include <polder/abi.h>
#include <polder/resident.h>
#include <pthread.h>
#include <sched.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)

#define KERNEL_CODE 0x11000000ul /* where code.S lies in a space; two pages */

extern const char code_begin[], code_end[], code_prefetch[], code_copy[], code_fill[], code_loop[], code_loop_end[],
    code_clflush[];
#define CODE(name) (KERNEL_CODE + (uintptr_t)((name)-code_begin))

static inline void map_code(int space)
{
    void *at = polder_mmap((void *)KERNEL_CODE, 2 * PAGE, ALL_RWX, ANONYMOUS | MAP_FIXED, -1, 0, space);

    assert_ptr_equal(at, (void *)KERNEL_CODE);
    assert_true(code_end - code_begin <= 2 * (long)PAGE);
    assert_int_equal(
        polder_write(space, code_begin, (size_t)(code_end - code_begin), KERNEL_CODE), code_end - code_begin);
}

/* How often: on a processor, where ring 0 is emulated. */
static inline int times(int native, int emulated)
{
    int n = shim_ring0_is_emulated() ? emulated : shim_processor_is_tcg() ? native / 8 : native;

    return n > 0 ? n : 1;
}

static inline uint64_t read_cr3(void)
{
    uint64_t cr3;

    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    return cr3;
}

#endif
