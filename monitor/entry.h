/* SPDX-License-Identifier: MIT */
/* entry: what the two flavours of the stub do differently. */
#ifndef MONITOR_ENTRY_H
#define MONITOR_ENTRY_H

#include "vcpu.h"
#include <polder/abi.h>

/* What an entry has to do on the way in; each includes those after it. */
enum entry_work { ENTRY_EDITS, ENTRY_CR3, ENTRY_BASES, ENTRY_PLAIN };

/* What an `out` of the stub says: ring 3 trapped; go on as loaded; the edits are done; ring 3 was not reached; nothing
 * that the stub would say. */
enum entry_out { OUT_TRAP, OUT_AGAIN, OUT_EDITS_DONE, OUT_NOT_ENTERED, OUT_NONSENSE };

struct flavour {
    /* Puts regs where the stub or KVM takes them from. `only_edits`: come back without going to ring 3. */
    void (*load)(struct vcpu *v, const struct user_regs_struct *regs, enum entry_work work, bool only_edits);
    /* KVM_RUN came back with an `out` of the stub. */
    enum entry_out (*decode)(struct vcpu *v, struct user_regs_struct *regs, struct trap *trap);
    /* True if the stub, stopped at this address, holds an event of ring 3's that it has not yet reported. */
    bool (*holds_event)(uint64_t offset);
    /* The vCPU was in ring 3 and has its registers as given; bring it back to the stub. */
    int (*bring_back)(struct vcpu *v, struct kvm_sregs *sregs);
};

extern const struct flavour flavour_native, flavour_synchronised;

/* The frame that the CPU (and, in the native flavour, the stub) has pushed. */
struct trap_frame {
    uint64_t rip, cs, eflags, rsp, ss;
};

static inline uint64_t *area_word(const struct vcpu *v, unsigned field)
{
    return (uint64_t *)(v->area + field);
}

static inline void *area_at(const struct vcpu *v, gva_t gva)
{
    return v->area + (gva - v->area_gva - AREA_DATA);
}

/*
 * SYSCALL in compatibility mode: the fault of ring 0 at CSTAR, which is 0. It is reported as what it is on Intel, an
 * undefined instruction, at the instruction (Intel SDM vol. 2B, SYSCALL); RCX and R11 are gone.
 */
static inline bool is_compat_syscall(const struct trap_frame *frame, uint64_t vector, uint64_t cr2)
{
    return vector == 14 && frame->rip == 0 && cr2 == 0 && !(frame->cs & 3);
}

void compat_syscall_regs(const struct trap_frame *frame, struct user_regs_struct *regs, struct trap *trap);
/* As KVM has them in ring 3; in the stub, rip, eflags, cs and ss mean nothing. */
void regs_from_kvm(const struct kvm_regs *r, const struct kvm_sregs *s, struct user_regs_struct *regs);
/* eflags as ring 3 may have them. */
uint64_t ring3_eflags(uint64_t eflags);
void frame_to_regs(const struct trap_frame *frame, struct user_regs_struct *regs);
void write_iret_frame(struct vcpu *v, const struct user_regs_struct *regs);

#endif
