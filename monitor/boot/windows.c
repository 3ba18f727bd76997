/* SPDX-License-Identifier: MIT */
#include "boot/windows.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "boot/message.h"
#include "kvm.h"

static uint64_t span(const struct window *w)
{
    return page_up(w->size);
}

static bool open_one(struct window *w)
{
    w->fd = open(w->path, (w->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (w->fd < 0 || fstat(w->fd, &st)) {
        message("--file %s=%s: %s", w->name, w->path, strerror(errno));
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        message("--file %s=%s: only a regular file can be mapped", w->name, w->path);
        return false;
    }
    w->size = (uint64_t)st.st_size;
    w->intact = span(w);
    return true;
}

bool windows_open(struct windows *windows, uint64_t gpa)
{
    pthread_mutex_init(&windows->lock, NULL);
    for (uint32_t i = 0; i < windows->count; i++) {
        struct window *w = &windows->list[i];
        if (!open_one(w))
            return false;
        w->gpa = gpa;
        gpa += (w->size + WINDOW_ALIGN - 1) & ~(WINDOW_ALIGN - 1); /* no wrap: sizes of files are below 2^63 */
        if (gpa >> kvm.gpa_bits) {
            message("--file %s=%s: the file is too large for the %u bits of a guest's physical addresses here", w->name,
                w->path, kvm.gpa_bits);
            return false;
        }
    }
    windows->end = gpa;
    return true;
}

static int map(struct window *w, uint32_t slot)
{
    int prot = PROT_READ | (w->writable ? PROT_WRITE : 0);
    char *host = mmap(NULL, span(w), prot, MAP_SHARED, w->fd, 0);
    if (host == MAP_FAILED)
        return -errno;
    madvise(host, span(w), MADV_DONTDUMP);
    int error = w->writable ? kvm_set_slot(slot, (gpa_t){w->gpa}, span(w), host)
                            : kvm_set_readonly_slot(slot, (gpa_t){w->gpa}, span(w), host);
    if (error) {
        munmap(host, span(w));
        return error;
    }
    w->host = host;
    return 0;
}

int64_t windows_bring_in(struct windows *windows, uint64_t index, uint64_t *size)
{
    if (index >= windows->count)
        return -ENOENT;
    struct window *w = &windows->list[index];
    pthread_mutex_lock(&windows->lock);
    int error = w->host || w->size == 0 ? 0 : map(w, (uint32_t)index);
    pthread_mutex_unlock(&windows->lock);
    if (error)
        return error;
    *size = w->size;
    return (int64_t)w->gpa;
}

/* Zeros over what lies beyond the file's end, once for each page. True if there was something. */
static bool mend(struct window *w)
{
    struct stat st;
    /* Not fstat(): glibc's is a call that could be given a path, and is not left to a confined monitor. */
    if (!w->host || syscall(SYS_fstat, w->fd, &st))
        return false;
    uint64_t left = page_up((uint64_t)st.st_size);
    if (left >= w->intact)
        return false;
    int prot = PROT_READ | (w->writable ? PROT_WRITE : 0);
    if (mmap(w->host + left, w->intact - left, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) ==
        MAP_FAILED)
        return false;
    w->intact = left;
    return true;
}

bool windows_mend(struct windows *windows, uint64_t mended_before)
{
    pthread_mutex_lock(&windows->lock);
    for (uint32_t i = 0; i < windows->count; i++)
        if (mend(&windows->list[i]))
            __atomic_fetch_add(&windows->mended, 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&windows->lock);
    return windows_mended(windows) != mended_before;
}

bool windows_is_cut(struct windows *windows, const struct window *w, uint64_t gpa)
{
    pthread_mutex_lock(&windows->lock);
    bool cut = w->host && gpa - w->gpa >= w->intact;
    pthread_mutex_unlock(&windows->lock);
    return cut;
}

uint64_t windows_mended(const struct windows *windows)
{
    return __atomic_load_n(&windows->mended, __ATOMIC_ACQUIRE);
}

const struct window *windows_at(const struct windows *windows, uint64_t gpa)
{
    for (uint32_t i = 0; i < windows->count; i++) {
        const struct window *w = &windows->list[i];
        if (gpa >= w->gpa && gpa - w->gpa < span(w))
            return w;
    }
    return NULL;
}
