/* SPDX-License-Identifier: MIT */
/* entry: into ring 3 of a space and out of it. Every entry goes through the stub, whatever state KVM_RUN left. */
#include "entry.h"
#include "ring3.h"
#include "stub.h"
#include <errno.h>
#include <signal.h>
#include <string.h>

#define CR3_NO_FLUSH (1ull << 63) /* with PCID: keep what the TLB has (Intel SDM vol. 3A, 4.10.4.1) */
#define CR4_PCIDE (1ull << 17)

#define LIST_BYTES AREA_EDITS_SIZE
/* Edits that one entry takes along. An emulated ring 0 needs some 10 us for each, and what ends a run has to wait. */
#define EDITS_AT_ONCE (kvm.native_ring0 ? LIST_BYTES / 16 / 2 : 128)
#define SHORTER_MOST 12  /* halvings of it: down to one edit */
#define CLEAR_AT_ONCE 4  /* retired table pages that an entry takes along */
#define CLEAR_PRESSED 32 /* the same, when many wait */
#define MANY_RETIRED 256
#define FEW_ENTRIES 48 /* present entries of a page up to which they are cleared one by one */

/* What of eflags ring 3 may have (Intel SDM vol. 1, 3.4.3): all but IOPL, VM, VIF, VIP, and NT, which PVM takes away in
 * any case; IF is set. */
#define EFLAGS_RING3 0x250dd5ull
#define EFLAGS_FIXED 0x202ull

uint64_t ring3_eflags(uint64_t eflags)
{
    return (eflags & EFLAGS_RING3) | EFLAGS_FIXED;
}

void frame_to_regs(const struct trap_frame *frame, struct user_regs_struct *regs)
{
    regs->rip = frame->rip;
    regs->cs = frame->cs & 0xffff;
    regs->eflags = frame->eflags;
    regs->rsp = frame->rsp;
    ring3_normalise(regs);
}

void compat_syscall_regs(const struct trap_frame *frame, struct user_regs_struct *regs, struct trap *trap)
{
    trap->vector = 6;
    trap->error_code = 0;
    regs->rip = (uint32_t)(regs->rcx - 2);
    regs->eflags = regs->r11;
    regs->rsp = frame->rsp;
    regs->cs = GDT_USER_CODE32;
    ring3_normalise(regs);
}

void write_iret_frame(struct vcpu *v, const struct user_regs_struct *regs)
{
    struct trap_frame *frame = (struct trap_frame *)(v->area + DATA_IRET_FRAME);
    frame->rip = regs->rip;
    frame->cs = regs->cs;
    frame->eflags = ring3_eflags(regs->eflags);
    frame->rsp = regs->rsp;
    frame->ss = regs->ss;
}

/* ---------------------------------------------------------------- edits */

struct list {
    uint64_t *pairs, *end;
    uint64_t *zeroes; /* grows down from the end of the area while collecting */
    uint64_t pair_count, zero_count;
};

/* A page takes up to 256 pairs (a root that is spread out), or one word. */
static bool list_full(const struct list *list)
{
    return list->pairs + 2 * (list->pair_count + 256) >= list->end - list->zero_count - 1;
}

static void add_pair(struct list *list, const void *entry, uint64_t value)
{
    list->pairs[2 * list->pair_count] = table_gva(entry);
    list->pairs[2 * list->pair_count + 1] = value;
    list->pair_count++;
}

/* One retired page: what is present in it, or all of it. The upper half of a root stays. */
static void add_clearing(struct list *list, uint64_t pa)
{
    const uint64_t *entries = table_entries(pa);
    unsigned count = table_is_root(pa) ? 256 : 512, found = 0;
    for (unsigned i = 0; i < count && found <= FEW_ENTRIES; i++)
        found += entries[i] != 0;
    if (found > FEW_ENTRIES && count == 512) {
        *(list->end - ++list->zero_count) = table_gva(entries);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        if (entries[i])
            add_pair(list, &entries[i], 0);
    }
}

/* Takes along what ring 0 has to do: this space's edits, and some retired table pages of whatever space. True if there
 * is anything; *more: not all edits fit. */
