/* SPDX-License-Identifier: MIT */
#include "run.h"
#include "fpu.h"
#include "int_n.h"
#include "machine.h"
#include "mm.h"
#include "ring3.h"
#include "timer.h"
#include <polder/freestanding.h>

#define EFLAGS_TF 0x100ull
#define KNOWN_FLAGS (POLDER_SINGLE_STEP | POLDER_XSTATE_LOAD | POLDER_XSTATE_STORE)

#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u

#define VECTOR_DB 1u
#define VECTOR_UD 6u
#define VECTOR_GP 13u
#define VECTOR_PF 14u
#define PF_PRESENT 1ull
#define PF_WRITE 2ull
#define PF_USER 4ull
#define PF_FETCH 16ull

/* A fault that comes back although the page table permits the access this often is KVM's failure. */
#define SAME_FAULT_LIMIT 1000

struct run {
    struct mm *mm;
    struct polder_params *params;
    struct cpu *cpu;
    uint64_t deadline; /* as timer.h has it, 0: none */
    bool own_tf;       /* the caller's eflags had TF: ring 3's own */
};

static int check(const struct polder_params *p)
{
    /* The registers are read where the sandbox's space is loaded, and hold the frame that enters ring 3. */
    if (!((uint64_t)p >> 63))
        return -EFAULT;
    if ((p->flags & ~KNOWN_FLAGS) || p->sigmask)
        return -EINVAL;
    if ((p->regs.cs != GDT_USER_CODE && p->regs.cs != GDT_USER_CODE32) || p->regs.ss != GDT_USER_DATA)
        return -EINVAL;
    if (!canonical(p->regs.fs_base) || !canonical(p->regs.gs_base))
        return -EINVAL;
    if ((p->flags & (POLDER_XSTATE_LOAD | POLDER_XSTATE_STORE)) && (!p->xstate || p->xstate_size < machine.xstate_size))
        return -EINVAL;
    return 0;
}

/* ---------------------------------------------------------------- reports: each returns true, "the run is over" */

static bool report(struct run *run, enum polder_reason reason, uint32_t vector, uint64_t error_code, uint64_t address)
{
    struct polder_params *p = run->params;
    p->reason = reason;
    p->vector = vector;
    p->error_code = error_code;
    p->fault_addr = address;
    p->regs.orig_rax = ~0ull;
    return true;
}

/* ---------------------------------------------------------------- faults */

static bool comes_back(struct cpu *cpu, uint64_t address, int *failure)
{
    cpu->same_faults = cpu->last_fault == address ? cpu->same_faults + 1 : 0;
    cpu->last_fault = address;
    if (__builtin_expect(cpu->same_faults > SAME_FAULT_LIMIT, 0)) {
        cpu->same_faults = 0;
        *failure = -EIO;
    }
    return *failure != 0;
}

static enum mm_fault resolve(struct mm *mm, uint64_t address, uint64_t error)
{
    struct mm_change change;
    mm_begin(mm, &change);
    enum mm_fault found = mm_fault(&change, address, error);
    mm_finish(&change);
    return found;
}

static bool page_fault(struct run *run, enum mm_fault found, uint64_t address, uint64_t error, int *failure)
{
    uint64_t reported = PF_USER | (error & (PF_WRITE | PF_FETCH));
    switch (found) {
    case MM_RESOLVED:
        return false;
    case MM_WAS_THERE:
        return comes_back(run->cpu, address, failure);
    case MM_NOT_MAPPED:
        return report(run, POLDER_PAGE_FAULT, VECTOR_PF, reported, address);
    case MM_DENIED:
        return report(run, POLDER_PAGE_FAULT, VECTOR_PF, reported | PF_PRESENT, address);
    case MM_BEYOND_FILE:
        return report(run, POLDER_BUS, 0, 0, address);
    case MM_NO_MEMORY:
        *failure = -ENOMEM;
        return true;
    }
    return true;
}

static bool exception(struct run *run, unsigned vector, uint64_t error_code)
{
    struct polder_params *p = run->params;
    uint8_t code[INT_N_BYTES];
    ssize_t length = 0;
    if (int_n_suspect(vector, error_code))
        length = mm_read(run->mm, code, sizeof(code), int_n_at(vector, &p->regs));
    if (length > 0)
        int_n_normalise(code, (unsigned)length, &vector, &error_code, &p->regs);
    if (vector == VECTOR_DB) {
        bool asked = (p->flags & POLDER_SINGLE_STEP) && !run->own_tf;
        return report(run, asked ? POLDER_STEP : POLDER_EXCEPTION, VECTOR_DB, 0, 0);
    }
    return report(run, POLDER_EXCEPTION, vector, error_code, 0);
}

