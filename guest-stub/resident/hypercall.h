/* SPDX-License-Identifier: MIT */
/* hypercall: the way out to `polder boot` (abi.h, HC_...). One exit each. */
#ifndef RESIDENT_HYPERCALL_H
#define RESIDENT_HYPERCALL_H

#include "cpu.h"

static inline int64_t hypercall(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    volatile uint64_t *data = (volatile uint64_t *)(this_area() + AREA_DATA);
    data[DATA_CALL / 8] = number;
    data[DATA_CALL_ARG(0) / 8] = a;
    data[DATA_CALL_ARG(1) / 8] = b;
    data[DATA_CALL_ARG(2) / 8] = c;
    data[DATA_CALL_ARG(3) / 8] = d;
    __asm__ volatile("outb %%al, %0" : : "i"(PORT_HYPERCALL) : "memory");
    return (int64_t)data[DATA_CALL_RESULT / 8];
}

static inline uint64_t hypercall_result2(void)
{
    return *(volatile uint64_t *)(this_area() + AREA_DATA + DATA_CALL_RESULT2);
}

#endif
