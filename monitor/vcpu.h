/* SPDX-License-Identifier: MIT */
/*
 * vcpu: a vCPU per host thread that runs sandboxes: its area for the stub, the way into ring 3 and out of it, whose FPU
 * state it holds, and forcing it out of a space. What a trap means is sandbox.c's.
 */
#ifndef MONITOR_VCPU_H
#define MONITOR_VCPU_H

#include "kvm.h"
#include "mm.h"
#include "tables.h"
#include "types.h"
#include <polder/polder.h>

/* The state of a sandboxed context that is not in polder_params: it may live in a vCPU while its params rest. */
struct context {
    bool running;      /* a thread is in a run with it */
    struct vcpu *home; /* the vCPU that holds its FPU state now; NULL: it is in xsave */
    void *xsave;       /* a record of kvm.xsave_size bytes; NULL: never used, the reset state */
    bool has_state;    /* xsave is valid */
    uint64_t epoch;
};

/* With PCID, translations of so many spaces stay in a vCPU's TLB (Intel SDM vol. 3A, 4.10.1); without, one. */
#define TLB_SLOTS 8

struct vcpu {
    struct kvm_vcpu kvm;
    pthread_mutex_t lock; /* held during a run, and by whoever takes a state out of it */
    char *area;           /* the data pages: host address of AREA_DATA */
    gva_t area_gva;       /* of AREA_CODE */
    bool in_use;          /* by a thread */
    struct context *owner;
    void *loading;             /* a copy of the caller's state; a record of kvm.xsave_size bytes, or NULL */
    bool fresh;                /* never owned: the FPU is as at reset */
    uint64_t fs_base, gs_base; /* what is in the vCPU now */
    bool bases_known;

    struct mm *inside; /* whose ring 3 it may be running */
    uint64_t runs;     /* counts every leaving */

    struct {
        uint64_t serial, generation; /* whose translations are there, and as of when */
    } tlb[TLB_SLOTS];
    uint32_t tlb_current; /* the slot that is in CR3 */
    uint32_t tlb_victim;
    bool broken;      /* KVM gave it up */
    bool in_ring3;    /* synchronised flavour: its registers must be put back into the stub */
    bool interrupted; /* a signal came while it was brought to the stub */

    struct mm *editing; /* whose edits it carries out */
    uint32_t edit_count;
    struct table_list clearing;
    uint32_t shorter; /* how often the number of edits of an entry is halved */

    uint64_t sigmask;
    bool sigmask_set;
    uint64_t timer;         /* CLOCK_MONOTONIC ns at which the armed deadline interrupt comes; 0: not armed */
    struct kvm_sregs ring0; /* synchronised flavour: the special registers of the stub */
};

/* What a vCPU came out with. */
enum vcpu_exit {
    VCPU_TRAP,        /* frame is filled */
    VCPU_NOT_ENTERED, /* it never was in ring 3: what was to be entered still stands */
    VCPU_INTERRUPTED, /* ring 3 was stopped between two instructions by a signal: regs are current */
    VCPU_MEMORY,      /* a window has lost its memory; regs are current */
    VCPU_FAILED,      /* KVM cannot go on */
};

struct trap {
    uint32_t vector; /* 0 to 255, or VECTOR_SYSCALL */
    uint64_t error_code, cr2;
    bool signalled; /* out: a signal came as well */
    bool in_stub;   /* raised by the last instruction of the entry: its registers are those to be entered */
};

/* The calling thread's vCPU, locked; made if need be. 0 or -errno. */
int vcpu_get(struct vcpu **vcpu);
void vcpu_put(struct vcpu *vcpu);
void vcpus_forget(void);
/* The most that there can be. */
uint32_t vcpus_limit(void);

/* Makes ctx the owner of the FPU state. load: take the state from that area; NULL: go on with the context's own. */
int vcpu_own(struct vcpu *vcpu, struct context *ctx, const void *load);
int vcpu_store_xstate(struct vcpu *vcpu, void *area);
/* Before vcpu_get: takes ctx's state out of another vCPU. */
int context_fetch(struct context *ctx, const struct vcpu *except);
struct context *context_new(void);
void context_free(struct context *ctx);

/* One entry into ring 3 of mm with regs, and out again. */
enum vcpu_exit vcpu_enter(struct vcpu *vcpu, struct mm *mm, struct user_regs_struct *regs, struct trap *trap,
    const volatile uint32_t *kicked);
bool vcpu_edits_done(const struct vcpu *vcpu);

/* mm_change: who is inside is sent out, and waited for. */
void vcpu_force_out(struct mm_change *change);
void vcpu_wait_out(struct mm_change *change);

#endif
