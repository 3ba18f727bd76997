/* SPDX-License-Identifier: MIT */
/*
 * poll: who waits for one of many things waits in one queue, which every event wakes, and looks again. Pollers are few,
 * and this costs the many who do not poll one comparison.
 */
#include "umlike.h"

#define SELECT_WORDS 16 /* FD_SETSIZE */

unsigned file_poll(struct process *p, struct file *f)
{
    if (f->inode->ops && f->inode->ops->poll)
        return f->inode->ops->poll(p, f);
    return POLLIN | POLLOUT;
}

/* Goes to sleep, for ns from the first time on. */
static int64_t wait_for_event(struct process *p, uint64_t ns)
{
    uint64_t until = p->call.pending || ns == UINT64_MAX ? UINT64_MAX : time_now() + ns;
    return wait_until(p, &poll_queue, WAIT_NO_RESTART, until);
}

/* The signal mask for the time of the call. */
static int mask_signals(struct process *p, uint64_t at)
{
    uint64_t set;
    if (!at || p->call.pending)
        return 0;
    int error = copy_in(p, &set, at, sizeof set);
    if (error)
        return error;
    p->blocked_before = p->blocked;
    p->restore_blocked = true;
    p->blocked = set & ~(signal_bit(SIGKILL) | signal_bit(SIGSTOP));
    signals_changed(p);
    return 0;
}

static int64_t unmask_signals(struct process *p, int64_t result)
{
    if (result != BLOCKED && p->restore_blocked) {
        p->restore_blocked = false;
        p->blocked = p->blocked_before;
        signals_changed(p);
    }
    return result;
}

/* ---------------------------------------------------------------- poll */

static int64_t poll(struct process *p, uint64_t at, uint64_t count, uint64_t ns)
{
    struct pollfd fds[FILES_MAX];
    int64_t ready = 0;
    if (count > FILES_MAX)
        return -EINVAL;
    int error = count ? copy_in(p, fds, at, count * sizeof *fds) : 0;
    if (error)
        return error;
    for (uint64_t i = 0; i < count; i++) {
        struct file *f = fds[i].fd < 0 ? NULL : file_get(p, (uint32_t)fds[i].fd);
        unsigned events = f               ? file_poll(p, f) & ((uint16_t)fds[i].events | POLLERR | POLLHUP)
                          : fds[i].fd < 0 ? 0
                                          : POLLNVAL;
        fds[i].revents = (int16_t)events;
        ready += events != 0;
    }
    if (!ready && ns && !p->call.expired)
        return wait_for_event(p, ns);
    error = count ? copy_out(p, at, fds, count * sizeof *fds) : 0;
    return error ? error : ready;
}

HANDLER(poll)
{
    int32_t ms = (int32_t)r->rdx;
    return poll(p, r->rdi, r->rsi, ms < 0 ? UINT64_MAX : (uint64_t)ms * 1000000);
}

HANDLER(ppoll)
{
    uint64_t ns = UINT64_MAX;
    int error = r->rdx ? timespec_in(p, r->rdx, &ns) : 0;
    error = error ? error : mask_signals(p, r->r10);
    return error ? error : unmask_signals(p, poll(p, r->rdi, r->rsi, ns));
}

/* ---------------------------------------------------------------- select */

static bool has_bit(const uint64_t *set, uint64_t fd)
{
    return set[fd / 64] >> fd % 64 & 1;
}

static int64_t select(struct process *p, uint64_t count, const uint64_t at[3], uint64_t ns)
{
    static const unsigned events[3] = {POLLIN | POLLHUP | POLLERR, POLLOUT | POLLERR, POLLPRI};
    uint64_t wanted[3][SELECT_WORDS] = {0}, got[3][SELECT_WORDS] = {0};
    size_t size = (count + 63) / 64 * 8;
    int64_t ready = 0;
    if (count > SELECT_WORDS * 64)
        return -EINVAL;
    for (unsigned i = 0; i < 3; i++) {
        int error = at[i] ? copy_in(p, wanted[i], at[i], size) : 0;
        if (error)
            return error;
    }
    for (uint64_t fd = 0; fd < count; fd++) {
        if (!has_bit(wanted[0], fd) && !has_bit(wanted[1], fd) && !has_bit(wanted[2], fd))
            continue;
        struct file *f = file_get(p, fd);
        if (!f)
            return -EBADF;
        unsigned now = file_poll(p, f);
        for (unsigned i = 0; i < 3; i++) {
            if (has_bit(wanted[i], fd) && (now & events[i])) {
                got[i][fd / 64] |= 1ull << fd % 64;
                ready++;
            }
        }
    }
    if (!ready && ns && !p->call.expired)
        return wait_for_event(p, ns);
    for (unsigned i = 0; i < 3; i++) {
        int error = at[i] ? copy_out(p, at[i], got[i], size) : 0;
        if (error)
            return error;
    }
    return ready;
}

HANDLER(select)
{
    uint64_t at[3] = {r->rsi, r->rdx, r->r10}, ns = UINT64_MAX;
    struct timeval tv;
    if (r->r8) {
        int error = copy_in(p, &tv, r->r8, sizeof tv);
        if (error)
            return error;
        if (tv.sec < 0 || tv.sec > INT32_MAX || tv.usec < 0 || tv.usec > INT32_MAX)
            return -EINVAL;
        ns = (uint64_t)tv.sec * 1000000000 + (uint64_t)tv.usec * 1000;
    }
    return select(p, (uint32_t)r->rdi, at, ns);
}

HANDLER(pselect6)
{
    uint64_t at[3] = {r->rsi, r->rdx, r->r10}, ns = UINT64_MAX, mask[2] = {0};
    int error = r->r8 ? timespec_in(p, r->r8, &ns) : 0;
    error = error || !r->r9 ? error : copy_in(p, mask, r->r9, sizeof mask);
    error = error ? error : mask_signals(p, mask[0]);
    return error ? error : unmask_signals(p, select(p, (uint32_t)r->rdi, at, ns));
}

/* ---------------------------------------------------------------- futex: processes that share memory */

#define FUTEX_COMMAND 0x7f
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1

/* They are rare, too: who waits for any wakes with all, and finds out by his own word. */
static struct queue futex_queue;

HANDLER(futex)
{
    uint32_t now;
    uint64_t ns = UINT64_MAX;
    if ((r->rsi & FUTEX_COMMAND) == FUTEX_WAKE) {
        queue_wake(&futex_queue);
        return 0;
    }
    if ((r->rsi & FUTEX_COMMAND) != FUTEX_WAIT)
        return -ENOSYS;
    if (p->call.pending)
        return p->call.expired ? -ETIMEDOUT : 0;
    int error = copy_in(p, &now, r->rdi, sizeof now);
    error = error || !r->r10 ? error : timespec_in(p, r->r10, &ns);
    if (error || now != (uint32_t)r->rdx)
        return error ? error : -EAGAIN;
    return wait_until(p, &futex_queue, 0, ns == UINT64_MAX ? ns : time_now() + ns);
}
