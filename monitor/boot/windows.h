/* SPDX-License-Identifier: MIT */
/*
 * windows: the files of --file, each in a guest-physical window of its own above the memory's limit. The pages are the
 * files' own. Anybody may cut such a file at any time: the monitor touches no page of it, and puts zeros where a guest
 * runs into what was cut off.
 */
#ifndef MONITOR_BOOT_WINDOWS_H
#define MONITOR_BOOT_WINDOWS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define WINDOW_ALIGN (2ull << 20)

struct window {
    const char *name, *path;
    bool writable;
    int fd;
    uint64_t gpa;
    uint64_t size;   /* in bytes, as it was when the machine was made */
    char *host;      /* NULL until the guest asks for it */
    uint64_t intact; /* bytes, whole pages, that have not been replaced by zeros */
};

struct windows {
    struct window *list;
    uint32_t count;
    uint64_t end;    /* guest-physical, of the last */
    uint64_t mended; /* how often something was replaced */
    pthread_mutex_t lock;
};

/* Opens the files of windows->list and gives each its place from gpa on. False after a message. */
bool windows_open(struct windows *windows, uint64_t gpa);

/* HC_FILE: the window's guest-physical address, and its size; -ENOENT, or why KVM or the host refuses. Slot numbers
 * are the windows' indices. */
int64_t windows_bring_in(struct windows *windows, uint64_t index, uint64_t *size);

/*
 * KVM_RUN said EFAULT, or a guest's access to a window came out of it: zeros replace what has been cut off. False if
 * nothing had been since mended_before was read from windows->mended.
 */
bool windows_mend(struct windows *windows, uint64_t mended_before);
uint64_t windows_mended(const struct windows *windows);
/* True if zeros stand there for what has been cut off. */
bool windows_is_cut(struct windows *windows, const struct window *window, uint64_t gpa);

/* The window, brought in or not, that this guest-physical address lies in, or NULL. */
const struct window *windows_at(const struct windows *windows, uint64_t gpa);

#endif
