/* SPDX-License-Identifier: MIT */
/*
 * For a polder program that is refused something: POLDER_REFUSE=N makes the N-th call or allocation of its main thread
 * fail, and says so in the file that is descriptor 9.
 */
#include "inject.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>

#define WRAP(type, name, parameters, arguments)                                                                        \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters                                                                                      \
    {                                                                                                                  \
        if (!inject_allocation(#name))                                                                                 \
            return __real_##name arguments;                                                                            \
        errno = ENOMEM;                                                                                                \
        return NULL;                                                                                                   \
    }

WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t count, size_t size), (count, size))
WRAP(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
WRAP(void *, reallocarray, (void *at, size_t count, size_t size), (at, count, size))

#define WRAP_DESCRIPTOR(name, parameters, arguments)                                                                   \
    int __real_##name parameters;                                                                                      \
    int __wrap_##name parameters;                                                                                      \
    int __wrap_##name parameters                                                                                       \
    {                                                                                                                  \
        if (!inject_allocation(#name))                                                                                 \
            return __real_##name arguments;                                                                            \
        errno = EMFILE;                                                                                                \
        return -1;                                                                                                     \
    }

WRAP_DESCRIPTOR(eventfd, (unsigned value, int flags), (value, flags))
WRAP_DESCRIPTOR(signalfd, (int fd, const void *mask, int flags), (fd, mask, flags))

int __real_pthread_create(void *thread, const void *attributes, void *(*function)(void *), void *argument);
int __wrap_pthread_create(void *thread, const void *attributes, void *(*function)(void *), void *argument);
int __wrap_pthread_create(void *thread, const void *attributes, void *(*function)(void *), void *argument)
{
    return inject_allocation("pthread_create") ? EAGAIN : __real_pthread_create(thread, attributes, function, argument);
}

__attribute__((constructor)) static void begin(void)
{
    const char *number = getenv("POLDER_REFUSE");
    void *told = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 9, 0);
    if (!number || told == MAP_FAILED)
        return;
    inject.told = told;
    inject_begin(INJECT_HOST, atol(number), 1);
}