static bool take_work(struct vcpu *v, struct mm *mm, bool *more)
{
    const uint32_t most = EDITS_AT_ONCE >> v->shorter;
    char *area = v->area + AREA_EDITS - AREA_DATA;
    struct list list = {.pairs = (uint64_t *)area, .end = (uint64_t *)(area + LIST_BYTES)};
    /* A page is up to 256 pairs: none while entries keep being interrupted. It can wait. */
    uint32_t retired = most >= FEW_ENTRIES ? tables_retired() : 0;
    *more = false;
    if (__builtin_expect(!mm->edits.count && !retired, 1))
        return false;
    if (mm->edits.count) {
        /* The list holds edits as host pointers first; the pointer and the address that ring 0 needs have the same
         * size. */
        _Static_assert(sizeof(struct edit) == 16, "a pair of address and value");
        uint32_t n = edits_take(&mm->edits, (struct edit *)area, most ? most : 1);
        for (uint32_t i = 0; i < n; i++)
            list.pairs[2 * i] = table_gva(((struct edit *)area)[i].entry);
        list.pair_count = n;
        v->editing = mm;
        mm->editor = v;
        *more = mm->edits.count != 0;
    }
    v->edit_count = (uint32_t)list.pair_count;
    if (retired) {
        v->clearing = tables_take_retired(retired > MANY_RETIRED ? CLEAR_PRESSED : CLEAR_AT_ONCE);
        struct table_list walk = v->clearing, taken = {0}, back = {0};
        for (uint64_t pa; (pa = table_list_pop(&walk));) {
            bool full = list_full(&list);
            table_list_add(full ? &back : &taken, pa);
            if (!full)
                add_clearing(&list, pa);
        }
        v->clearing = taken;
        tables_retire(&back);
    }
    memmove(list.pairs + 2 * list.pair_count, list.end - list.zero_count, list.zero_count * 8);
    *area_word(v, DATA_EDIT_COUNT) = list.pair_count;
    *area_word(v, DATA_ZERO_COUNT) = list.zero_count;
    *area_word(v, DATA_ENTRY_RSP) = v->area_gva + AREA_EDITS;
    __atomic_store_n((uint32_t *)area_word(v, DATA_EDITS_DONE), 0, __ATOMIC_RELEASE);
    return true;
}

/* The vCPU is out: what it did not get done is to do again. True if it got it done. */
static bool finish_work(struct vcpu *v)
{
    bool done = vcpu_edits_done(v);
    struct mm *mm = v->editing;
    if (mm) {
        pthread_mutex_lock(&mm->lock);
        const uint64_t *pairs = (uint64_t *)(v->area + AREA_EDITS - AREA_DATA);
        /* Nothing was changed meanwhile (mm_wait_editor), and the room is still there. */
        for (uint32_t i = 0; !done && i < v->edit_count; i++)
            edits_put(&mm->edits, table_hva(pairs[2 * i]), pairs[2 * i + 1]);
        /* If it was done, another vCPU may have taken up the next edits since. */
        if (mm->editor == v)
            mm->editor = NULL;
        v->editing = NULL;
        pthread_mutex_unlock(&mm->lock);
    }
    if (v->clearing.count) {
        if (done)
            tables_free_cleared(&v->clearing);
        else
            tables_retire(&v->clearing);
    }
    return done;
}

/* ---------------------------------------------------------------- CR3 */

/* The value for CR3 if it must be loaded, else 0. */
static uint64_t choose_cr3(struct vcpu *v, const struct mm *mm)
{
    bool pcid = kvm.cr4 & CR4_PCIDE;
    uint32_t slots = pcid ? TLB_SLOTS : 1, slot = slots;
    for (uint32_t i = 0; i < slots; i++) {
        if (v->tlb[i].serial == mm->serial)
            slot = i;
    }
    if (slot == slots)
        slot = v->tlb_victim++ % slots;
    uint64_t cr3 = mm->pt.root | (pcid ? slot + 1 : 0);
    if (v->tlb[slot].serial == mm->serial && v->tlb[slot].generation == mm->generation) {
        if (v->tlb_current == slot)
            return 0;
        cr3 |= CR3_NO_FLUSH;
    }
    v->tlb[slot].serial = mm->serial;
    v->tlb[slot].generation = mm->generation;
    v->tlb_current = slot;
    return cr3;
}

/* ---------------------------------------------------------------- stopped on the way */

