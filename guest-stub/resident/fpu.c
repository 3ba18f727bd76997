/* SPDX-License-Identifier: MIT */
#include "fpu.h"
#include "frames.h"
#include "hypercall.h"
#include "machine.h"
#include "records.h"
#include "tables.h"
#include <cpuid.h>
#include <polder/freestanding.h>

/* Offsets in an XSAVE area (Intel SDM vol. 1, 13.4). */
#define XSAVE_FCW 0
#define XSAVE_MXCSR 24
#define XSAVE_BV 512
#define XSAVE_HEADER_END 576
#define FCW_RESET 0x37f
#define MXCSR_RESET 0x1f80
#define MXCSR_MASK 28
#define MXCSR_KNOWN 0xffffu /* by every CPU; some know more, as MXCSR_MASK says (Intel SDM vol. 1, 11.6.6) */

#define BASE_UNKNOWN (1ull << 62) /* no context has it: it is not canonical */

/* XSAVE and XRSTOR fault where the area is not aligned, and the hypercall takes one page: the area is one or more. */
static size_t area_size(void)
{
    return page_up(machine.xstate_size);
}

static void reset(char *area)
{
    memset(area, 0, XSAVE_HEADER_END);
    *(uint16_t *)(area + XSAVE_FCW) = FCW_RESET;
    *(uint32_t *)(area + XSAVE_MXCSR) = MXCSR_RESET;
}

struct context *context_new(void)
{
    struct context *context = record_alloc(sizeof *context);
    if (!context)
        return NULL;
    context->state = record_alloc(area_size());
    if (!context->state) {
        record_free(context, sizeof *context);
        return NULL;
    }
    reset(context->state);
    return context;
}

void context_free(struct context *context)
{
    struct cpu *cpu = context->loaded;
    if (cpu && cpu->fpu_owner == context) {
        cpu->fpu_owner = NULL;
        cpu_not_ready(cpu);
    }
    record_free(context->state, area_size());
    record_free(context, sizeof *context);
}

static void xsave(void *area)
{
    __asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
}

/*
 * AMD processors without XSaveErPtr leave the addresses of the last x87 instruction and of its operand alone where no
 * exception is pending (CPUID 0x80000008, EBX bit 2): they would be the last context's. An instruction of one's own
 * replaces them, with the stack emptied so that it cannot fault.
 */
static void xrstor(const void *area)
{
    static const int32_t zero;
    __asm__ volatile("fnclex\n\temms\n\tfildl %0" : : "m"(zero));
    __asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
}

/* An allocator of the kernel's gives any memory that it has. Where this is asked for the area is one page. */
static uint64_t physical(const void *area)
{
    return tables_translate(tables_own_root(), (uint64_t)area);
}

static void swap(void *save, const void *load)
{
    if (machine.native_ring0) {
        if (save)
            xsave(save);
        if (load)
            xrstor(load);
    } else {
        hypercall(HC_XSTATE, save ? physical(save) : 0, load ? physical(load) : 0, 0, 0);
    }
}

static uint32_t mxcsr_known(void)
{
    char area[512] __attribute__((aligned(16)));
    if (!machine.native_ring0)
        return MXCSR_KNOWN;
    __asm__ volatile("fxsave64 %0" : "=m"(area));
    return MXCSR_KNOWN | *(const uint32_t *)(area + MXCSR_MASK);
}

/*
 * Takes over the caller's state, if it is none that XRSTOR would fault at (Intel SDM vol. 1, 13.8.1); components that
 * XCR0 lacks are among that. It may lie where ring 3 writes, too: what is looked at is a copy, and what is loaded.
 */
static bool take_state(char *to, const char *from)
{
    uint64_t header[(XSAVE_HEADER_END - XSAVE_BV) / 8];
    uint32_t low, high, b, c, mxcsr = *(const volatile uint32_t *)(from + XSAVE_MXCSR);
    if (machine.native_ring0)
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    else /* XGETBV is none of what is emulated; the monitor has set XCR0 to what CPUID allows */
        __cpuid_count(13, 0, low, b, c, high);
    uint64_t xcr0 = (uint64_t)high << 32 | low;
    memcpy(header, from + XSAVE_BV, sizeof header);
    if ((header[0] & ~xcr0) || (mxcsr & ~mxcsr_known()))
        return false;
    for (unsigned i = 1; i < sizeof header / sizeof header[0]; i++) {
        if (header[i])
            return false;
    }
    memcpy(to, from, machine.xstate_size);
    memcpy(to + XSAVE_BV, header, sizeof header);
    *(uint32_t *)(to + XSAVE_MXCSR) = mxcsr;
    return true;
}

/* Another context has the vCPU: what the last one loaded into segment registers is not its. Loading FS and GS may take
 * their bases away (Intel SDM vol. 3A, 3.4.4). PVM carries no selectors. */
static void forget_selectors(struct cpu *cpu)
{
    if (!machine.native_ring0)
        return;
    __asm__ volatile("mov %0, %%ds\n\tmov %0, %%es\n\tmov %0, %%fs\n\tmov %0, %%gs" : : "r"(0));
    cpu->fs_base = cpu->gs_base = BASE_UNKNOWN;
}

int fpu_own(struct cpu *cpu, struct context *context, const void *state)
{
    if (__builtin_expect(cpu->fpu_owner == context && !state, 1))
        return 0;
    if (state) {
        if (!take_state(context->state, state))
            return -EINVAL;
        if (cpu->fpu_owner == context) /* what is in the registers is to be forgotten */
            cpu->fpu_owner = NULL;
    }
    struct context *before = cpu->fpu_owner;
    cpu_not_ready(cpu);
    if (before != context)
        forget_selectors(cpu);
    swap(before ? before->state : NULL, context->state);
    if (before)
        before->loaded = NULL;
    cpu->fpu_owner = context;
    context->loaded = cpu;
    return 0;
}

void fpu_store(struct cpu *cpu, struct context *context, void *state)
{
    swap(context->state, NULL);
    if (state)
        memcpy(state, context->state, machine.xstate_size);
    else { /* it may be loaded elsewhere next */
        cpu->fpu_owner = NULL;
        context->loaded = NULL;
    }
}
