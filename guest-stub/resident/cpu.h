/* SPDX-License-Identifier: MIT */
/*
 * cpu: a vCPU's own data, in the page at AREA_KERNEL of its area. Which vCPU this is follows from the IDT register,
 * which `polder boot` has set to the vCPU's area: neither FS nor GS is touched in ring 0, so that ring 3's stay loaded.
 */
#ifndef RESIDENT_CPU_H
#define RESIDENT_CPU_H

#include "offsets.h"
#include "types.h"
#include <polder/abi.h>
#include <polder/polder.h>

#define CPU_MAX 255u

struct mm;
struct context;

struct cpu {
    /* entry.S's; see there. */
    uint64_t regs_end;
    uint64_t kernel_rsp;
    uint64_t user_rsp;
    uint64_t scratch;
    uint64_t error_code;
    uint64_t cr2;
    uint64_t evict_root; /* an NMI that finds CR3 so loads safe_root instead */
    uint64_t safe_root;
    uint64_t nmis_begun, nmis_done;
    uint64_t timer_pending;                   /* an interrupt came in polder_idle */
    const struct polder_params *ready_params; /* entry.S, polder_run_sandbox */
    uint64_t ready_fd;
    struct polder_params *short_params; /* what goes the short way does with them; NULL in the long way */
    const struct polder_params *ready_params_msrs;
    uint64_t fs_base, gs_base; /* as they are loaded */
    struct context *fpu_owner; /* whose state is in the FPU registers */
    struct mm *ready_mm;       /* of ready_fd */

    uint32_t number;
    int error_number; /* errno */
    bool x2apic;
    uint64_t lstar;

    /* What CR3 holds. A serial number: a freed space's memory may be another's now. */
    uint64_t loaded_serial, loaded_generation;
    struct mm *inside; /* the space whose ring 3 runs here now, or NULL */
    uint64_t runs;     /* how often ring 3 was left */
    bool idle;         /* in polder_idle: has the kernel's own root, and flushes when it comes back */

    uint64_t last_fault; /* where ring 3 last faulted, and how often it did there in a row */
    uint32_t same_faults;

    /* In TSC ticks, 0 for none. */
    uint64_t timer_at; /* polder_timer's */
    uint64_t armed_at; /* the hypervisor's timer */
};

_Static_assert(offsetof(struct cpu, regs_end) == CPU_REGS_END, "entry.S");
_Static_assert(offsetof(struct cpu, kernel_rsp) == CPU_KERNEL_RSP, "entry.S");
_Static_assert(offsetof(struct cpu, user_rsp) == CPU_USER_RSP, "entry.S");
_Static_assert(offsetof(struct cpu, scratch) == CPU_SCRATCH, "entry.S");
_Static_assert(offsetof(struct cpu, error_code) == CPU_ERROR_CODE, "entry.S");
_Static_assert(offsetof(struct cpu, cr2) == CPU_CR2, "entry.S");
_Static_assert(offsetof(struct cpu, evict_root) == CPU_EVICT_ROOT, "entry.S");
_Static_assert(offsetof(struct cpu, safe_root) == CPU_SAFE_ROOT, "entry.S");
_Static_assert(offsetof(struct cpu, nmis_begun) == CPU_NMIS_BEGUN, "entry.S");
_Static_assert(offsetof(struct cpu, nmis_done) == CPU_NMIS_DONE, "entry.S");
_Static_assert(offsetof(struct cpu, timer_pending) == CPU_TIMER_PENDING, "entry.S");
_Static_assert(offsetof(struct cpu, ready_params) == CPU_READY_PARAMS, "entry.S");
_Static_assert(offsetof(struct cpu, ready_fd) == CPU_READY_FD, "entry.S");
_Static_assert(offsetof(struct cpu, short_params) == CPU_SHORT, "entry.S");
_Static_assert(offsetof(struct cpu, ready_params_msrs) == CPU_READY_PARAMS_MSRS, "entry.S");
_Static_assert(offsetof(struct cpu, fs_base) == CPU_FS_BASE, "entry.S");
_Static_assert(offsetof(struct cpu, gs_base) == CPU_GS_BASE, "entry.S");
_Static_assert(offsetof(struct cpu, fpu_owner) == CPU_FPU_OWNER, "entry.S");
_Static_assert(offsetof(struct polder_params, context) == PARAMS_CONTEXT, "entry.S");
_Static_assert(offsetof(struct polder_params, flags) == PARAMS_FLAGS, "entry.S");
_Static_assert(offsetof(struct polder_params, sigmask) == PARAMS_SIGMASK, "entry.S");
_Static_assert(offsetof(struct polder_params, deadline_ns) == PARAMS_DEADLINE, "entry.S");
_Static_assert(offsetof(struct polder_params, reason) == PARAMS_REASON, "entry.S");
_Static_assert(offsetof(struct polder_params, vector) == PARAMS_REASON + 4, "entry.S");
_Static_assert(offsetof(struct polder_params, error_code) == PARAMS_ERROR_CODE, "entry.S");
_Static_assert(offsetof(struct polder_params, fault_addr) == PARAMS_FAULT_ADDR, "entry.S");
_Static_assert(offsetof(struct polder_params, kicked) == PARAMS_KICKED, "entry.S");
_Static_assert(offsetof(struct polder_params, running) == PARAMS_KICKED + 4, "entry.S");
_Static_assert(offsetof(struct user_regs_struct, orig_rax) == 120 && offsetof(struct user_regs_struct, ss) == 160,
    "entry.S pops and pushes it");

