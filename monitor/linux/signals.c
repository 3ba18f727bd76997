/* SPDX-License-Identifier: MIT */
#include "linux/signals.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "linux/report.h"
#include "linux/task.h"
#include "linux/user.h"

#define SIGNALS 64
#define MASK_SIZE 8
#define RED_ZONE 128
#define SA_RESTORER_ 0x04000000ull
#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif
#define UC_FP_XSTATE 1
#define UC_SIGCONTEXT_SS 2
#define UC_STRICT_RESTORE_SS 4

/*
 * The one number that libc gives to nobody and that this process, which has one thread, never gets for libc's reasons:
 * it interrupts a host call again and again until what has arrived is seen.
 */
#define SIG_POKE 33
#define POKE_FIRST_NS 1000000
#define POKE_AGAIN_NS 10000000

static uint64_t bit(int sig)
{
    return 1ull << (sig - 1);
}

#define NEVER_BLOCKED (1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1))

/* What has arrived and has not been delivered. Written by the host handler with all signals blocked. */
static struct {
    siginfo_t info[SIGNALS];
    /* It came during a host call: if that call had a mask of its own (ppoll), it decides, and it let this one through.
     */
    bool let_through[SIGNALS];
    volatile sig_atomic_t count;
    volatile sig_atomic_t in_call; /* a host call is under way */
    volatile sig_atomic_t poking;  /* the timer below runs */
    int timer;
    struct polder_params *params;
} arrived;

static void host_mask(uint64_t mask)
{
    mask &= ~bit(SIG_POKE);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, MASK_SIZE);
}

/* libc would keep its own numbers from us and add its own restorer; the kernel wants one. */
extern void signals_restorer(void);
__asm__(".pushsection .text\n"
        ".type signals_restorer, @function\n"
        "signals_restorer:\n"
        "    mov $15, %eax\n"
        "    syscall\n"
        ".size signals_restorer, . - signals_restorer\n"
        ".popsection\n");

static int host_action(int sig, uintptr_t handler, uint64_t flags)
{
    struct signal_action action = {
        .handler = handler,
        .flags = flags | SA_RESTORER_,
        .restorer = (uintptr_t)signals_restorer,
        .mask = sig == SIG_POKE ? 0 : ~bit(SIG_POKE),
    };
    return syscall(SYS_rt_sigaction, sig, &action, NULL, MASK_SIZE) == 0 ? 0 : -errno;
}

static void poked(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info, (void)context;
}

/*
 * The host call may not have begun yet when the signal arrives, and would then block for good: a timer interrupts it
 * until signals_call_end. (To look at where the signal hit instead would need to know the instruction inside of
 * polder_proceed.)
 */
static void start_poking(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIG_POKE};
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    int timer;
    if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer) != 0)
        return;
    struct itimerspec when = {.it_value.tv_nsec = POKE_FIRST_NS, .it_interval.tv_nsec = POKE_AGAIN_NS};
    syscall(SYS_timer_settime, timer, 0, &when, NULL);
    arrived.timer = timer;
    arrived.poking = 1;
}

static bool is_fault(int sig)
{
    return sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE || sig == SIGTRAP || sig == SIGSYS;
}

/* The host's handler for every signal that the program has one for. */
static void record(int sig, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    if (info->si_code > 0 && is_fault(sig)) {
        /* Not the program's: the monitor itself is at fault. Die of it at the same instruction. */
        host_action(sig, (uintptr_t)SIG_DFL, 0);
        errno = saved_errno;
        return;
    }
    if ((size_t)arrived.count < sizeof(arrived.info) / sizeof(arrived.info[0])) {
        arrived.info[arrived.count] = *info;
        arrived.let_through[arrived.count] = arrived.in_call;
        arrived.count = arrived.count + 1;
    }
    polder_kick(arrived.params);
    if (arrived.in_call && !arrived.poking)
        start_poking();
    /* Until this one is delivered the kernel keeps the others: it has the longer queue, and the right order. */
    uint64_t all = ~bit(SIG_POKE);
    memcpy(&((ucontext_t *)context)->uc_sigmask, &all, sizeof(all));
    errno = saved_errno;
}

bool signals_call_begin(void)
{
    arrived.in_call = 1;
    if (arrived.count == 0)
        return true;
    signals_call_end();
    return false;
}

