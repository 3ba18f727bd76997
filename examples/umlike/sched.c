/* SPDX-License-Identifier: MIT */
/*
 * sched: who runs, who waits. Round robin: a process runs until it waits, or until a slice is over and another one
 * wants to run. The slice is the machine's timer, set when somebody begins to run; until it fires, system calls and
 * switches between processes cost no exit.
 */
#include "umlike.h"
#include <polder/abi.h>

static struct queue run_queue;
static bool ticking; /* the timer is set for the end of a slice */
struct queue poll_queue;

/* ---------------------------------------------------------------- queues */

static void queue_add(struct queue *queue, struct process *p)
{
    p->queue = queue;
    p->next = NULL;
    p->previous = queue->last;
    if (queue->last)
        queue->last->next = p;
    else
        queue->first = p;
    queue->last = p;
}

void queue_remove(struct process *p)
{
    struct queue *queue = p->queue;
    if (!queue)
        return;
    if (p->next)
        p->next->previous = p->previous;
    else
        queue->last = p->previous;
    if (p->previous)
        p->previous->next = p->next;
    else
        queue->first = p->next;
    p->queue = NULL;
}

void process_ready(struct process *p)
{
    p->state = RUNNABLE;
    queue_add(&run_queue, p);
}

void process_wake(struct process *p)
{
    if (p->state != WAITING)
        return;
    queue_remove(p);
    process_ready(p);
}

void queue_wake(struct queue *queue)
{
    while (queue->first)
        process_wake(queue->first);
    if (queue != &poll_queue && poll_queue.first)
        queue_wake(&poll_queue);
}

int64_t wait_on(struct process *p, struct queue *queue, unsigned flags)
{
    p->state = WAITING;
    p->call.flags = (uint8_t)flags;
    if (queue)
        queue_add(queue, p);
    return BLOCKED;
}

static void timed_out(struct process *p)
{
    p->call.expired = true;
    process_wake(p);
}

int64_t wait_until(struct process *p, struct queue *queue, unsigned flags, uint64_t at)
{
    p->timeout.process = p;
    p->timeout.fire = timed_out;
    if (at != UINT64_MAX && !p->timeout.at)
        timer_set(&p->timeout, at);
    return wait_on(p, queue, flags);
}

void call_end(struct process *p)
{
    timer_cancel(&p->timeout);
    p->call = (struct call){0};
}

/* ---------------------------------------------------------------- running */

static void tick(void)
{
    ticking = false;
    time_now();
    timers_run();
    if (tty_wants_input())
        tty_poll();
}

static void idle(void)
{
    uint64_t next = timers_next(), now = time_coarse();
    ticking = false;
    polder_timer(next == UINT64_MAX ? next : next > now ? next - now : 1);
    polder_idle(tty_wants_input());
    tick();
}

static void fault(struct process *p)
{
    /* Vectors 0 to 19: what Linux makes of them. */
    static const uint8_t signals[] = {SIGFPE, SIGTRAP, SIGSEGV, SIGTRAP, SIGSEGV, SIGSEGV, SIGILL, SIGSEGV, SIGSEGV,
        SIGFPE, SIGSEGV, SIGBUS, SIGBUS, SIGSEGV, SIGSEGV, SIGSEGV, SIGFPE, SIGBUS, SIGSEGV, SIGFPE};
    const struct polder_params *params = &p->params;
    if (params->reason == POLDER_BUS) {
        signal_force(p, SIGBUS, (struct signal_info){.code = BUS_ADRERR, .address = params->fault_addr});
    } else if (params->reason == POLDER_PAGE_FAULT) {
        int code = params->error_code & 1 ? SEGV_ACCERR : SEGV_MAPERR;
        signal_force(p, SIGSEGV, (struct signal_info){.code = code, .address = params->fault_addr});
    } else {
        int signal = params->vector < sizeof signals ? signals[params->vector] : SIGSEGV;
        signal_force(p, signal, (struct signal_info){.code = SI_KERNEL});
    }
}

/*
 * p has touched memory that it was promised and that cannot be had. It has to go; if it is the first process, so that
 * the machine would end, the youngest goes in its place. True if p can try again.
 */
static bool make_room(struct process *p)
{
    struct process *victim = p == init_process && errno == ENOMEM ? all_processes : p;
    while (victim->state == ZOMBIE)
        victim = victim->all_next;
    printk("umlike: %s (%d) killed: %s\n", victim->name, victim->pid, errno == ENOMEM ? "out of memory" : "cannot run");
    process_exit(victim, SIGKILL);
    return victim != p;
}

/* Until p waits, ends, or is out of time. */
static void run(struct process *p)
{
    if (p->call.pending)
        syscall_retry(p);
    for (;;) {
        if (__builtin_expect(p->state != RUNNABLE || p->queue, 0))
            return;
        if (__builtin_expect(p->attention, 0) && !signal_deliver(p))
            return;
        if (__builtin_expect(!ticking, 0)) {
            polder_timer(SLICE_NS);
            ticking = true;
        }
        if (__builtin_expect(polder_run_sandbox(p->space->fd, &p->params) < 0, 0)) {
            if (!make_room(p))
                return;
            continue;
        }
        if (__builtin_expect(p->params.reason == POLDER_SYSCALL, 1)) {
            syscall_enter(p);
        } else if (p->params.reason == POLDER_SIGNAL) {
            p->ticks++;
            tick();
            if (run_queue.first) {
                process_ready(p);
                return;
            }
        } else if (p->params.reason != POLDER_KICK) {
            fault(p);
        }
    }
}

void schedule(void)
{
    for (;;) {
        struct process *p = run_queue.first;
        if (p) {
            queue_remove(p);
            run(p);
            process_bury();
        } else {
            idle();
        }
    }
}