static bool timer_interrupt(struct run *run)
{
    struct cpu *cpu = run->cpu;
    uint64_t now = timer_expired(cpu);
    if (cpu->timer_at && timer_reached(cpu->timer_at, now)) {
        cpu->timer_at = 0;
        return report(run, POLDER_SIGNAL, VECTOR_TIMER, 0, 0);
    }
    if (cpu->timer_at)
        timer_arm(cpu, cpu->timer_at);
    if (run->deadline && timer_reached(run->deadline, now))
        return report(run, POLDER_DEADLINE, 0, 0, 0);
    return false;
}

/* True if the run is over, or *failure is not 0. */
static bool trapped(struct run *run, unsigned what, int *failure)
{
    struct user_regs_struct *regs = &run->params->regs;
    uint64_t error_code = run->cpu->error_code;
    unsigned vector = what & 0xff;
    if (what == 0) /* a system call, which entry.S has reported */
        return true;
    if (what == ENTERED_COMPAT_SYSCALL) { /* what it is on Intel, at the instruction (Intel SDM vol. 2B, SYSCALL) */
        regs->rip = (uint32_t)(regs->rip - 2);
        return report(run, POLDER_EXCEPTION, VECTOR_UD, 0, 0);
    }
    switch (vector) {
    case 2: /* NMI: another vCPU wants something that is looked at on the way in */
        return false;
    case VECTOR_TIMER:
        return timer_interrupt(run);
    case VECTOR_PF:
        /* A fault that is no user access: the CPU itself looked something up (QEMU's TCG pops a far return's frame so).
         */
        if (!(error_code & PF_USER))
            return report(run, POLDER_PAGE_FAULT, VECTOR_PF, error_code, run->cpu->cr2);
        return page_fault(run, resolve(run->mm, run->cpu->cr2, error_code), run->cpu->cr2, error_code, failure);
    default:
        return vector < 32 ? exception(run, vector, error_code) : false;
    }
}

/* ---------------------------------------------------------------- the run */

static uint64_t get_base(uint32_t msr)
{
    uint64_t base;
    if (!machine.native_ring0)
        return rdmsr(msr);
    if (msr == MSR_FS_BASE)
        __asm__ volatile("rdfsbase %0" : "=r"(base));
    else
        __asm__ volatile("rdgsbase %0" : "=r"(base));
    return base;
}

static void set_base(uint32_t msr, uint64_t base)
{
    if (!machine.native_ring0)
        wrmsr(msr, base);
    else if (msr == MSR_FS_BASE)
        __asm__ volatile("wrfsbase %0" : : "r"(base));
    else
        __asm__ volatile("wrgsbase %0" : : "r"(base));
}

/* What entry.S has not put into params: nothing after a system call. */
static void take_the_rest(struct cpu *cpu, struct polder_params *p, unsigned what)
{
    if (what == 0) {
        cpu->fs_base = p->regs.fs_base;
        cpu->gs_base = p->regs.gs_base;
        return;
    }
    p->regs.fs_base = cpu->fs_base = get_base(MSR_FS_BASE);
    p->regs.gs_base = cpu->gs_base = get_base(MSR_GS_BASE);
    ring3_normalise(&p->regs);
}

static bool ended_before(struct run *run)
{
    struct polder_params *p = run->params;
    if (__builtin_expect(p->kicked, 0) && __atomic_exchange_n(&p->kicked, 0, __ATOMIC_SEQ_CST))
        return report(run, POLDER_KICK, 0, 0, 0);
    if (__builtin_expect(run->deadline != 0, 0)) {
        if (timer_reached(run->deadline, timer_now()))
            return report(run, POLDER_DEADLINE, 0, 0, 0);
        timer_arm(run->cpu, run->deadline);
    }
    return false;
}

static bool enter_once(struct run *run, int *failure)
{
    struct polder_params *p = run->params;
    struct cpu *cpu = run->cpu;
    if (ended_before(run))
        return true;
    /* On the CPU it would be #GP in ring 3 (AMD) or at the iretq (Intel), with this same report. */
    bool beyond = p->regs.cs == GDT_USER_CODE32 && p->regs.rip >> 32;
    if (__builtin_expect(!canonical(p->regs.rip) || beyond, 0))
        return report(run, POLDER_EXCEPTION, VECTOR_GP, 0, 0);
    p->regs.eflags = (p->regs.eflags & EFLAGS_RING3) | EFLAGS_FIXED;
    if (__builtin_expect(p->flags & POLDER_SINGLE_STEP, 0))
        p->regs.eflags |= EFLAGS_TF;
    /* First that it is inside, then the look at the generation and at kicked: who changes either looks the other way.
     */
    __atomic_store_n(&p->running, cpu->number + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&cpu->inside, run->mm, machine.cpu_count > 1 ? __ATOMIC_SEQ_CST : __ATOMIC_RELAXED);
    cpu_load(cpu, run->mm);
    unsigned what = ENTERED_VECTOR | 2;
    if (__builtin_expect(!__atomic_load_n(&p->kicked, __ATOMIC_RELAXED), 1)) {
        if (cpu->fs_base != p->regs.fs_base)
            set_base(MSR_FS_BASE, p->regs.fs_base);
        if (cpu->gs_base != p->regs.gs_base)
            set_base(MSR_GS_BASE, p->regs.gs_base);
        what = enter_ring3(cpu, &p->regs);
        take_the_rest(cpu, p, what);
    }
    __atomic_store_n(&cpu->inside, NULL, __ATOMIC_RELEASE);
    __atomic_store_n(&cpu->runs, cpu->runs + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&p->running, 0, __ATOMIC_RELEASE);
    bool over = trapped(run, what, failure);
    if (__builtin_expect((p->flags & POLDER_SINGLE_STEP) && !run->own_tf, 0))
        p->regs.eflags &= ~EFLAGS_TF;
    return over;
}

