/* SPDX-License-Identifier: MIT */
/* Threads: functions that wait for a vCPU. vCPU 0 is the main program's; each other one takes the oldest that waits. */
#include "shim.h"
#include <polder/resident.h>

enum { MOST = 64 };

struct shim_thread {
    void *(*function)(void *);
    void *argument, *result;
    uint32_t state; /* FREE, ... */
    uint64_t number;
};

enum { FREE, WAITING, RUNNING, OVER };

static struct shim_thread threads[MOST];
static uint64_t created;
static uint32_t taking; /* a lock */

static struct shim_thread *take(void)
{
    struct shim_thread *oldest = NULL;

    while (__atomic_exchange_n(&taking, 1, __ATOMIC_ACQUIRE))
        __builtin_ia32_pause();
    for (int i = 0; i < MOST; i++)
        if (__atomic_load_n(&threads[i].state, __ATOMIC_ACQUIRE) == WAITING &&
            (!oldest || threads[i].number < oldest->number))
            oldest = &threads[i];
    if (oldest)
        oldest->state = RUNNING;
    __atomic_store_n(&taking, 0, __ATOMIC_RELEASE);
    return oldest;
}

static void vcpu_main(void *argument)
{
    (void)argument;
    for (;;) {
        struct shim_thread *thread = take();
        if (!thread) {
            polder_idle(false);
            continue;
        }
        thread->result = thread->function(thread->argument);
        __atomic_store_n(&thread->state, OVER, __ATOMIC_RELEASE);
    }
}

int pthread_create(pthread_t *result, const void *attributes, void *(*function)(void *), void *argument)
{
    static bool started;
    struct shim_thread *thread = NULL;

    (void)attributes;
    if (polder_cpu_count() < 2)
        return EAGAIN;
    for (uint32_t cpu = 1; !started && cpu < polder_cpu_count(); cpu++)
        if (polder_cpu_start(cpu, vcpu_main, NULL) < 0)
            return errno;
    started = true;
    for (int i = 0; i < MOST && !thread; i++)
        if (__atomic_load_n(&threads[i].state, __ATOMIC_ACQUIRE) == FREE)
            thread = &threads[i];
    if (!thread)
        return EAGAIN;
    thread->function = function;
    thread->argument = argument;
    thread->number = created++;
    __atomic_store_n(&thread->state, WAITING, __ATOMIC_RELEASE);
    *result = thread;
    for (uint32_t cpu = 1; cpu < polder_cpu_count(); cpu++)
        polder_cpu_wake(cpu);
    return 0;
}

int pthread_join(pthread_t thread, void **result)
{
    while (__atomic_load_n(&thread->state, __ATOMIC_ACQUIRE) != OVER)
        sched_yield();
    if (result)
        *result = thread->result;
    __atomic_store_n(&thread->state, FREE, __ATOMIC_RELEASE);
    return 0;
}

int pthread_barrier_init(pthread_barrier_t *barrier, const void *attributes, unsigned count)
{
    (void)attributes;
    *barrier = (pthread_barrier_t){.wanted = count};
    return 0;
}

int pthread_barrier_wait(pthread_barrier_t *barrier)
{
    uint32_t round = __atomic_load_n(&barrier->round, __ATOMIC_ACQUIRE);

    if (__atomic_add_fetch(&barrier->arrived, 1, __ATOMIC_ACQ_REL) == barrier->wanted) {
        __atomic_store_n(&barrier->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&barrier->round, round + 1, __ATOMIC_RELEASE);
        return 0;
    }
    while (__atomic_load_n(&barrier->round, __ATOMIC_ACQUIRE) == round)
        sched_yield();
    return 0;
}

int pthread_barrier_destroy(pthread_barrier_t *barrier)
{
    (void)barrier;
    return 0;
}

int sched_yield(void)
{
    __builtin_ia32_pause();
    return 0;
}
