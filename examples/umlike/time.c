/* SPDX-License-Identifier: MIT */
/* time: clocks, timers, and the calls about them. */
#include "umlike.h"

#define SECOND 1000000000ull
#define USER_HZ 100

static struct {
    uint64_t now;         /* monotonic, when last asked */
    uint64_t wall_offset; /* from monotonic to 1970 */
    struct timer *first;  /* sorted */
} time;

uint64_t time_now(void)
{
    time.now = polder_clock(0);
    return time.now;
}

uint64_t time_coarse(void)
{
    return time.now;
}

uint64_t time_wall(void)
{
    return time.now + time.wall_offset;
}

void time_init(void)
{
    time.wall_offset = polder_clock(1) - time_now();
}

/* ---------------------------------------------------------------- timers */

void timer_cancel(struct timer *timer)
{
    if (!timer->at)
        return;
    if (timer->next)
        timer->next->previous = timer->previous;
    if (timer->previous)
        timer->previous->next = timer->next;
    else
        time.first = timer->next;
    timer->at = 0;
}

void timer_set(struct timer *timer, uint64_t at)
{
    timer_cancel(timer);
    struct timer *before = NULL, *after = time.first;
    while (after && after->at <= at) {
        before = after;
        after = after->next;
    }
    timer->at = at ? at : 1;
    timer->next = after;
    timer->previous = before;
    if (after)
        after->previous = timer;
    if (before)
        before->next = timer;
    else
        time.first = timer;
}

void timers_run(void)
{
    while (time.first && time.first->at <= time.now) {
        struct timer *timer = time.first;
        timer_cancel(timer);
        timer->fire(timer->process);
    }
}

uint64_t timers_next(void)
{
    return time.first ? time.first->at : UINT64_MAX;
}

/* ---------------------------------------------------------------- the formats of Linux */

static uint64_t saturate(int64_t seconds, int64_t ns)
{
    return (uint64_t)seconds > INT64_MAX / SECOND - 1 ? INT64_MAX : (uint64_t)seconds * SECOND + (uint64_t)ns;
}

int timespec_in(struct process *p, uint64_t at, uint64_t *ns)
{
    struct timespec ts;
    int error = copy_in(p, &ts, at, sizeof ts);
    if (error)
        return error;
    if (ts.sec < 0 || (uint64_t)ts.nsec >= SECOND)
        return -EINVAL;
    *ns = saturate(ts.sec, ts.nsec);
    return 0;
}

static struct timespec to_timespec(uint64_t ns)
{
    return (struct timespec){(int64_t)(ns / SECOND), (int64_t)(ns % SECOND)};
}

static struct timeval to_timeval(uint64_t ns)
{
    return (struct timeval){(int64_t)(ns / SECOND), (int64_t)(ns % SECOND / 1000)};
}

static int timeval_to_ns(struct timeval tv, uint64_t *ns)
{
    if (tv.sec < 0 || (uint64_t)tv.usec >= 1000000)
        return -EINVAL;
    *ns = saturate(tv.sec, tv.usec * 1000);
    return 0;
}

/* ---------------------------------------------------------------- clocks */

HANDLER(clock_gettime)
{
    uint64_t ns;
    switch (r->rdi) {
    case 0: /* CLOCK_REALTIME */
    case 5: /* and its coarse one */
        time_now();
        ns = time_wall();
        break;
    case 2: /* CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID */
    case 3:
        ns = p->ticks * SLICE_NS;
        break;
    case 1: /* CLOCK_MONOTONIC, _RAW, _COARSE, CLOCK_BOOTTIME */
    case 4:
    case 6:
    case 7:
        ns = time_now();
        break;
    default:
        return -EINVAL;
    }
    struct timespec ts = to_timespec(ns);
    return copy_out(p, r->rsi, &ts, sizeof ts);
}

HANDLER(clock_getres)
{
    struct timespec ts = {0, 1};
    return r->rsi ? copy_out(p, r->rsi, &ts, sizeof ts) : 0;
}

HANDLER(gettimeofday)
{
    time_now();
    struct timeval tv = to_timeval(time_wall());
    return r->rdi ? copy_out(p, r->rdi, &tv, sizeof tv) : 0;
}

HANDLER(time)
{
    time_now();
    int64_t seconds = (int64_t)(time_wall() / SECOND);
    int error = r->rdi ? copy_out(p, r->rdi, &seconds, sizeof seconds) : 0;
    return error ? error : seconds;
}

/* ---------------------------------------------------------------- sleeping */

