/* SPDX-License-Identifier: MIT */
#include "sandbox.h"
#include "clock.h"
#include "int_n.h"
#include "vcpu.h"
#include <errno.h>
#include <polder/abi.h>
#include <string.h>

#define EFLAGS_TF 0x100ull
#define KNOWN_FLAGS (POLDER_SINGLE_STEP | POLDER_XSTATE_LOAD | POLDER_XSTATE_STORE)

#define VECTOR_DB 1
#define VECTOR_GP 13
#define VECTOR_PF 14
#define PF_PRESENT 1ull
#define PF_WRITE 2ull
#define PF_USER 4ull
#define PF_FETCH 16ull

/* A fault that comes back this often although the page table permits the access and has not changed meanwhile is KVM's
 * failure, not the sandbox's. */
#define SAME_FAULT_LIMIT 1000
#define WINDOW_LOSS_LIMIT 64

struct run {
    struct mm *mm;
    struct polder_params *params;
    struct vcpu *vcpu;
    uint64_t deadline; /* CLOCK_MONOTONIC, ns; 0: none */
    bool own_tf;       /* the caller's eflags had TF: ring 3's own */
    uint64_t last_fault, last_generation;
    unsigned same_faults, window_losses;
};

static int check(const struct polder_params *p)
{
    if (p->flags & ~KNOWN_FLAGS)
        return -EINVAL;
    if ((p->regs.cs != GDT_USER_CODE && p->regs.cs != GDT_USER_CODE32) || p->regs.ss != GDT_USER_DATA)
        return -EINVAL;
    if (!canonical(p->regs.fs_base) || !canonical(p->regs.gs_base))
        return -EINVAL;
    if ((p->flags & (POLDER_XSTATE_LOAD | POLDER_XSTATE_STORE)) && (!p->xstate || p->xstate_size < kvm.xsave_size))
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

static bool report_syscall(struct run *run)
{
    struct polder_params *p = run->params;
    report(run, POLDER_SYSCALL, 0, 0, 0);
    p->regs.orig_rax = p->regs.rax;
    p->regs.rax = (uint64_t)-ENOSYS;
    return true;
}

/* ---------------------------------------------------------------- faults */

static bool page_fault(struct run *run, uint64_t address, uint64_t error, int *failure)
{
    struct mm_change change;
    mm_begin(run->mm, &change);
    const uint64_t generation = run->mm->generation;
    enum mm_fault found = mm_fault(&change, address, error);
    mm_finish(&change);
    uint64_t reported = PF_USER | (error & (PF_WRITE | PF_FETCH));
    switch (found) {
    case MM_RESOLVED:
        run->same_faults = run->last_fault == address && run->last_generation == generation ? run->same_faults + 1 : 0;
        run->last_fault = address;
        run->last_generation = generation;
        if (run->same_faults > SAME_FAULT_LIMIT)
            *failure = -EIO;
        return *failure != 0;
    case MM_NOT_MAPPED:
        return report(run, POLDER_PAGE_FAULT, VECTOR_PF, reported, address);
    case MM_DENIED:
        return report(run, POLDER_PAGE_FAULT, VECTOR_PF, reported | PF_PRESENT, address);
    case MM_BEYOND_FILE:
        return report(run, POLDER_BUS, 0, 0, address);
    case MM_NO_MEMORY:
        *failure = -EFAULT;
        return true;
    }
    return true;
}

static void normalise_int(struct run *run, struct trap *trap)
{
    uint8_t code[INT_N_BYTES];
    struct user_regs_struct *regs = &run->params->regs;
    if (trap->in_stub || !int_n_suspect(trap->vector, trap->error_code))
        return;
    ssize_t length = mm_read(run->mm, code, sizeof code, int_n_at(trap->vector, regs));
    if (length > 0)
        int_n_normalise(code, (unsigned)length, &trap->vector, &trap->error_code, regs);
}

static bool deadline_interrupt(struct run *run, int *failure)
{
    *failure = kvm_end_interrupt(&run->vcpu->kvm);
    run->vcpu->timer = 0;
    return *failure < 0;
}

/* The kernel's timers are all that can come from outside; what else is spurious is passed over. */
static bool trapped(struct run *run, struct trap *trap, int *failure)
{
    if (trap->vector == VECTOR_SYSCALL)
        return report_syscall(run);
    if (trap->vector == VECTOR_NMI || trap->vector == VECTOR_SPURIOUS)
        return false;
    if (trap->vector == VECTOR_DEADLINE)
        return deadline_interrupt(run, failure);
    if (trap->in_stub && trap->vector == VECTOR_PF) {
        *failure = -EIO; /* the stub's own memory */
        run->vcpu->broken = true;
        return true;
    }
    /*
     * A fault of ring 3 that is not a user access: the CPU itself looked something up. It does so in the stub's tables
     * only, which are there; QEMU's TCG also pops a far return's frame that way, and SMAP forbids it.
     */
    if (trap->vector == VECTOR_PF && !(trap->error_code & PF_USER))
        return report(run, POLDER_PAGE_FAULT, VECTOR_PF, trap->error_code, trap->cr2);
    if (trap->vector == VECTOR_PF)
        return page_fault(run, trap->cr2, trap->error_code, failure);
    normalise_int(run, trap);
    if (trap->vector == VECTOR_DB) {
        bool asked = (run->params->flags & POLDER_SINGLE_STEP) && !run->own_tf;
        return report(run, asked ? POLDER_STEP : POLDER_EXCEPTION, VECTOR_DB, 0, 0);
    }
    return report(run, POLDER_EXCEPTION, trap->vector, trap->error_code, 0);
}

static bool window_lost(struct run *run, int *failure)
{
    if (++run->window_losses > WINDOW_LOSS_LIMIT) {
        *failure = -EFAULT;
        return true;
    }
    mm_distrust_windows(run->mm);
    return false;
}

/* ---------------------------------------------------------------- the run */

static int arm_deadline(struct run *run, uint64_t time)
{
    /* An interrupt that comes earlier finds that it is not yet time, and is armed anew. */
    if (run->vcpu->timer && run->vcpu->timer <= run->deadline)
        return 0;
    int error = kvm_arm_deadline(&run->vcpu->kvm, run->deadline - time);
    run->vcpu->timer = error < 0 ? 0 : run->deadline;
    return error;
}

/* Looked at before every entry. */
static bool ended_from_outside(struct run *run, int *failure)
{
    struct polder_params *p = run->params;
    if (__atomic_load_n(&p->kicked, __ATOMIC_SEQ_CST) && __atomic_exchange_n(&p->kicked, 0, __ATOMIC_SEQ_CST))
        return report(run, POLDER_KICK, 0, 0, 0);
    if (__builtin_expect(run->deadline != 0, 0)) {
        uint64_t time = clock_ns(CLOCK_MONOTONIC);
        if (time >= run->deadline)
            return report(run, POLDER_DEADLINE, 0, 0, 0);
        *failure = arm_deadline(run, time);
        return *failure < 0;
    }
    return false;
}

static bool enter_once(struct run *run, int *failure)
{
    struct polder_params *p = run->params;
    struct trap trap;
    if (ended_from_outside(run, failure))
        return true;
    /* On the CPU the jump to it would be #GP in ring 3 (AMD) or in the stub (Intel), with this same report; QEMU's TCG
     * cuts it to the 32 bits that code of 32 bits has. */
    bool beyond = p->regs.cs == GDT_USER_CODE32 && p->regs.rip >> 32;
    if (__builtin_expect(!canonical(p->regs.rip) || beyond, 0))
        return report(run, POLDER_EXCEPTION, VECTOR_GP, 0, 0);
    uint64_t eflags = p->regs.eflags;
    if (p->flags & POLDER_SINGLE_STEP)
        p->regs.eflags |= EFLAGS_TF;
    __atomic_store_n(&p->running, run->vcpu->kvm.id + 1, __ATOMIC_SEQ_CST);
    enum vcpu_exit exit = vcpu_enter(run->vcpu, run->mm, &p->regs, &trap, &p->kicked);
    __atomic_store_n(&p->running, 0, __ATOMIC_SEQ_CST);
    if (exit == VCPU_NOT_ENTERED || (exit == VCPU_TRAP && trap.in_stub))
        p->regs.eflags = eflags;
    else if ((p->flags & POLDER_SINGLE_STEP) && !run->own_tf)
        p->regs.eflags &= ~EFLAGS_TF;
    bool over = false;
    switch (exit) {
    case VCPU_TRAP:
        over = trapped(run, &trap, failure);
        break;
    case VCPU_MEMORY:
        over = window_lost(run, failure);
        break;
    case VCPU_FAILED:
        *failure = -EIO;
        return true;
    case VCPU_NOT_ENTERED:
    case VCPU_INTERRUPTED:
        break;
    }
    if (!over && trap.signalled)
        return report(run, POLDER_SIGNAL, 0, 0, 0);
    return over;
}

static int set_sigmask(struct vcpu *v, const sigset_t *mask)
{
    uint64_t wanted = 0;
    if (mask)
        memcpy(&wanted, mask, sizeof wanted); /* the kernel's set is the first 64 bits of libc's */
    if (v->sigmask_set == (mask != NULL) && v->sigmask == wanted)
        return 0;
    int error = kvm_set_sigmask(&v->kvm, mask ? &wanted : NULL);
    if (error < 0)
        return error;
    v->sigmask_set = mask != NULL;
    v->sigmask = wanted;
    return 0;
}

static int claim_context(struct polder_params *p, struct context **ctx)
{
    *ctx = __atomic_load_n(&p->context, __ATOMIC_ACQUIRE);
    if (!*ctx) {
        void *none = NULL;
        struct context *fresh = context_new();
        if (!fresh)
            return -ENOMEM;
        *ctx = fresh;
        /* Two threads that begin with the same params at once: one of them is told EBUSY, and nothing is lost. */
        if (!__atomic_compare_exchange_n(&p->context, &none, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            context_free(fresh);
            *ctx = none;
        }
    }
    if ((*ctx)->epoch != state_epoch())
        return -ESTALE;
    return __atomic_exchange_n(&(*ctx)->running, true, __ATOMIC_ACQUIRE) ? -EBUSY : 0;
}

static int run_claimed(struct run *run, struct context *ctx)
{
    struct polder_params *p = run->params;
    int error = vcpu_get(&run->vcpu);
    if (error)
        return error;
    if (ctx->home && ctx->home != run->vcpu) {
        /* Its FPU state is in the vCPU of the thread that ran it last; no two locks of vCPUs are held at once. */
        struct vcpu *mine = run->vcpu;
        vcpu_put(mine);
        error = context_fetch(ctx, mine);
        if (!error)
            error = vcpu_get(&run->vcpu);
        if (error)
            return error;
    }
    error = vcpu_own(run->vcpu, ctx, p->flags & POLDER_XSTATE_LOAD ? p->xstate : NULL);
    if (!error)
        error = set_sigmask(run->vcpu, p->sigmask);
    while (!error && !enter_once(run, &error))
        ;
    if (!error && (p->flags & POLDER_XSTATE_STORE))
        error = vcpu_store_xstate(run->vcpu, p->xstate);
    vcpu_put(run->vcpu);
    return error < 0 ? error : 0;
}

int sandbox_run(struct mm *mm, struct polder_params *params)
{
    struct context *ctx;
    int error = check(params);
    if (error)
        return error;
    error = claim_context(params, &ctx);
    if (error)
        return error;
    struct run run = {.mm = mm, .params = params, .own_tf = params->regs.eflags & EFLAGS_TF};
    if (params->deadline_ns) {
        uint64_t time = clock_ns(CLOCK_MONOTONIC);
        run.deadline = params->deadline_ns > UINT64_MAX - time ? UINT64_MAX : time + params->deadline_ns;
    }
    error = run_claimed(&run, ctx);
    __atomic_store_n(&ctx->running, false, __ATOMIC_RELEASE);
    return error;
}

int sandbox_kick(struct polder_params *params)
{
    __atomic_store_n(&params->kicked, 1, __ATOMIC_SEQ_CST);
    uint32_t running = __atomic_load_n(&params->running, __ATOMIC_SEQ_CST);
    /* It may have left since: then the NMI meets whoever is next there, who passes it over. */
    if (running)
        kvm_send_nmi(running - 1);
    return 0;
}

void sandbox_fini(struct polder_params *params)
{
    struct context *ctx = params->context;
    params->context = NULL;
    if (ctx && ctx->epoch == state_epoch())
        context_free(ctx);
}
