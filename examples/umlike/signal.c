/* SPDX-License-Identifier: MIT */
/* signal: sending, delivering with the frames of Linux on x86-64, and the calls about both. */
#include "umlike.h"

#define BIT(n) (1ull << ((n)-1))
#define STOP_SIGNALS (BIT(SIGSTOP) | BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU))
#define IGNORED_BY_DEFAULT (BIT(SIGCHLD) | BIT(SIGCONT) | BIT(SIGURG) | BIT(SIGWINCH))
#define UNBLOCKABLE (BIT(SIGKILL) | BIT(SIGSTOP))
#define RED_ZONE 128
#define EFLAGS_TF 0x100ull
#define EFLAGS_DF 0x400ull
#define RSP_ALIGN 16

void signals_changed(struct process *p)
{
    p->attention = p->signals & ~p->blocked;
}

bool signal_ignored(const struct process *p, int signal)
{
    uint64_t handler = p->actions[signal - 1].handler;
    return handler == SIG_IGN || (handler == SIG_DFL && (BIT(signal) & IGNORED_BY_DEFAULT));
}

/* ---------------------------------------------------------------- sending */

void signal_send(struct process *p, int signal, struct signal_info info)
{
    uint64_t bit = BIT(signal);
    if (p->state == ZOMBIE)
        return;
    if (signal == SIGCONT)
        p->signals &= ~STOP_SIGNALS;
    if (bit & STOP_SIGNALS)
        p->signals &= ~BIT(SIGCONT);
    if (signal == SIGCONT)
        process_continue(p);
    else if (signal == SIGKILL && p->state == STOPPED)
        process_ready(p);
    if (signal_ignored(p, signal) && !((p->blocked | p->awaited) & bit))
        return;
    if (signal < 32 && !(p->signals & bit))
        p->infos[signal] = info;
    p->signals |= bit;
    signals_changed(p);
    if (p->attention || (p->awaited & bit))
        process_wake(p);
}

int signal_group(int group, int signal, struct signal_info info)
{
    int found = -ESRCH;
    for (struct process *p = all_processes, *next; p; p = next) {
        next = p->all_next;
        if (p->group != group || p->state == ZOMBIE)
            continue;
        found = 0;
        if (signal)
            signal_send(p, signal, info);
    }
    return found;
}

void signal_force(struct process *p, int signal, struct signal_info info)
{
    struct sigaction *action = &p->actions[signal - 1];
    if ((p->blocked & BIT(signal)) || action->handler == SIG_IGN) {
        action->handler = SIG_DFL;
        p->blocked &= ~BIT(signal);
    }
    p->signals &= ~BIT(signal);
    signal_send(p, signal, info);
}

void signals_exec(struct process *p)
{
    for (int i = 0; i < NSIG; i++) {
        uint64_t handler = p->actions[i].handler;
        p->actions[i] = (struct sigaction){.handler = handler == SIG_IGN ? SIG_IGN : SIG_DFL};
    }
    p->altstack = (struct sigaltstack){.flags = SS_DISABLE};
}

/* ---------------------------------------------------------------- the frame */

static bool on_altstack(const struct process *p, uint64_t sp)
{
    return !(p->altstack.flags & SS_DISABLE) && sp - p->altstack.sp <= p->altstack.size;
}

static void save_registers(struct sigcontext *sc, const registers *r)
{
    *sc = (struct sigcontext){.r8 = r->r8,
        .r9 = r->r9,
        .r10 = r->r10,
        .r11 = r->r11,
        .r12 = r->r12,
        .r13 = r->r13,
        .r14 = r->r14,
        .r15 = r->r15,
        .rdi = r->rdi,
        .rsi = r->rsi,
        .rbp = r->rbp,
        .rbx = r->rbx,
        .rdx = r->rdx,
        .rax = r->rax,
        .rcx = r->rcx,
        .rsp = r->rsp,
        .rip = r->rip,
        .eflags = r->eflags,
        .cs = (uint16_t)r->cs,
        .ss = (uint16_t)r->ss};
}