/* call.saved is the time to sleep until. */
static int64_t sleep(struct process *p, uint64_t at, uint64_t remaining_at)
{
    if (p->call.expired)
        return 0;
    if (p->attention && remaining_at) {
        uint64_t now = time_now();
        struct timespec ts = to_timespec(at > now ? at - now : 0);
        copy_out(p, remaining_at, &ts, sizeof ts);
    }
    p->call.saved = at;
    return wait_until(p, NULL, WAIT_NO_RESTART, at);
}

HANDLER(nanosleep)
{
    uint64_t ns;
    if (p->call.pending)
        return sleep(p, p->call.saved, r->rsi);
    int error = timespec_in(p, r->rdi, &ns);
    return error ? error : sleep(p, time_now() + ns, r->rsi);
}

HANDLER(clock_nanosleep)
{
    uint64_t ns, flags = r->rsi;
    bool absolute = flags & 1, wall = r->rdi == 0;
    uint64_t remaining_at = absolute ? 0 : r->r10;
    if (p->call.pending)
        return sleep(p, p->call.saved, remaining_at);
    int error = timespec_in(p, r->rdx, &ns);
    if (error)
        return error;
    uint64_t now = time_now();
    if (!absolute)
        return sleep(p, now + ns, remaining_at);
    if (wall)
        ns = ns > time.wall_offset ? ns - time.wall_offset : 0;
    return ns <= now ? 0 : sleep(p, ns, 0);
}

HANDLER(sched_yield)
{
    (void)r;
    if (p->call.pending)
        return 0;
    process_ready(p);
    return BLOCKED;
}

/* ---------------------------------------------------------------- alarms: ITIMER_REAL */

static void alarm_fire(struct process *p)
{
    if (p->alarm_interval)
        timer_set(&p->alarm, time.now + p->alarm_interval);
    signal_send(p, SIGALRM, (struct signal_info){.code = SI_KERNEL});
}

static uint64_t alarm_left(const struct process *p)
{
    uint64_t now = time_now();
    return !p->alarm.at ? 0 : p->alarm.at > now ? p->alarm.at - now : 1000;
}

static void alarm_set(struct process *p, uint64_t ns, uint64_t interval)
{
    timer_cancel(&p->alarm);
    p->alarm.process = p;
    p->alarm.fire = alarm_fire;
    p->alarm_interval = interval;
    if (ns)
        timer_set(&p->alarm, time.now + ns);
}

HANDLER(alarm)
{
    uint64_t left = alarm_left(p);
    alarm_set(p, (uint32_t)r->rdi * SECOND, 0);
    return (int64_t)((left + SECOND - 1) / SECOND);
}

static int64_t alarm_out(struct process *p, uint64_t at)
{
    struct itimerval it = {to_timeval(p->alarm_interval), to_timeval(alarm_left(p))};
    return copy_out(p, at, &it, sizeof it);
}

HANDLER(getitimer)
{
    return r->rdi ? -EINVAL : alarm_out(p, r->rsi);
}

HANDLER(setitimer)
{
    struct itimerval it = {0};
    uint64_t ns, interval;
    if (r->rdi)
        return -EINVAL;
    int error = r->rsi ? copy_in(p, &it, r->rsi, sizeof it) : 0;
    if (error)
        return error;
    if (timeval_to_ns(it.value, &ns) || timeval_to_ns(it.interval, &interval))
        return -EINVAL;
    if (r->rdx && (error = (int)alarm_out(p, r->rdx)))
        return error;
    time_now();
    alarm_set(p, ns, interval);
    return 0;
}

/* ---------------------------------------------------------------- what was used */

HANDLER(times)
{
    struct tms tms = {.user = (int64_t)(p->ticks * SLICE_NS * USER_HZ / SECOND),
        .children_user = (int64_t)(p->children_ticks * SLICE_NS * USER_HZ / SECOND)};
    int error = r->rdi ? copy_out(p, r->rdi, &tms, sizeof tms) : 0;
    return error ? error : (int64_t)(time_now() / (SECOND / USER_HZ));
}

HANDLER(getrusage)
{
    struct rusage usage = {.user = to_timeval(((int64_t)r->rdi < 0 ? p->children_ticks : p->ticks) * SLICE_NS)};
    return copy_out(p, r->rsi, &usage, sizeof usage);
}

HANDLER(sysinfo)
{
    struct sysinfo info = {.uptime = (int64_t)(time_now() / SECOND),
        .totalram = polder_memory_limit(),
        .freeram = polder_memory_limit() - polder_memory_used(),
        .procs = (uint16_t)process_count,
        .mem_unit = 1};
    return copy_out(p, r->rdi, &info, sizeof info);
}