static inline uint64_t area_of(uint32_t number)
{
    return POLDER_STUB_BASE + (uint64_t)number * AREA_STRIDE;
}

static inline uint64_t this_area(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) idtr;
    __asm__ volatile("sidt %0" : "=m"(idtr));
    return idtr.base - AREA_IDT;
}

static inline struct cpu *this_cpu(void)
{
    return (struct cpu *)(this_area() + AREA_KERNEL);
}

static inline struct cpu *cpu_of(uint32_t number)
{
    return (struct cpu *)(area_of(number) + AREA_KERNEL);
}

/* Something that the short way takes for granted has changed. */
static inline void cpu_not_ready(struct cpu *cpu)
{
    cpu->ready_params = cpu->ready_params_msrs = (const struct polder_params *)-1; /* where none can be, NULL least */
}

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline void write_cr3(uint64_t root)
{
    __asm__ volatile("mov %0, %%cr3" : : "r"(root) : "memory");
}

static inline void pause_cpu(void)
{
    __builtin_ia32_pause();
}

/* Forgets one page of the space here; if that was all that was new, this vCPU is up to date. */
void cpu_flush_page(const struct mm *mm, uint64_t page);
/* Makes the vCPU's page, and gives its traps to entry.S. False without memory. */
bool cpu_prepare(uint32_t number);
/* On the vCPU itself, before anything else. */
void cpu_begin(void);
/* True once that vCPU was prepared; from then on cpu_of works. */
bool cpu_exists(uint32_t number);
void cpu_send_nmi(struct cpu *cpu);
/* Ends the interrupt that is being served. */
void cpu_end_interrupt(const struct cpu *cpu);
/* Loads that space's root, unless it is loaded and up to date. */
void cpu_load(struct cpu *cpu, const struct mm *mm);

/*
 * The space's present entries were changed, its generation raised. On return no vCPU uses an old translation: this one
 * has flushed, those in the space's ring 3 have been out, and all others will flush before they enter it. For the
 * kernel's own space (mm_own) those in ring 0 have flushed as well.
 */
void cpu_shoot_down(struct mm *mm);
/* Nobody is inside; on return no vCPU has this root in CR3. */
void cpu_evict(uint64_t root);

/* Sleeps (HC_IDLE). Others do not wait for a vCPU that does. */
void cpu_idle(uint64_t flags);

/* Into ring 3 with these registers, and out again: 0 for a system call, or ENTERED_... */
unsigned enter_ring3(struct cpu *cpu, struct user_regs_struct *regs);

#endif