static void restore_registers(registers *r, const struct sigcontext *sc)
{
    r->r8 = sc->r8;
    r->r9 = sc->r9;
    r->r10 = sc->r10;
    r->r11 = sc->r11;
    r->r12 = sc->r12;
    r->r13 = sc->r13;
    r->r14 = sc->r14;
    r->r15 = sc->r15;
    r->rdi = sc->rdi;
    r->rsi = sc->rsi;
    r->rbp = sc->rbp;
    r->rbx = sc->rbx;
    r->rdx = sc->rdx;
    r->rax = sc->rax;
    r->rcx = sc->rcx;
    r->rsp = sc->rsp;
    r->rip = sc->rip;
    r->eflags = sc->eflags; /* the run takes out what ring 3 may not have */
}

/* The XSAVE area, with the marks by which Linux and programs tell it from a shorter one. */
static int push_fpu(struct process *p, uint64_t *sp)
{
    size_t size = polder_xstate_size();
    char *area = fpu_state;
    int error = fpu_save(p);
    if (error)
        return error;
    uint32_t end = FP_XSTATE_MAGIC2;
    struct fp_sw sw = {.magic1 = FP_XSTATE_MAGIC1,
        .extended_size = (uint32_t)(size + sizeof end),
        .features = ~0ull,
        .size = (uint32_t)size};
    memcpy(area + FP_SW_OFFSET, &sw, sizeof sw);
    memcpy(area + size, &end, sizeof end);
    *sp = (*sp - size - sizeof end) & ~63ull;
    return copy_out(p, *sp, area, size + sizeof end);
}

static int push_frame(struct process *p, int signal, const struct sigaction *action)
{
    registers *r = &p->params.regs;
    const struct signal_info *info = signal < 32 ? &p->infos[signal] : NULL;
    uint64_t sp = r->rsp - RED_ZONE;
    struct sigframe frame = {.restorer = action->restorer};
    if (!(action->flags & SA_RESTORER))
        return -EFAULT;
    if ((action->flags & SA_ONSTACK) && !(p->altstack.flags & SS_DISABLE) && !on_altstack(p, r->rsp))
        sp = p->altstack.sp + p->altstack.size;
    int error = push_fpu(p, &sp);
    if (error)
        return error;
    save_registers(&frame.uc.mcontext, r);
    frame.uc.flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
    frame.uc.stack = p->altstack;
    frame.uc.mcontext.fpstate = sp;
    frame.uc.sigmask = p->restore_blocked ? p->blocked_before : p->blocked;
    frame.info.signo = signal;
    if (info && info->code > 0 && info->address) {
        frame.info.address = frame.uc.mcontext.cr2 = info->address;
    } else if (info) {
        frame.info.child.pid = info->pid;
        frame.info.child.status = info->status;
    }
    frame.info.code = info ? info->code : SI_USER;
    /* As if called: the return address is on the stack. */
    sp = ((sp - sizeof frame) & ~(RSP_ALIGN - 1ull)) - 8;
    error = copy_out(p, sp, &frame, sizeof frame);
    if (error)
        return error;
    r->rip = action->handler;
    r->rsp = sp;
    r->rdi = (uint64_t)signal;
    r->rsi = sp + offsetof(struct sigframe, info);
    r->rdx = sp + offsetof(struct sigframe, uc);
    r->rax = 0;
    r->eflags &= ~(EFLAGS_DF | EFLAGS_TF);
    return 0;
}

HANDLER(rt_sigreturn)
{
    struct sigframe frame;
    uint64_t at = r->rsp - 8;
    int error = copy_in(p, &frame, at, sizeof frame);
    if (!error && frame.uc.mcontext.fpstate) {
        size_t size = polder_xstate_size();
        error = copy_in(p, fpu_state, frame.uc.mcontext.fpstate, size);
        error = error ? error : fpu_load(p);
    }
    if (error) {
        signal_force(p, SIGSEGV, (struct signal_info){.code = SI_KERNEL});
        return 0;
    }
    restore_registers(r, &frame.uc.mcontext);
    p->blocked = frame.uc.sigmask & ~UNBLOCKABLE;
    p->altstack = frame.uc.stack;
    signals_changed(p);
    return (int64_t)r->rax;
}

