/* SPDX-License-Identifier: MIT */
/*
 * The synchronised flavour: ring 0 may be interpreted one instruction at a time (PVM), so that all the stub does is one
 * `out` per trap and one iretq per entry. Registers travel through KVM_CAP_SYNC_REGS, which costs nothing there.
 */
#include "entry.h"
#include "stub.h"
#include <string.h>

#define EFLAGS_RF 0x10000ull

#define ERROR_USER 4

static void load(struct vcpu *v, const struct user_regs_struct *regs, enum entry_work work, bool only_edits)
{
    const struct stub_header *stub = stub_header();
    struct kvm_run *run = v->kvm.run;
    struct kvm_regs *r = &run->s.regs.regs;
    r->rax = regs->rax;
    r->rbx = regs->rbx;
    r->rcx = regs->rcx;
    r->rdx = regs->rdx;
    r->rsi = regs->rsi;
    r->rdi = regs->rdi;
    r->rbp = regs->rbp;
    r->r8 = regs->r8;
    r->r9 = regs->r9;
    r->r10 = regs->r10;
    r->r11 = regs->r11;
    r->r12 = regs->r12;
    r->r13 = regs->r13;
    r->r14 = regs->r14;
    r->r15 = regs->r15;
    r->rflags = 2;
    r->rip = v->area_gva + stub->sync_enter;
    r->rsp = v->area_gva + AREA_DATA + DATA_IRET_FRAME;
    write_iret_frame(v, regs);
    if (work == ENTRY_EDITS || work == ENTRY_CR3) {
        /* The stub's scratch registers, which it loads itself at the end. */
        *area_word(v, DATA_RAX) = regs->rax;
        *area_word(v, DATA_RCX) = regs->rcx;
        *area_word(v, DATA_RDX) = regs->rdx;
        *area_word(v, DATA_RDI) = regs->rdi;
        r->rip = v->area_gva + stub->sync_enter_cr3;
    }
    if (work == ENTRY_EDITS) {
        r->rip = v->area_gva + stub->sync_enter_edits;
        r->rsp = *area_word(v, DATA_ENTRY_RSP);
        *area_word(v, DATA_AFTER_EDITS) = v->area_gva + (only_edits ? stub->edits_done_out : stub->sync_enter_cr3);
    }
    run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
    if (v->in_ring3 || !v->bases_known || v->fs_base != regs->fs_base || v->gs_base != regs->gs_base) {
        struct kvm_sregs *s = &run->s.regs.sregs;
        s->cs = v->ring0.cs;
        s->ss = v->ring0.ss;
        s->ds = s->es = s->fs = s->gs = v->ring0.ds;
        s->fs.base = regs->fs_base;
        s->gs.base = regs->gs_base;
        memset(s->interrupt_bitmap, 0, sizeof s->interrupt_bitmap);
        run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
        v->fs_base = regs->fs_base;
        v->gs_base = regs->gs_base;
        v->bases_known = true;
        v->in_ring3 = false;
    }
}

static void take_registers(struct vcpu *v, struct user_regs_struct *regs)
{
    regs_from_kvm(&v->kvm.run->s.regs.regs, &v->kvm.run->s.regs.sregs, regs);
    v->fs_base = regs->fs_base;
    v->gs_base = regs->gs_base;
}

static bool has_error_code(unsigned vector)
{
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 ||
           vector == 30;
}

static void syscall_regs(struct vcpu *v, struct user_regs_struct *regs, struct trap *trap, uint64_t rsp)
{
    take_registers(v, regs);
    trap->vector = VECTOR_SYSCALL;
    regs->rsp = rsp;
    regs->rip = regs->rcx;
    regs->eflags = regs->r11;
    regs->cs = GDT_USER_CODE;
    regs->ss = GDT_USER_DATA;
}

static enum entry_out decode(struct vcpu *v, struct user_regs_struct *regs, struct trap *trap)
{
    const struct kvm_run *run = v->kvm.run;
    const struct kvm_regs *r = &run->s.regs.regs;
    unsigned vector = run->io.port;
    gva_t lstar = v->area_gva + stub_header()->sync_syscall;
    if (run->io.size == 4) {
        syscall_regs(v, regs, trap, r->rsp);
        return OUT_TRAP;
    }
    if (run->io.size == 2)
        return OUT_EDITS_DONE;
    /* The CPU has just switched to an IST stack. If not, this is no trap of ours, and what is there no frame. */
    gva_t stacks = v->area_gva + AREA_STACKS;
    uint64_t size = sizeof(struct trap_frame) + (has_error_code(vector) ? sizeof(uint64_t) : 0);
    if (r->rsp < stacks || r->rsp > stacks + PAGE_SIZE - size)
        return OUT_NONSENSE;
    const uint64_t *pushed = area_at(v, r->rsp);
    uint64_t error_code = has_error_code(vector) ? *pushed++ : 0;
    const struct trap_frame *frame = (const struct trap_frame *)pushed;
    trap->vector = vector;
    trap->error_code = error_code;
    trap->cr2 = run->s.regs.sregs.cr2;
    if (!(frame->cs & 3)) {
        if (frame->rip == lstar && vector == 1) {
            syscall_regs(v, regs, trap, frame->rsp);
            return OUT_TRAP;
        }
        if (is_compat_syscall(frame, vector, trap->cr2)) {
            take_registers(v, regs);
            compat_syscall_regs(frame, regs, trap);
            return OUT_TRAP;
        }
        if (vector != VECTOR_NMI) {
            trap->in_stub = true;
            return OUT_TRAP;
        }
        uint64_t offset = frame->rip - v->area_gva;
        if (!flavour_synchronised.holds_event(offset))
            return OUT_NOT_ENTERED;
        /* It hit between a trap and its `out`: back to that. The frame says where, the registers are as they were. */
        v->kvm.run->s.regs.regs.rip = v->area_gva + stub_header()->sync_enter;
        v->kvm.run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
        return OUT_AGAIN;
    }
    /*
     * PVM: SYSCALL arrives at LSTAR with CPL still 3, and the fetch there faults. What a sandbox gets by jumping to
     * LSTAR is what SYSCALL with these RCX and R11 gives: RCX in the lower half, or it stays a page fault; no flag in
     * R11 that ring 3 cannot have, and RF, which an instruction that is done leaves clear.
     */
    if (vector == 14 && frame->rip == lstar && trap->cr2 == lstar && (error_code & ERROR_USER) && !(r->rcx >> 47)) {
        syscall_regs(v, regs, trap, frame->rsp);
        regs->r11 = regs->eflags = ring3_eflags(regs->r11) & ~EFLAGS_RF;
        return OUT_TRAP;
    }
    take_registers(v, regs);
    frame_to_regs(frame, regs);
    return OUT_TRAP;
}

static bool holds_event(uint64_t offset)
{
    const struct stub_header *stub = stub_header();
    return offset >= stub->sync_vectors && offset < stub->sync_exit_end;
}

static int bring_back(struct vcpu *v, struct kvm_sregs *sregs)
{
    if (sregs)
        v->in_ring3 = true; /* the next load puts the registers right */
    return 0;
}

const struct flavour flavour_synchronised = {load, decode, holds_event, bring_back};
