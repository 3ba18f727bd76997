/* SPDX-License-Identifier: MIT */
/*
 * The signal frame that comes back from a program at rt_sigreturn: registers and FPU state that may be anything. What
 * is taken from it, the processor here must load without a fault.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "linux/frame.h"

#define BACKUP_SIZE 16384
#define TILES (3ull << 17)    /* AMX, for which a process must ask first */
#define SYSTEM_FLAGS 0x3af200 /* IF, IOPL, NT, VM, VIF, VIP, ID and what is reserved */

static void load_state(const void *area, uint64_t features)
{
    static _Alignas(64) char backup[BACKUP_SIZE];
    uint32_t low = (uint32_t)(features & ~TILES), high = (uint32_t)(features >> 32);
    __asm__ volatile("xsave64 %0\n\txrstor64 (%1)\n\txrstor64 %0"
                     : "+m"(backup)
                     : "r"(area), "a"(low), "d"(high)
                     : "memory");
}

static void take_state(struct input *in)
{
    struct frame_xstate x = frame_xstate(BACKUP_SIZE - 64);
    size_t size = x.size + sizeof(uint32_t);
    char *area = aligned_alloc(64, (size + 63) & ~63ul);
    CHECK(area);
    memset(area, 0, size);
    bool marked = take(in, 1) & 1;
    size_t given = in->left < x.size ? in->left : x.size;
    memcpy(area, in->at, given);
    if (marked)
        frame_mark_xstate(area, &x);
    bool whole = frame_clean_xstate(area, &x);
    CHECK(whole || !marked);
    uint64_t header[8];
    uint32_t mxcsr;
    memcpy(header, area + 512, sizeof header);
    memcpy(&mxcsr, area + 24, sizeof mxcsr);
    CHECK(!(header[0] & ~x.features) && !(mxcsr & ~x.mxcsr_mask));
    load_state(area, x.features);
    free(area);
}

const unsigned fuzz_mutations = 20000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct frame_context context;
    struct user_regs_struct before, regs = {.eflags = 0x202, .cs = 0x33, .ss = 0x2b};
    struct frame_xstate x = {.size = take(&in, 2) % BACKUP_SIZE};
    uint64_t sp = take(&in, 8), frame_at, xstate_at;
    if (frame_place(sp, &x, &frame_at, &xstate_at)) {
        CHECK((frame_at + 8) % 16 == 0 && xstate_at % 64 == 0);
        CHECK(frame_at < sp && sp - frame_at <= frame_size(&x) && sizeof(struct frame) <= xstate_at - frame_at);
        CHECK(xstate_at < sp && x.size + 4 <= sp - xstate_at);
    }
    for (size_t i = 0; i < sizeof context; i++)
        ((uint8_t *)&context)[i] = (uint8_t)take(&in, 1);
    before = regs;
    frame_take(&regs, &context);
    CHECK((regs.eflags & SYSTEM_FLAGS) == (before.eflags & SYSTEM_FLAGS));
    CHECK(regs.cs == before.cs && regs.ss == before.ss && regs.fs_base == before.fs_base && regs.orig_rax == ~0ull);
    take_state(&in);
    return 0;
}