/* ---------------------------------------------------------------- delivering */

/* A call that a signal interrupted is made again, unless a handler that does not want that runs. */
static void maybe_restart(struct process *p, const struct sigaction *action)
{
    unsigned flags = p->interrupted;
    if (!flags)
        return;
    p->interrupted = 0;
    if (action && ((flags - 1) & WAIT_NO_RESTART || !(action->flags & SA_RESTART)))
        return;
    p->params.regs.rax = p->params.regs.orig_rax;
    p->params.regs.rip -= 2;
}

static void handle(struct process *p, int signal)
{
    struct sigaction *slot = &p->actions[signal - 1], action = *slot;
    maybe_restart(p, &action);
    if (push_frame(p, signal, &action)) {
        process_exit(p, SIGSEGV);
        return;
    }
    if (action.flags & SA_RESETHAND)
        slot->handler = SIG_DFL;
    p->restore_blocked = false;
    p->blocked |= action.mask | (action.flags & SA_NODEFER ? 0 : BIT(signal));
    p->blocked &= ~UNBLOCKABLE;
}

bool signal_deliver(struct process *p)
{
    uint64_t ready;
    while (p->state == RUNNABLE && (ready = p->signals & ~p->blocked)) {
        int signal = ready & BIT(SIGKILL) ? SIGKILL : __builtin_ctzll(ready) + 1;
        p->signals &= ~BIT(signal);
        if (signal_ignored(p, signal))
            continue;
        if (p->actions[signal - 1].handler != SIG_DFL) {
            handle(p, signal);
        } else if (BIT(signal) & STOP_SIGNALS) {
            maybe_restart(p, NULL);
            process_stop(p, signal);
        } else {
            process_exit(p, signal);
            return false;
        }
    }
    if (p->state == ZOMBIE)
        return false;
    if (p->restore_blocked && p->state == RUNNABLE) {
        p->restore_blocked = false;
        p->blocked = p->blocked_before;
    }
    maybe_restart(p, NULL);
    signals_changed(p);
    return p->state == RUNNABLE;
}

/* ---------------------------------------------------------------- calls */

static bool valid(int signal)
{
    return signal >= 1 && signal <= NSIG;
}

HANDLER(rt_sigaction)
{
    int signal = (int)r->rdi;
    struct sigaction new, old;
    if (!valid(signal) || r->r10 != sizeof(uint64_t))
        return -EINVAL;
    old = p->actions[signal - 1];
    if (r->rsi) {
        int error = copy_in(p, &new, r->rsi, sizeof new);
        if (error)
            return error;
        if (BIT(signal) & UNBLOCKABLE)
            return -EINVAL;
        p->actions[signal - 1] = new;
        if (signal_ignored(p, signal)) {
            p->signals &= ~BIT(signal);
            signals_changed(p);
        }
    }
    return r->rdx ? copy_out(p, r->rdx, &old, sizeof old) : 0;
}

HANDLER(rt_sigprocmask)
{
    uint64_t set, old = p->blocked;
    if (r->r10 != sizeof set)
        return -EINVAL;
    if (r->rsi) {
        int error = copy_in(p, &set, r->rsi, sizeof set);
        if (error)
            return error;
        switch (r->rdi) {
        case SIG_BLOCK:
            p->blocked |= set;
            break;
        case SIG_UNBLOCK:
            p->blocked &= ~set;
            break;
        case SIG_SETMASK:
            p->blocked = set;
            break;
        default:
            return -EINVAL;
        }
        p->blocked &= ~UNBLOCKABLE;
        signals_changed(p);
    }
    return r->rdx ? copy_out(p, r->rdx, &old, sizeof old) : 0;
}

