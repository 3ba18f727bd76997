/* SPDX-License-Identifier: MIT */
#include "descriptor.h"
#include "highfd.h"
#include "hostmem.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct descriptor {
    dev_t device;
    ino_t inode;
    int peer; /* our end */
    struct mm *mm;
    struct descriptor *next;
};

#define HASH_INITIAL 256
#define REAP_AT_ONCE 64

static PRIVATE_STATE struct {
    struct descriptor **buckets;
    uint64_t capacity, count;
    int epoll; /* plus 1 */
} PRIVATE_TYPE descriptors;

static struct descriptor **bucket(ino_t inode)
{
    return &descriptors.buckets[(inode * 0x9e3779b97f4a7c15ull >> 32) & (descriptors.capacity - 1)];
}

static bool grow(void)
{
    if (descriptors.count < descriptors.capacity)
        return true;
    uint64_t old_capacity = descriptors.capacity;
    struct descriptor **old = descriptors.buckets;
    uint64_t capacity = old_capacity ? old_capacity * 2 : HASH_INITIAL;
    struct descriptor **buckets = record_alloc(capacity * sizeof *buckets);
    if (!buckets)
        return false;
    descriptors.buckets = buckets;
    descriptors.capacity = capacity;
    for (uint64_t i = 0; i < old_capacity; i++) {
        for (struct descriptor *d = old[i], *next; d; d = next) {
            next = d->next;
            d->next = *bucket(d->inode);
            *bucket(d->inode) = d;
        }
    }
    record_free(old, old_capacity * sizeof *old);
    return true;
}

static int watch(struct descriptor *d)
{
    if (!descriptors.epoll) {
        int fd = epoll_create1(EPOLL_CLOEXEC);
        if (fd < 0)
            return -errno;
        descriptors.epoll = highfd_move(fd) + 1;
    }
    struct epoll_event event = {.events = EPOLLERR, .data.ptr = d}; /* what a writing end without readers gets */
    return epoll_ctl(descriptors.epoll - 1, EPOLL_CTL_ADD, d->peer, &event) ? -errno : 0;
}

static int add(struct mm *mm, const int ends[2])
{
    struct stat st;
    struct descriptor *d = record_alloc(sizeof *d);
    if (!d || !grow()) {
        record_free(d, sizeof *d);
        return -ENOMEM;
    }
    int error = syscall(SYS_fstat, ends[0], &st) ? -errno : 0;
    *d = (struct descriptor){.device = st.st_dev, .inode = st.st_ino, .peer = ends[1], .mm = mm};
    if (!error)
        error = watch(d);
    if (error) {
        record_free(d, sizeof *d);
        return error;
    }
    d->next = *bucket(d->inode);
    *bucket(d->inode) = d;
    descriptors.count++;
    return 0;
}

int descriptor_new(struct mm *mm)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
        return -errno;
    /* The lower number is the caller's: that of the reading end. */
    ends[1] = highfd_move(ends[1]);
    pthread_mutex_lock(&locks.descriptors);
    int error = add(mm, ends);
    pthread_mutex_unlock(&locks.descriptors);
    if (error) {
        close(ends[0]);
        close(ends[1]);
        return error;
    }
    return ends[0];
}

int descriptor_find(int fd, struct mm **mm)
{
    struct stat st;
    /* Not fstat(): glibc goes through newfstatat, with a path to look up, at six times the instructions. */
    if (syscall(SYS_fstat, fd, &st))
        return -errno;
    int error = -EINVAL;
    pthread_mutex_lock(&locks.descriptors);
    for (struct descriptor *d = descriptors.capacity ? *bucket(st.st_ino) : NULL; d; d = d->next) {
        if (d->inode != st.st_ino || d->device != st.st_dev)
            continue;
        if (d->mm) {
            mm_hold(d->mm);
            *mm = d->mm;
        }
        error = d->mm ? 0 : -ESTALE;
        break;
    }
    pthread_mutex_unlock(&locks.descriptors);
    return error;
}

static void forget(struct descriptor *d)
{
    struct descriptor **at = bucket(d->inode);
    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    descriptors.count--;
    /* Closing alone would not take it out of the set while a forked child has our end too. */
    epoll_ctl(descriptors.epoll - 1, EPOLL_CTL_DEL, d->peer, NULL);
    close(d->peer);
    record_free(d, sizeof *d);
}

void descriptors_reap(void)
{
    struct epoll_event events[REAP_AT_ONCE];
    struct mm *dead[REAP_AT_ONCE];
    int n;
    do {
        pthread_mutex_lock(&locks.descriptors);
        n = descriptors.epoll ? epoll_wait(descriptors.epoll - 1, events, REAP_AT_ONCE, 0) : 0;
        for (int i = 0; i < n; i++) {
            struct descriptor *d = events[i].data.ptr;
            dead[i] = d->mm;
            forget(d);
        }
        pthread_mutex_unlock(&locks.descriptors);
        for (int i = 0; i < n; i++) {
            if (dead[i])
                mm_drop(dead[i]);
        }
    } while (n == REAP_AT_ONCE);
}

void descriptors_disown(void)
{
    /* The records of the parent's spaces stay, without the spaces: so an inherited descriptor is told from any other.
     * The epoll set and the peers are shared with the parent: closing our copies changes nothing for it. */
    if (descriptors.epoll)
        close(descriptors.epoll - 1);
    descriptors.epoll = 0;
    for (uint64_t i = 0; i < descriptors.capacity; i++) {
        for (struct descriptor *d = descriptors.buckets[i]; d; d = d->next) {
            d->mm = NULL;
            if (d->peer >= 0)
                close(d->peer);
            d->peer = -1;
        }
    }
}