/* KVM_RUN unblocks signals without running their handlers if the thread blocks them. As ppoll does, let them run. */
static void deliver_signals(const struct vcpu *v)
{
    if (!v->sigmask_set)
        return;
    sigset_t inside, before;
    sigemptyset(&inside);
    memcpy(&inside, &v->sigmask, sizeof v->sigmask);
    pthread_sigmask(SIG_SETMASK, &inside, &before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void regs_from_kvm(const struct kvm_regs *r, const struct kvm_sregs *s, struct user_regs_struct *regs)
{
    regs->rax = r->rax;
    regs->rbx = r->rbx;
    regs->rcx = r->rcx;
    regs->rdx = r->rdx;
    regs->rsi = r->rsi;
    regs->rdi = r->rdi;
    regs->rbp = r->rbp;
    regs->rsp = r->rsp;
    regs->r8 = r->r8;
    regs->r9 = r->r9;
    regs->r10 = r->r10;
    regs->r11 = r->r11;
    regs->r12 = r->r12;
    regs->r13 = r->r13;
    regs->r14 = r->r14;
    regs->r15 = r->r15;
    regs->rip = r->rip;
    regs->eflags = r->rflags;
    regs->cs = s->cs.selector;
    regs->fs_base = s->fs.base;
    regs->gs_base = s->gs.base;
    ring3_normalise(regs);
}

static const struct flavour *flavour(void)
{
    return kvm.native_ring0 ? &flavour_native : &flavour_synchronised;
}

/* An exit that KVM has not finished (MMIO) would, with new registers, run ring 3's code at CPL 0: finish it first. */
static void complete_exit(struct vcpu *v)
{
    v->kvm.run->immediate_exit = 1;
    kvm_run(&v->kvm);
    v->kvm.run->immediate_exit = 0;
}

enum settled { SETTLED_RING3, SETTLED_GO_ON, SETTLED_NOT_ENTERED, SETTLED_FAILED };

/*
 * KVM_RUN came back without an `out` of the stub. In ring 3 with nothing on its way, the registers are taken. If an
 * exception or an NMI is queued, or the stub is about to report one, the vCPU goes on until it has: dropped, it would
 * be lost; left, it would be delivered to the next context. In the stub's way in, the entry has not happened.
 */
static enum settled settle(struct vcpu *v, struct user_regs_struct *regs)
{
    struct kvm_regs r;
    struct kvm_sregs s;
    struct kvm_vcpu_events events;
    if (kvm_get_regs(&v->kvm, &r) < 0 || kvm_get_sregs(&v->kvm, &s) < 0 || kvm_get_events(&v->kvm, &events) < 0)
        return SETTLED_FAILED;
    if (events.exception.injected || events.exception.pending || events.interrupt.injected || events.nmi.injected)
        return SETTLED_GO_ON;
    /* PVM: stopped between a SYSCALL and the fault at LSTAR that stands for it. */
    if ((s.cs.selector & 3) == 3 && !kvm.native_ring0 && r.rip == v->area_gva + stub_header()->sync_syscall)
        return SETTLED_GO_ON;
    if ((s.cs.selector & 3) == 3) {
        /*
         * KVM does not tell of a queued INT3 or INTO (it could not give its length), and would deliver it to the next
         * context. RIP is still before the instruction, and so it comes again by itself. The flags say that what
         * another thread may change meanwhile, pending NMIs, is not set.
         */
        events.flags = 0;
        if (kvm_set_events(&v->kvm, &events) < 0)
            return SETTLED_FAILED;
        regs_from_kvm(&r, &s, regs);
        v->fs_base = s.fs.base;
        v->gs_base = s.gs.base;
        v->bases_known = true;
        return flavour()->bring_back(v, &s) < 0 ? SETTLED_FAILED : SETTLED_RING3;
    }
    uint64_t offset = r.rip - v->area_gva;
    if (offset >= AREA_CODE_SIZE)
        return SETTLED_FAILED;
    if (flavour()->holds_event(offset))
        return SETTLED_GO_ON;
    return flavour()->bring_back(v, NULL) < 0 ? SETTLED_FAILED : SETTLED_NOT_ENTERED;
}

/* KVM's emulator met an instruction of ring 3 that it cannot do: for the sandbox it is an undefined one. */
static enum vcpu_exit not_emulated(struct vcpu *v, struct user_regs_struct *regs, struct trap *trap)
{
    if (settle(v, regs) != SETTLED_RING3)
        return VCPU_FAILED;
    trap->vector = 6;
    trap->error_code = 0;
    return VCPU_TRAP;
}

static enum vcpu_exit mmio(struct vcpu *v, struct user_regs_struct *regs)
{
    /* The registers before the access: it is done again once there is memory, or reported. */
    struct kvm_regs r;
    struct kvm_sregs s;
    if (kvm_get_regs(&v->kvm, &r) < 0 || kvm_get_sregs(&v->kvm, &s) < 0)
        return VCPU_FAILED;
    complete_exit(v);
    struct user_regs_struct after;
    if ((s.cs.selector & 3) != 3 || settle(v, &after) != SETTLED_RING3)
        return VCPU_FAILED;
    regs_from_kvm(&r, &s, regs);
    return VCPU_MEMORY;
}

/* Runs the vCPU until ring 3 is out and nothing of it is left on its way. */
static enum vcpu_exit run_until_out(struct vcpu *v, struct user_regs_struct *regs, struct trap *trap, bool *edits_done)
{
    int failures = 0;
    for (;;) {
        int rc = kvm_run(&v->kvm);
        if (rc == 0 && v->kvm.run->exit_reason == KVM_EXIT_IO) {
            switch (flavour()->decode(v, regs, trap)) {
            case OUT_TRAP:
                return VCPU_TRAP;
            case OUT_EDITS_DONE:
                *edits_done = true;
                return VCPU_NOT_ENTERED;
            case OUT_NOT_ENTERED:
                return VCPU_NOT_ENTERED;
            case OUT_AGAIN:
                continue;
            case OUT_NONSENSE:
                return VCPU_FAILED;
            }
        }
        if (rc == 0 && v->kvm.run->exit_reason == KVM_EXIT_MMIO)
            return mmio(v, regs);
        if (rc == 0 && v->kvm.run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
            return not_emulated(v, regs, trap);
        if (rc == 0 && v->kvm.run->exit_reason != KVM_EXIT_INTR)
            return VCPU_FAILED; /* SHUTDOWN, FAIL_ENTRY: nothing that ring 3 can bring about */
        bool signal = rc == -EINTR || rc == 0;
        if (signal) {
            trap->signalled = true;
            deliver_signals(v);
        } else if (rc != -EFAULT && rc != -EAGAIN) {
            return VCPU_FAILED;
        }
        switch (settle(v, regs)) {
        case SETTLED_RING3:
            return signal ? VCPU_INTERRUPTED : VCPU_MEMORY;
        case SETTLED_NOT_ENTERED:
            return signal ? VCPU_NOT_ENTERED : VCPU_FAILED;
        case SETTLED_GO_ON:
            if (!signal && ++failures > 100)
                return VCPU_FAILED;
            continue;
        case SETTLED_FAILED:
            return VCPU_FAILED;
        }
    }
}

static enum entry_work prepare(
    struct vcpu *v, struct mm *mm, const struct user_regs_struct *regs, bool *more, struct mm **inside)
{
    pthread_mutex_lock(&mm->lock);
    mm_wait_editor(mm);
    bool edits = take_work(v, mm, more);
    uint64_t cr3 = choose_cr3(v, mm);
    if (cr3 || edits)
        *area_word(v, DATA_CR3) = cr3 ? cr3 : mm->pt.root | (kvm.cr4 & CR4_PCIDE ? v->tlb_current + 1 : 0);
    mm->loaded = true;
    __atomic_store_n(inside, mm, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&mm->lock);
    if (edits)
        return ENTRY_EDITS;
    if (cr3)
        return ENTRY_CR3;
    bool bases = v->bases_known && v->fs_base == regs->fs_base && v->gs_base == regs->gs_base;
    return bases ? ENTRY_PLAIN : ENTRY_BASES;
}

enum vcpu_exit vcpu_enter(
    struct vcpu *v, struct mm *mm, struct user_regs_struct *regs, struct trap *trap, const volatile uint32_t *kicked)
{
    enum vcpu_exit exit;
    bool more, edits_done;
    trap->signalled = false;
    trap->in_stub = false;
    do {
        edits_done = false;
        enum entry_work work = prepare(v, mm, regs, &more, &v->inside);
        flavour()->load(v, regs, work, more);
        /* A kick that comes after this look finds the vCPU running, and sends an NMI. */
        bool ran = !__atomic_load_n(kicked, __ATOMIC_SEQ_CST);
        exit = ran ? run_until_out(v, regs, trap, &edits_done) : VCPU_NOT_ENTERED;
        if (exit == VCPU_NOT_ENTERED) {
            /* Perhaps CR3 was not loaded, and the segments neither: what `load` has readied is overwritten by the next.
             */
            v->tlb[v->tlb_current].serial = 0;
            v->bases_known = false;
        }
        __atomic_store_n(&v->inside, NULL, __ATOMIC_SEQ_CST);
        __atomic_store_n(&v->runs, v->runs + 1, __ATOMIC_SEQ_CST);
        bool done = v->editing || v->clearing.count ? finish_work(v) : true;
        /*
         * What is interrupted has to be done again. Were it always as much, edits that take longer than from one tick
         * of the caller's to the next would never be done.
         */
        if (!done && ran && v->shorter < SHORTER_MOST)
            v->shorter++;
        else if (v->shorter && (exit != VCPU_NOT_ENTERED || edits_done))
            v->shorter--;
    } while (edits_done);
    if (exit == VCPU_FAILED)
        v->broken = true;
    return exit;
}
