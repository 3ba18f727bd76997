// SPDX-License-Identifier: GPL-2.0
/*
 * FPU and vector state in signal frames, all of it, as programs know it from other x86-64 kernels: an XSAVE area with
 * what `struct _fpx_sw_bytes` says of it in the bytes that hardware leaves alone, and a magic number behind it.
 */
#include <asm/sigcontext.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <sysdep/ptrace.h>

#include "backend.h"
#include "frame.h"

/* Places in an XSAVE area (Intel SDM vol. 1, 13.4). */
#define XSAVE_MXCSR 24
#define XSAVE_BV 512
#define XSAVE_HEADER_END 576
#define XSAVE_LEGACY 512
#define X87_AND_SSE 3ull
#define MXCSR_KNOWN 0xffffu
#define TILES (3ull << 17)
#define TILES_SIZE 11008

static u64 features(unsigned long size)
{
    u32 low, high;

    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    /* This is the host's XCR0; KVM may not carry what is largest in it. */
    return ((u64)high << 32 | low) & (size < TILES_SIZE ? ~TILES : ~0ull);
}

unsigned long backend_frame_xstate(struct uml_pt_regs *regs, unsigned long stack_top)
{
    unsigned long size;

    return backend_xstate(regs, &size) ? (stack_top - 128 - size - FP_XSTATE_MAGIC2_SIZE) & -64ul : 0;
}

/* AT_MINSIGSTKSZ: registers, siginfo and red zone take less than 1200 bytes, and the state is aligned. */
unsigned long backend_least_stack(void)
{
    return ALIGN(backend_xstate_size() + 1200 + 64, 64);
}

int backend_to_frame(struct uml_pt_regs *regs, void __user *to)
{
    unsigned long size;
    char *area = backend_xstate(regs, &size);
    struct _fpx_sw_bytes *sw = (void *)(area + offsetof(struct _fpstate_64, sw_reserved));
    u32 magic2 = FP_XSTATE_MAGIC2;

    if (!area)
        return -ENOMEM;
    *sw = (struct _fpx_sw_bytes){.magic1 = FP_XSTATE_MAGIC1,
        .extended_size = size + FP_XSTATE_MAGIC2_SIZE,
        .xfeatures = features(size),
        .xstate_size = size};
    if (copy_to_user(to, area, size) || copy_to_user(to + size, &magic2, sizeof(magic2)))
        return -EFAULT;
    return 0;
}

/* What a program has written there may be anything: what no XRSTOR would take is left out. */
static void make_loadable(char *area, unsigned long size)
{
    u64 *header = (u64 *)(area + XSAVE_BV);

    *(u32 *)(area + XSAVE_MXCSR) &= MXCSR_KNOWN;
    header[0] &= features(size);
    memset(header + 1, 0, XSAVE_HEADER_END - XSAVE_BV - sizeof(*header));
}

static int load(struct uml_pt_regs *regs, const void __user *from, bool extended)
{
    unsigned long size;
    char *area = backend_xstate(regs, &size);

    if (!area)
        return -ENOMEM;
    if (copy_from_user(area, from, extended ? size : XSAVE_LEGACY)) {
        make_loadable(area, size);
        backend_xstate_changed(regs);
        return -EFAULT;
    }
    if (!extended)
        *(u64 *)(area + XSAVE_BV) |= X87_AND_SSE;
    make_loadable(area, size);
    backend_xstate_changed(regs);
    return 0;
}

int backend_from_frame(struct uml_pt_regs *regs, const void __user *from)
{
    struct _fpx_sw_bytes sw;
    unsigned long size;

    if (!from)
        return 0;
    if (!backend_xstate(regs, &size))
        return -ENOMEM;
    if (copy_from_user(&sw, from + offsetof(struct _fpstate_64, sw_reserved), sizeof(sw)))
        return -EFAULT;
    return load(regs, from, sw.magic1 == FP_XSTATE_MAGIC1 && sw.xstate_size == size);
}

int backend_load_fxsave(struct uml_pt_regs *regs, const void __user *from)
{
    return load(regs, from, false);
}
