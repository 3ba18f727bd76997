/* SPDX-License-Identifier: MIT */
/*
 * fpu: whose FPU and vector state is in the registers. The kernel uses none, so a context's stays there until another
 * context wants the vCPU. With more than one vCPU it is stored after every run, for the next may be elsewhere.
 */
#ifndef RESIDENT_FPU_H
#define RESIDENT_FPU_H

#include "cpu.h"

struct context {
    uint32_t running;
    void *state; /* an XSAVE area of machine.xstate_size bytes, 64-byte aligned */
    struct cpu *loaded;
};

/* NULL without memory. */
struct context *context_new(void);
void context_free(struct context *context);
/* Makes the registers the context's; from `state` (checked) if it is not NULL. 0 or -EINVAL. */
int fpu_own(struct cpu *cpu, struct context *context, const void *state);
/* Stores the context's state, which is in the registers, there; its own area if NULL. */
void fpu_store(struct cpu *cpu, struct context *context, void *state);

#endif