void signals_call_end(void)
{
    arrived.in_call = 0;
    if (arrived.poking) {
        syscall(SYS_timer_delete, arrived.timer);
        arrived.poking = 0;
    }
}

static bool default_kills(int sig)
{
    switch (sig) {
    case SIGCHLD:
    case SIGURG:
    case SIGWINCH:
    case SIGCONT:
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
        return false;
    default:
        return true;
    }
}

/* Makes the host's disposition of sig what the program's is. */
static int set_host(struct task *task, int sig)
{
    const struct signal_action *action = &task->action[sig];
    if (sig == SIG_POKE || sig == SIGKILL || sig == SIGSTOP)
        return 0;
    if (action->handler == (uintptr_t)SIG_IGN)
        return host_action(sig, (uintptr_t)SIG_IGN, 0);
    /* Someone who wants to hear of the program's death must hear of it before the host carries it out. */
    if (action->handler == (uintptr_t)SIG_DFL && !(task->hooks->killed && default_kills(sig)))
        return host_action(sig, (uintptr_t)SIG_DFL, action->flags & (SA_NOCLDSTOP | SA_NOCLDWAIT));
    return host_action(sig, (uintptr_t)record, SA_SIGINFO | (action->flags & (SA_NOCLDSTOP | SA_NOCLDWAIT)));
}

int signals_start(struct task *task)
{
    arrived.params = &task->params;
    if (syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &task->mask, MASK_SIZE) != 0)
        return -errno;
    int r = host_action(SIG_POKE, (uintptr_t)poked, SA_SIGINFO);
    for (int sig = 1; sig <= SIGNALS && r == 0; sig++) {
        if (sig == SIG_POKE)
            continue;
        struct signal_action action;
        if (syscall(SYS_rt_sigaction, sig, NULL, &action, MASK_SIZE) != 0)
            return -errno;
        /* exec has made every handler SIG_DFL; what is ignored is inherited. */
        if (action.handler == (uintptr_t)SIG_IGN)
            task->action[sig].handler = (uintptr_t)SIG_IGN;
        else if (task->hooks->killed)
            r = set_host(task, sig);
    }
    host_mask(task->mask);
    return r;
}

void signals_exec(struct task *task)
{
    for (int sig = 1; sig <= SIGNALS; sig++) {
        bool ignored = task->action[sig].handler == (uintptr_t)SIG_IGN;
        bool handled = !ignored && task->action[sig].handler != (uintptr_t)SIG_DFL;
        task->action[sig] = (struct signal_action){.handler = ignored ? (uintptr_t)SIG_IGN : (uintptr_t)SIG_DFL};
        if (handled)
            set_host(task, sig);
    }
    task->alt_stack = (struct signal_stack){.flags = SS_DISABLE};
}

void signals_hold(void)
{
    host_mask(~0ull);
}

void signals_release(struct task *task)
{
    host_mask(task->mask);
}

_Noreturn void signals_die(int sig)
{
    host_action(sig, (uintptr_t)SIG_DFL, 0);
    host_mask(~bit(sig));
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), sig);
    /* Only a pid namespace's first process outlives that. */
    _exit(128 + sig);
}

long signals_sigaction(struct task *task, uint64_t number, uint64_t act, uint64_t old, uint64_t size)
{
    int sig = (int)number;
    struct signal_action action, previous;
    if (size != MASK_SIZE || sig < 1 || sig > SIGNALS)
        return -EINVAL;
    if (act != 0 && user_get(task->mm_fd, &action, sizeof(action), act) != 0)
        return -EFAULT;
    if (act != 0 && (sig == SIGKILL || sig == SIGSTOP))
        return -EINVAL;
    previous = task->action[sig];
    if (act != 0) {
        action.mask &= ~NEVER_BLOCKED;
        task->action[sig] = action;
        int r = set_host(task, sig);
        if (r != 0) {
            task->action[sig] = previous;
            return r;
        }
    }
    if (old != 0 && user_put(task->mm_fd, &previous, sizeof(previous), old) != 0)
        return -EFAULT;
    return 0;
}