HANDLER(rt_sigpending)
{
    uint64_t set = p->signals & p->blocked;
    return copy_out(p, r->rdi, &set, sizeof set);
}

HANDLER(rt_sigsuspend)
{
    uint64_t set;
    if (!p->call.pending) {
        int error = copy_in(p, &set, r->rdi, sizeof set);
        if (error)
            return error;
        p->blocked_before = p->blocked;
        p->restore_blocked = true;
        p->blocked = set & ~UNBLOCKABLE;
        signals_changed(p);
    }
    return wait_on(p, NULL, WAIT_NO_RESTART);
}

HANDLER(pause)
{
    (void)r;
    return wait_on(p, NULL, WAIT_NO_RESTART);
}

HANDLER(rt_sigtimedwait)
{
    uint64_t set, ns, until = UINT64_MAX;
    int error = copy_in(p, &set, r->rdi, sizeof set);
    if (error)
        return error;
    uint64_t ready = p->signals & set;
    p->awaited = 0;
    if (ready) {
        int signal = __builtin_ctzll(ready) + 1;
        struct siginfo info = {.signo = signal};
        if (signal < 32) {
            info.code = p->infos[signal].code;
            info.child.pid = p->infos[signal].pid;
            info.child.status = p->infos[signal].status;
        }
        p->signals &= ~BIT(signal);
        signals_changed(p);
        if (r->rsi && copy_out(p, r->rsi, &info, sizeof info))
            return -EFAULT;
        return signal;
    }
    if (p->call.expired)
        return -EAGAIN;
    if (!p->call.pending && r->rdx) {
        error = timespec_in(p, r->rdx, &ns);
        if (error)
            return error;
        if (ns == 0)
            return -EAGAIN;
        until = time_now() + ns;
    }
    p->awaited = set;
    return wait_until(p, NULL, WAIT_NO_RESTART, until);
}

HANDLER(sigaltstack)
{
    struct sigaltstack new, old = p->altstack;
    if (on_altstack(p, r->rsp))
        old.flags |= SS_ONSTACK;
    if (r->rdi) {
        int error = copy_in(p, &new, r->rdi, sizeof new);
        if (error)
            return error;
        if (on_altstack(p, r->rsp))
            return -EPERM;
        if (!(new.flags &SS_DISABLE) && new.size < MINSIGSTKSZ)
            return -ENOMEM;
        new.flags &= SS_DISABLE;
        p->altstack = new;
    }
    return r->rsi ? copy_out(p, r->rsi, &old, sizeof old) : 0;
}

static int send_to_all(struct process *p, int signal, struct signal_info info)
{
    int found = -ESRCH;
    for (struct process *other = all_processes, *next; other; other = next) {
        next = other->all_next;
        if (other == init_process || other == p || other->state == ZOMBIE)
            continue;
        found = 0;
        if (signal)
            signal_send(other, signal, info);
    }
    return found;
}

HANDLER(kill)
{
    int pid = (int)r->rdi, signal = (int)r->rsi;
    struct signal_info info = {.code = SI_USER, .pid = p->pid};
    if (signal && !valid(signal))
        return -EINVAL;
    if (pid == -1)
        return send_to_all(p, signal, info);
    if (pid <= 0)
        return signal_group(pid ? -pid : p->group, signal, info);
    struct process *other = process_find(pid);
    if (!other)
        return -ESRCH;
    if (signal)
        signal_send(other, signal, info);
    return 0;
}

static int64_t kill_thread(struct process *p, int tid, int signal)
{
    struct process *other = process_find(tid);
    if (!valid(signal))
        return -EINVAL;
    if (!other)
        return -ESRCH;
    signal_send(other, signal, (struct signal_info){.code = SI_TKILL, .pid = p->pid});
    return 0;
}

HANDLER(tkill)
{
    return kill_thread(p, (int)r->rdi, (int)r->rsi);
}

HANDLER(tgkill)
{
    return kill_thread(p, (int)r->rsi, (int)r->rdx);
}
