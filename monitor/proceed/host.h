/* SPDX-License-Identifier: MIT */
/*
 * host: system calls as the kernel gives them, -errno and all; libc's wrappers would set errno, cancel threads and
 * reorder arguments.
 */
#ifndef MONITOR_PROCEED_HOST_H
#define MONITOR_PROCEED_HOST_H

#include <stdint.h>

/* The sandbox's call: call[0] is the number, then six arguments. Interruptible, see proceed_interrupt. */
long host_call(const uint64_t call[7]);

/* The library's own, on the way: never blocks for long and is not to be skipped. */
static inline long host_plain(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

#endif
