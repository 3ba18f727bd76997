/* SPDX-License-Identifier: MIT */
#include "state.h"
#include <sys/mman.h>
#include <unistd.h>

extern char __start_polder_state[] __attribute__((visibility("hidden")));
extern char __stop_polder_state[] __attribute__((visibility("hidden")));

PRIVATE_STATE struct state_wiped state_wiped;

static PRIVATE_STATE struct {
    uint64_t last_epoch;
    bool handlers, wiped; /* what is needed to notice a fork is there */
} PRIVATE_TYPE epochs;

#define LOCKS 10u

PRIVATE_STATE struct locks locks = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
    PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
    PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};

static pthread_mutex_t *lock_number(size_t i)
{
    return (pthread_mutex_t *)&locks + i;
}

static void before_fork(void)
{
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_lock(lock_number(i));
}

static void after_fork_in_parent(void)
{
    for (size_t i = LOCKS; i--;)
        pthread_mutex_unlock(lock_number(i));
}

static void after_fork_in_child(void)
{
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_init(lock_number(i), NULL);
}

bool state_overlaps(uint64_t address, uint64_t length)
{
    return address < (uint64_t)__stop_polder_state && address + length > (uint64_t)__start_polder_state;
}

/* Anonymous memory only can be wiped: the page of the data section is replaced by such a one. */
static bool wipe_on_fork(void)
{
    return mmap(&state_wiped, sizeof state_wiped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
               0) != MAP_FAILED &&
           madvise(&state_wiped, sizeof state_wiped, MADV_WIPEONFORK) == 0;
}

uint64_t state_new_epoch(void)
{
    pthread_mutex_lock(&locks.epochs);
    if (!epochs.handlers)
        epochs.handlers = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) == 0;
    if (!epochs.wiped)
        epochs.wiped = wipe_on_fork();
    if (!state_wiped.epoch && epochs.handlers && epochs.wiped)
        __atomic_store_n(&state_wiped.epoch, ++epochs.last_epoch, __ATOMIC_RELEASE);
    uint64_t epoch = state_wiped.epoch;
    pthread_mutex_unlock(&locks.epochs);
    return epoch;
}