long signals_sigprocmask(struct task *task, uint64_t how, uint64_t set, uint64_t old, uint64_t size)
{
    uint64_t mask = 0, previous = task->mask;
    if (size != MASK_SIZE)
        return -EINVAL;
    if (set != 0) {
        if (user_get(task->mm_fd, &mask, sizeof(mask), set) != 0)
            return -EFAULT;
        switch ((int)how) {
        case SIG_BLOCK:
            mask |= task->mask;
            break;
        case SIG_UNBLOCK:
            mask = task->mask & ~mask;
            break;
        case SIG_SETMASK:
            break;
        default:
            return -EINVAL;
        }
        mask &= ~NEVER_BLOCKED;
        if (mask != task->mask) {
            task->mask = mask;
            host_mask(mask);
        }
    }
    if (old != 0 && user_put(task->mm_fd, &previous, sizeof(previous), old) != 0)
        return -EFAULT;
    return 0;
}

static bool on_stack(const struct signal_stack *stack, uint64_t sp)
{
    return !(stack->flags & SS_AUTODISARM) && sp > stack->sp && sp - stack->sp <= stack->size;
}

static long set_stack(struct task *task, const struct signal_stack *new, uint64_t sp)
{
    if (on_stack(&task->alt_stack, sp))
        return -EPERM;
    int32_t mode = (int32_t)((uint32_t) new->flags & ~SS_AUTODISARM);
    if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
        return -EINVAL;
    if (mode == SS_DISABLE) {
        task->alt_stack = (struct signal_stack){.flags = new->flags};
        return 0;
    }
    if (new->size < 2048) /* Linux's MINSIGSTKSZ, which libc makes a function */
        return -ENOMEM;
    task->alt_stack = *new;
    return 0;
}

long signals_sigaltstack(struct task *task, uint64_t stack, uint64_t old)
{
    uint64_t sp = task->params.regs.rsp;
    struct signal_stack new, previous = task->alt_stack;
    if (stack != 0 && user_get(task->mm_fd, &new, sizeof(new), stack) != 0)
        return -EFAULT;
    if (previous.size == 0)
        previous.flags = SS_DISABLE;
    else
        previous.flags =
            (int32_t)((uint32_t)previous.flags & SS_AUTODISARM) | (on_stack(&previous, sp) ? SS_ONSTACK : 0);
    previous.pad = 0;
    if (stack != 0) {
        long r = set_stack(task, &new, sp);
        if (r != 0)
            return r;
    }
    if (old != 0 && user_put(task->mm_fd, &previous, sizeof(previous), old) != 0)
        return -EFAULT;
    return 0;
}

long signals_sigpending(struct task *task, uint64_t set, uint64_t size)
{
    uint64_t pending;
    if (size > MASK_SIZE)
        return -EINVAL;
    if (syscall(SYS_rt_sigpending, &pending, MASK_SIZE) != 0)
        return -errno;
    pending &= task->mask;
    return user_put(task->mm_fd, &pending, size, set);
}

long signals_sigsuspend(struct task *task, uint64_t set, uint64_t size)
{
    uint64_t mask;
    if (size != MASK_SIZE)
        return -EINVAL;
    if (user_get(task->mm_fd, &mask, sizeof(mask), set) != 0)
        return -EFAULT;
    mask &= ~bit(SIG_POKE);
    if (signals_call_begin()) {
        syscall(SYS_rt_sigsuspend, &mask, MASK_SIZE);
        signals_call_end();
    }
    return -EINTR;
}

long signals_pause(struct task *task)
{
    (void)task;
    if (signals_call_begin()) {
        syscall(SYS_pause);
        signals_call_end();
    }
    return -EINTR;
}

long signals_sigtimedwait(struct task *task, uint64_t set, uint64_t info_at, uint64_t timeout_at, uint64_t size)
{
    uint64_t mask;
    struct timespec timeout;
    siginfo_t info;
    if (size != MASK_SIZE)
        return -EINVAL;
    if (user_get(task->mm_fd, &mask, sizeof(mask), set) != 0 ||
        (timeout_at != 0 && user_get(task->mm_fd, &timeout, sizeof(timeout), timeout_at) != 0))
        return -EFAULT;
    mask &= ~bit(SIG_POKE);
    long r = -1;
    errno = EINTR;
    if (signals_call_begin()) {
        r = syscall(SYS_rt_sigtimedwait, &mask, &info, timeout_at ? &timeout : NULL, MASK_SIZE);
        int error = errno;
        signals_call_end();
        errno = error;
    }
    if (r < 0)
        return -errno;
    if (info_at != 0 && user_put(task->mm_fd, &info, sizeof(info), info_at) != 0)
        return -EFAULT;
    return r;
}

