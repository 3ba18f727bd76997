/* SPDX-License-Identifier: MIT */
#include "linux/frame.h"

#include <cpuid.h>
#include <string.h>

/* What a program may change in its flags: RF OF DF TF SF ZF AF PF CF and AC, as Linux's FIX_EFLAGS. */
#define USER_EFLAGS 0x50dd5ull

/* The legacy area and the XSAVE header. */
#define XSAVE_FIXED 576
#define XSTATE_BV_AT 512
#define MXCSR_AT 24

/* What Linux puts into bytes 464 to 511 of the legacy area, which the processor leaves alone. */
#define SOFTWARE_AT 464
struct software_bytes {
    uint32_t magic1;
    uint32_t extended_size;
    uint64_t features;
    uint32_t size;
    uint32_t reserved[7];
};

static uint64_t xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

struct frame_xstate frame_xstate(size_t available)
{
    struct frame_xstate x = {.features = 3, .size = XSAVE_FIXED, .mxcsr_mask = 0xffff};
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid_count(1, 0, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE))
        return x;
    uint64_t enabled = xcr0();
    for (unsigned i = 2; i < 63; i++) {
        if (!(enabled >> i & 1) || !__get_cpuid_count(0xd, i, &eax, &ebx, &ecx, &edx))
            continue;
        size_t end = (size_t)ebx + eax;
        if (end > available)
            continue;
        x.features |= 1ull << i;
        if (end > x.size)
            x.size = end;
    }
    return x;
}

size_t frame_size(const struct frame_xstate *x)
{
    /* Red zone and alignment included. */
    return sizeof(struct frame) + 128 + x->size + FP_XSTATE_MAGIC2_SIZE + 64 + 16;
}

bool frame_place(uint64_t sp, const struct frame_xstate *x, uint64_t *frame_at, uint64_t *xstate_at)
{
    if (sp < frame_size(x))
        return false;
    *xstate_at = (sp - x->size - FP_XSTATE_MAGIC2_SIZE) & -64ull;
    /* A handler begins as if it had been called: rsp + 8 is a multiple of 16. */
    *frame_at = ((*xstate_at - sizeof(struct frame)) & -16ull) - 8;
    return true;
}

void frame_fill(struct frame_context *c, const struct user_regs_struct *r)
{
    c->r8 = r->r8;
    c->r9 = r->r9;
    c->r10 = r->r10;
    c->r11 = r->r11;
    c->r12 = r->r12;
    c->r13 = r->r13;
    c->r14 = r->r14;
    c->r15 = r->r15;
    c->rdi = r->rdi;
    c->rsi = r->rsi;
    c->rbp = r->rbp;
    c->rbx = r->rbx;
    c->rdx = r->rdx;
    c->rax = r->rax;
    c->rcx = r->rcx;
    c->rsp = r->rsp;
    c->rip = r->rip;
    c->eflags = r->eflags;
    c->cs = (uint16_t)r->cs;
    c->ss = (uint16_t)r->ss;
}

void frame_take(struct user_regs_struct *r, const struct frame_context *c)
{
    r->r8 = c->r8;
    r->r9 = c->r9;
    r->r10 = c->r10;
    r->r11 = c->r11;
    r->r12 = c->r12;
    r->r13 = c->r13;
    r->r14 = c->r14;
    r->r15 = c->r15;
    r->rdi = c->rdi;
    r->rsi = c->rsi;
    r->rbp = c->rbp;
    r->rbx = c->rbx;
    r->rdx = c->rdx;
    r->rax = c->rax;
    r->rcx = c->rcx;
    r->rsp = c->rsp;
    r->rip = c->rip;
    r->eflags = (r->eflags & ~USER_EFLAGS) | (c->eflags & USER_EFLAGS);
    r->orig_rax = -1ull;
}

void frame_mark_xstate(void *area, const struct frame_xstate *x)
{
    struct software_bytes software = {
        .magic1 = FP_XSTATE_MAGIC1,
        .extended_size = (uint32_t)(x->size + FP_XSTATE_MAGIC2_SIZE),
        .features = x->features,
        .size = (uint32_t)x->size,
    };
    uint32_t magic2 = FP_XSTATE_MAGIC2;
    memcpy((char *)area + SOFTWARE_AT, &software, sizeof(software));
    memcpy((char *)area + x->size, &magic2, sizeof(magic2));
}

bool frame_clean_xstate(void *area, const struct frame_xstate *x)
{
    struct software_bytes software;
    uint32_t magic2, mxcsr;
    memcpy(&software, (char *)area + SOFTWARE_AT, sizeof(software));
    memcpy(&magic2, (char *)area + x->size, sizeof(magic2));
    bool whole = software.magic1 == FP_XSTATE_MAGIC1 && software.size == x->size && magic2 == FP_XSTATE_MAGIC2;

    /* Reserved bits set in MXCSR or in the XSAVE header would fault in whoever loads this. */
    memcpy(&mxcsr, (char *)area + MXCSR_AT, sizeof(mxcsr));
    mxcsr &= x->mxcsr_mask;
    memcpy((char *)area + MXCSR_AT, &mxcsr, sizeof(mxcsr));
    uint64_t header[8] = {0};
    if (whole)
        memcpy(&header[0], (char *)area + XSTATE_BV_AT, sizeof(header[0]));
    header[0] = whole ? header[0] & x->features & software.features : 3;
    memcpy((char *)area + XSTATE_BV_AT, header, sizeof(header));
    return whole;
}