static int run_claimed(struct run *run, struct context *context)
{
    struct polder_params *p = run->params;
    int error = fpu_own(run->cpu, context, p->flags & POLDER_XSTATE_LOAD ? p->xstate : NULL);
    if (error)
        return error;
    *(uint64_t *)((char *)run->cpu - AREA_KERNEL + AREA_DATA + DATA_PARAMS) = (uint64_t)p; /* for a fault report */
    run->cpu->same_faults = 0;
    while (!enter_once(run, &error))
        ;
    if (__builtin_expect(mm_own_in_use(), 0)) /* first, for xstate may lie there */
        cpu_load(run->cpu, mm_own());
    if (__builtin_expect(p->flags & POLDER_XSTATE_STORE, 0))
        fpu_store(run->cpu, context, p->xstate);
    if (machine.cpu_count > 1)
        fpu_store(run->cpu, context, NULL);
    return error;
}

int sandbox_run(struct mm *mm, struct polder_params *params)
{
    int error = check(params);
    if (error)
        return error;
    struct context *context = params->context;
    if (__builtin_expect(!context, 0)) {
        context = context_new();
        if (!context)
            return -ENOMEM;
        void *none = NULL;
        if (!__atomic_compare_exchange_n(
                &params->context, &none, (void *)context, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            context_free(context);
            context = none;
        }
    }
    if (__atomic_exchange_n(&context->running, 1, __ATOMIC_ACQUIRE))
        return -EBUSY;
    struct run run = {.mm = mm, .params = params, .cpu = this_cpu(), .own_tf = params->regs.eflags & EFLAGS_TF};
    if (params->deadline_ns)
        run.deadline = timer_ticks_after(params->deadline_ns);
    error = run_claimed(&run, context);
    __atomic_store_n(&context->running, 0, __ATOMIC_RELEASE);
    return error;
}

bool sandbox_trapped(struct mm *mm, struct polder_params *params, unsigned what, int *error)
{
    struct cpu *cpu = this_cpu();
    *error = 0;
    take_the_rest(cpu, params, what);
    bool is_fault = what == (ENTERED_VECTOR | VECTOR_PF) && (cpu->error_code & PF_USER);
    enum mm_fault found = is_fault ? resolve(mm, cpu->cr2, cpu->error_code) : MM_NOT_MAPPED;
    if (found == MM_RESOLVED)
        return false;
    struct run run = {.mm = mm, .params = params, .cpu = cpu, .own_tf = params->regs.eflags & EFLAGS_TF};
    return is_fault ? page_fault(&run, found, cpu->cr2, cpu->error_code, error) : trapped(&run, what, error);
}

void sandbox_ready(int mm_fd, struct mm *mm, struct polder_params *params)
{
    struct cpu *cpu = this_cpu();
    if (machine.cpu_count > 1 || cpu->loaded_serial != mm->serial || cpu->loaded_generation != mm->generation ||
        cpu->regs_end != (uint64_t)(&params->regs.ss + 1))
        return;
    if (machine.native_ring0)
        cpu->ready_params = params;
    else
        cpu->ready_params_msrs = params;
    cpu->short_params = params; /* until a run goes the long way */
    cpu->ready_mm = mm;
    cpu->ready_fd = (uint32_t)mm_fd;
}

void sandbox_kick(struct polder_params *params)
{
    __atomic_store_n(&params->kicked, 1, __ATOMIC_SEQ_CST);
    uint32_t running = __atomic_load_n(&params->running, __ATOMIC_SEQ_CST);
    if (running && running - 1 != this_cpu()->number)
        cpu_send_nmi(cpu_of(running - 1));
}

void sandbox_fini(struct polder_params *params)
{
    struct context *context = params->context;
    params->context = NULL;
    if (context)
        context_free(context);
}