/* A run that a kick ends before it begins: the registers do not change, the library puts the state into task->xstate.
 */
const void *signals_xstate(struct task *task)
{
    struct polder_params *params = &task->params;
    struct polder_params before = *params;
    polder_kick(params);
    params->flags |= POLDER_XSTATE_STORE;
    polder_run_sandbox(task->mm_fd, params);
    params->flags &= ~POLDER_XSTATE_STORE;
    params->regs = before.regs;
    params->reason = before.reason;
    params->vector = before.vector;
    params->error_code = before.error_code;
    params->fault_addr = before.fault_addr;
    return task->xstate;
}

/* False if the program's stack does not take the frame. */
static bool enter_handler(struct task *task, const siginfo_t *info)
{
    int sig = info->si_signo;
    struct signal_action action = task->action[sig];
    struct user_regs_struct *regs = &task->params.regs;
    struct signal_stack *alt = &task->alt_stack;
    uint64_t sp = regs->rsp - RED_ZONE;
    if ((action.flags & SA_ONSTACK) && alt->size != 0 && !on_stack(alt, regs->rsp))
        sp = alt->sp + alt->size;
    uint64_t frame_at, xstate_at;
    if (!(action.flags & SA_RESTORER_) || !frame_place(sp, &task->xstate_parts, &frame_at, &xstate_at))
        return false;
    /* A handler that has left its signal stack downwards must not write below it. */
    if (on_stack(alt, regs->rsp) && frame_at < alt->sp)
        return false;

    struct frame frame = {.restorer = action.restorer, .info = *info};
    struct frame_context *context = &frame.context;
    frame_fill(context, regs);
    context->flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
    context->stack = *alt;
    if (alt->size == 0)
        context->stack.flags = SS_DISABLE;
    context->err = task->fault_err;
    context->trapno = task->fault_trapno;
    context->cr2 = task->fault_addr;
    context->oldmask = context->mask = task->mask;
    context->fpstate = xstate_at;
    size_t xstate_size = task->xstate_parts.size + sizeof(uint32_t);
    uint8_t *area = malloc(xstate_size);
    if (!area)
        return false;
    memcpy(area, signals_xstate(task), task->xstate_parts.size);
    frame_mark_xstate(area, &task->xstate_parts);
    bool put = user_put(task->mm_fd, area, xstate_size, xstate_at) == 0 &&
               user_put(task->mm_fd, &frame, sizeof(frame), frame_at) == 0;
    free(area);
    if (!put)
        return false;

    if ((uint32_t)alt->flags & SS_AUTODISARM)
        *alt = (struct signal_stack){.flags = SS_DISABLE};
    regs->rdi = (uint64_t)sig;
    regs->rsi = frame_at + offsetof(struct frame, info);
    regs->rdx = frame_at + offsetof(struct frame, context);
    regs->rax = 0;
    regs->rsp = frame_at;
    regs->rip = action.handler;
    regs->eflags &= ~0x10500ull; /* DF, RF and TF, as Linux does */
    regs->orig_rax = -1ull;

    task->mask |= action.mask;
    if (!(action.flags & SA_NODEFER))
        task->mask |= bit(sig);
    task->mask &= ~NEVER_BLOCKED;
    if (action.flags & SA_RESETHAND) {
        task->action[sig].handler = (uintptr_t)SIG_DFL;
        set_host(task, sig);
    }
    return true;
}

static _Noreturn void killed_by(struct task *task, int sig)
{
    if (task->hooks->killed)
        task->hooks->killed(task->opaque, sig, false);
    signals_die(sig);
}

static void hear(struct task *task, const siginfo_t *info)
{
    if (task->hooks->signal)
        task->hooks->signal(task->opaque, info);
}

/* No frame could be made, or none was found: Linux kills with SIGSEGV whatever the program wanted. */
static _Noreturn void bad_frame(struct task *task)
{
    siginfo_t info = {.si_signo = SIGSEGV, .si_code = SI_KERNEL};
    hear(task, &info);
    report_death(task, &info);
    killed_by(task, SIGSEGV);
}

void signals_fault(struct task *task, const siginfo_t *info)
{
    int sig = info->si_signo;
    uint64_t handler = task->action[sig].handler;
    hear(task, info);
    if (handler == (uintptr_t)SIG_DFL || handler == (uintptr_t)SIG_IGN || (task->mask & bit(sig))) {
        report_death(task, info);
        killed_by(task, sig);
    }
    if (!enter_handler(task, info))
        bad_frame(task);
    host_mask(arrived.count != 0 ? ~0ull : task->mask);
}

