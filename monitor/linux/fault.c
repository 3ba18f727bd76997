/* SPDX-License-Identifier: MIT */
#include "linux/fault.h"

#include <string.h>

/* Exception vectors: Intel SDM vol. 3A, 6.15. What each becomes: arch/x86/kernel/traps.c. */
enum {
    DIVIDE = 0,
    DEBUG = 1,
    BREAKPOINT = 3,
    OVERFLOW = 4,
    BOUND = 5,
    INVALID_OPCODE = 6,
    NO_DEVICE = 7,
    NOT_PRESENT = 11,
    STACK = 12,
    PROTECTION = 13,
    X87 = 16,
    ALIGNMENT = 17,
    SIMD = 19,
};

/* One bit of an FPU's exception flags that is not masked: the first that Linux names. */
static int fpu_code(unsigned flags)
{
    if (flags & 0x01)
        return FPE_FLTINV;
    if (flags & 0x04)
        return FPE_FLTDIV;
    if (flags & 0x08)
        return FPE_FLTOVF;
    if (flags & 0x12) /* a denormal operand counts as underflow */
        return FPE_FLTUND;
    if (flags & 0x20)
        return FPE_FLTRES;
    return 0;
}

bool fault_needs_fpu(const struct polder_params *params)
{
    return params->reason == POLDER_EXCEPTION && (params->vector == X87 || params->vector == SIMD);
}

static int x87_code(const void *fpu)
{
    uint16_t control, status;
    memcpy(&control, fpu, sizeof(control));
    memcpy(&status, (const char *)fpu + 2, sizeof(status));
    return fpu_code(status & ~control & 0x3f);
}

static int simd_code(const void *fpu)
{
    uint32_t mxcsr;
    memcpy(&mxcsr, (const char *)fpu + 24, sizeof(mxcsr));
    return fpu_code(mxcsr & ~(mxcsr >> 7) & 0x3f);
}

static void set(siginfo_t *info, int sig, int code, uint64_t addr)
{
    info->si_signo = sig;
    info->si_code = code;
    info->si_addr = (void *)(uintptr_t)addr;
}

static void exception(siginfo_t *info, const struct polder_params *params, const void *fpu)
{
    uint64_t rip = params->regs.rip;
    switch (params->vector) {
    case DIVIDE:
        set(info, SIGFPE, FPE_INTDIV, rip);
        break;
    case DEBUG:
        set(info, SIGTRAP, TRAP_TRACE, rip);
        break;
    case BREAKPOINT:
        set(info, SIGTRAP, SI_KERNEL, 0);
        break;
    case INVALID_OPCODE:
        set(info, SIGILL, ILL_ILLOPN, rip);
        break;
    case NOT_PRESENT:
    case STACK:
        set(info, SIGBUS, SI_KERNEL, 0);
        break;
    case ALIGNMENT:
        set(info, SIGBUS, BUS_ADRALN, 0);
        break;
    case X87:
        set(info, SIGFPE, fpu ? x87_code(fpu) : 0, rip);
        break;
    case SIMD:
        set(info, SIGFPE, fpu ? simd_code(fpu) : 0, rip);
        break;
    case OVERFLOW:
    case BOUND:
    case NO_DEVICE:
    case PROTECTION:
    default:
        set(info, SIGSEGV, SI_KERNEL, 0);
        break;
    }
}

void fault_signal(siginfo_t *info, const struct polder_params *params, const struct vma_list *vmas, const void *fpu)
{
    memset(info, 0, sizeof(*info));
    uint64_t addr = params->fault_addr;
    const struct vma *vma;
    switch (params->reason) {
    case POLDER_PAGE_FAULT:
        vma = vma_find(vmas, addr);
        set(info, SIGSEGV, vma && vma->start <= addr ? SEGV_ACCERR : SEGV_MAPERR, addr);
        break;
    case POLDER_BUS:
        set(info, SIGBUS, BUS_ADRERR, addr);
        break;
    case POLDER_STEP:
        set(info, SIGTRAP, TRAP_TRACE, params->regs.rip);
        break;
    default:
        exception(info, params, fpu);
        break;
    }
}
