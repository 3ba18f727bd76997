/* SPDX-License-Identifier: MIT */
/* The native flavour: ring 0 is the CPU's own. Registers travel through the data page; KVM is told nothing. */
#include "entry.h"
#include "stub.h"

static void load(struct vcpu *v, const struct user_regs_struct *regs, enum entry_work work, bool only_edits)
{
    const struct stub_header *stub = stub_header();
    const uint32_t entries[] = {[ENTRY_EDITS] = stub->native_enter_edits,
        [ENTRY_CR3] = stub->native_enter_cr3,
        [ENTRY_BASES] = stub->native_enter_bases,
        [ENTRY_PLAIN] = stub->native_enter};
    uint64_t *d = (uint64_t *)v->area;
    d[DATA_RAX / 8] = regs->rax;
    d[DATA_RBX / 8] = regs->rbx;
    d[DATA_RCX / 8] = regs->rcx;
    d[DATA_RDX / 8] = regs->rdx;
    d[DATA_RSI / 8] = regs->rsi;
    d[DATA_RDI / 8] = regs->rdi;
    d[DATA_RBP / 8] = regs->rbp;
    d[DATA_R8 / 8] = regs->r8;
    d[DATA_R9 / 8] = regs->r9;
    d[DATA_R10 / 8] = regs->r10;
    d[DATA_R11 / 8] = regs->r11;
    d[DATA_R12 / 8] = regs->r12;
    d[DATA_R13 / 8] = regs->r13;
    d[DATA_R14 / 8] = regs->r14;
    d[DATA_R15 / 8] = regs->r15;
    d[DATA_FS_BASE / 8] = regs->fs_base;
    d[DATA_GS_BASE / 8] = regs->gs_base;
    write_iret_frame(v, regs);
    d[DATA_ENTRY / 8] = v->area_gva + entries[work];
    if (work == ENTRY_EDITS)
        d[DATA_AFTER_EDITS / 8] = v->area_gva + (only_edits ? stub->edits_done_out : stub->native_enter_cr3);
}

static void take_registers(struct vcpu *v, struct user_regs_struct *regs)
{
    const uint64_t *d = (uint64_t *)v->area;
    regs->rax = d[DATA_RAX / 8];
    regs->rbx = d[DATA_RBX / 8];
    regs->rcx = d[DATA_RCX / 8];
    regs->rdx = d[DATA_RDX / 8];
    regs->rsi = d[DATA_RSI / 8];
    regs->rdi = d[DATA_RDI / 8];
    regs->rbp = d[DATA_RBP / 8];
    regs->r8 = d[DATA_R8 / 8];
    regs->r9 = d[DATA_R9 / 8];
    regs->r10 = d[DATA_R10 / 8];
    regs->r11 = d[DATA_R11 / 8];
    regs->r12 = d[DATA_R12 / 8];
    regs->r13 = d[DATA_R13 / 8];
    regs->r14 = d[DATA_R14 / 8];
    regs->r15 = d[DATA_R15 / 8];
    regs->fs_base = v->fs_base = d[DATA_FS_BASE / 8];
    regs->gs_base = v->gs_base = d[DATA_GS_BASE / 8];
    v->bases_known = true;
}

static void syscall_regs(struct vcpu *v, struct user_regs_struct *regs, struct trap *trap, uint64_t rsp)
{
    take_registers(v, regs);
    trap->vector = VECTOR_SYSCALL;
    regs->rsp = rsp;
    regs->rip = regs->rcx;
    regs->eflags = regs->r11;
}

/* What the stub pushes below the CPU's frame: vector, error code. */
struct pushed {
    uint64_t vector, error_code;
    struct trap_frame frame;
};

static enum entry_out decode_trap(struct vcpu *v, struct user_regs_struct *regs, struct trap *trap)
{
    uint32_t kind = (uint32_t)*area_word(v, DATA_VECTOR);
    if (kind == VECTOR_SYSCALL) {
        syscall_regs(v, regs, trap, *area_word(v, DATA_RSP));
        return OUT_TRAP;
    }
    if (kind == VECTOR_NMI) {
        take_registers(v, regs);
        frame_to_regs(area_at(v, v->area_gva + STACK_NMI_TOP - sizeof(struct trap_frame)), regs);
        trap->vector = VECTOR_NMI;
        return OUT_TRAP;
    }
    const struct pushed *p = area_at(v, v->area_gva + STACK_TRAP_TOP - sizeof *p);
    if (!(p->frame.cs & 3)) {
        /* MOV SS, then SYSCALL: the #DB that MOV SS held back comes on the stub's first instruction (Intel SDM vol. 3A,
         * 6.8.3). To the sandbox it is that system call. */
        if (p->frame.rip == v->area_gva + stub_header()->native_syscall) {
            syscall_regs(v, regs, trap, p->frame.rsp);
            return OUT_TRAP;
        }
        if (is_compat_syscall(&p->frame, p->vector, *area_word(v, DATA_CR2))) {
            take_registers(v, regs);
            compat_syscall_regs(&p->frame, regs, trap);
            return OUT_TRAP;
        }
        /* The iretq itself: what it was to load stands in regs. */
        trap->in_stub = true;
    } else {
        take_registers(v, regs);
        frame_to_regs(&p->frame, regs);
    }
    trap->vector = (uint32_t)p->vector;
    trap->error_code = p->error_code;
    trap->cr2 = *area_word(v, DATA_CR2);
    return OUT_TRAP;
}

static bool holds_event(uint64_t offset)
{
    const struct stub_header *stub = stub_header();
    return offset < stub->native_resume ||
           (offset >= stub->native_nmi_in_stub && offset < stub->native_nmi_in_stub_out) ||
           offset == stub->native_iret_nmi;
}

static enum entry_out decode(struct vcpu *v, struct user_regs_struct *regs, struct trap *trap)
{
    switch (v->kvm.run->io.port) {
    case PORT_TRAP:
        return decode_trap(v, regs, trap);
    case PORT_EDITS_DONE:
        return OUT_EDITS_DONE;
    default:
        break;
    }
    gva_t frame_gva = v->area_gva + STACK_NMI_TOP - sizeof(struct trap_frame);
    const struct trap_frame *frame = area_at(v, frame_gva);
    if (!holds_event(frame->rip - v->area_gva))
        return OUT_NOT_ENTERED;
    /* It hit while a trap was being reported: go on with that. */
    *area_word(v, DATA_ENTRY) = v->area_gva + stub_header()->native_iret_nmi;
    *area_word(v, DATA_ENTRY_RSP) = frame_gva;
    return OUT_AGAIN;
}

static int bring_back(struct vcpu *v, struct kvm_sregs *sregs)
{
    if (sregs) {
        sregs->cs = v->ring0.cs;
        sregs->ss = v->ring0.ss;
        int error = kvm_set_sregs(&v->kvm, sregs);
        if (error < 0)
            return error;
    }
    struct kvm_regs regs = {.rip = v->area_gva + stub_header()->native_resume, .rflags = 2};
    return kvm_set_regs(&v->kvm, &regs);
}

const struct flavour flavour_native = {load, decode, holds_event, bring_back};