/* Linux never makes these again after a handler has run, whatever SA_RESTART says: signal(7). */
static bool restartable(long number)
{
    switch (number) {
    case SYS_pause:
    case SYS_rt_sigsuspend:
    case SYS_rt_sigtimedwait:
    case SYS_poll:
    case SYS_ppoll:
    case SYS_select:
    case SYS_pselect6:
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
    case SYS_msgrcv:
    case SYS_msgsnd:
    case SYS_semop:
    case SYS_semtimedop:
    case SYS_io_getevents:
    case SYS_io_pgetevents:
    case SYS_getrandom:
    case SYS_close:
        return false;
    default:
        return number >= 0;
    }
}

/* The place in the queue of the first that may be delivered, or -1. */
static int next_arrived(const struct task *task)
{
    for (int i = 0; i < arrived.count; i++)
        if (arrived.let_through[i] || !(task->mask & bit(arrived.info[i].si_signo)))
            return i;
    return -1;
}

bool signals_waiting(void)
{
    return arrived.count != 0;
}

void signals_deliver(struct task *task, long was_call)
{
    if (arrived.count == 0)
        return;
    host_mask(~0ull);
    int i;
    while ((i = next_arrived(task)) >= 0) {
        siginfo_t info = arrived.info[i];
        int sig = info.si_signo;
        for (arrived.count--; i < arrived.count; i++)
            arrived.info[i] = arrived.info[i + 1];
        memset(arrived.let_through, 0, sizeof(arrived.let_through)); /* a handler's mask holds for all others */
        const struct signal_action *action = &task->action[sig];
        if (action->handler == (uintptr_t)SIG_IGN || (action->handler == (uintptr_t)SIG_DFL && !default_kills(sig)))
            continue;
        hear(task, &info);
        if (action->handler == (uintptr_t)SIG_DFL)
            killed_by(task, sig);
        if (was_call >= 0 && restartable(was_call) && (action->flags & SA_RESTART)) {
            task->params.regs.rax = (uint64_t)was_call;
            task->params.regs.rip -= 2; /* SYSCALL is two bytes */
        }
        was_call = -1; /* the first handler decides */
        if (!enter_handler(task, &info))
            bad_frame(task);
    }
    /*
     * What the handler's own mask now blocks goes back to the kernel, where a sigsuspend, a signalfd or a later
     * unblocking finds it.
     */
    host_mask(task->mask);
    for (i = 0; i < arrived.count; i++)
        if (syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), arrived.info[i].si_signo, &arrived.info[i]))
            syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), arrived.info[i].si_signo);
    arrived.count = 0;
}

void signals_sigreturn(struct task *task)
{
    struct user_regs_struct *regs = &task->params.regs;
    struct frame frame;
    /* The handler's return took the restorer's address off the stack. */
    if (user_get(task->mm_fd, &frame, sizeof(frame), regs->rsp - 8) != 0)
        bad_frame(task);
    size_t size = task->xstate_parts.size;
    memset(task->xstate, 0, size);
    /* No area: the state that a new program has. */
    uint16_t control = 0x37f;
    uint32_t mxcsr = 0x1f80;
    memcpy(task->xstate, &control, sizeof(control));
    memcpy((char *)task->xstate + 24, &mxcsr, sizeof(mxcsr));
    if (frame.context.fpstate != 0) {
        uint8_t *area = calloc(1, size + sizeof(uint32_t));
        if (!area)
            bad_frame(task);
        /* An area without our marks may be shorter, as FXSAVE has it. */
        if (user_get(task->mm_fd, area, size + sizeof(uint32_t), frame.context.fpstate) != 0 &&
            user_get(task->mm_fd, area, 512, frame.context.fpstate) != 0)
            bad_frame(task);
        frame_clean_xstate(area, &task->xstate_parts);
        memcpy(task->xstate, area, size);
        free(area);
    }
    task->params.flags |= POLDER_XSTATE_LOAD; /* the loop takes the flag away after the run */
    frame_take(regs, &frame.context);
    task->mask = frame.context.mask & ~NEVER_BLOCKED;
    set_stack(task, &frame.context.stack, regs->rsp);
    host_mask(task->mask);
}
