/* SPDX-License-Identifier: MIT */
/*
 * Opening files for a sandbox. One file is a way around every page table: the memory of a process in procfs. The kernel
 * finds it by any number of names (symbolic links, other mounts, descriptors of folders), so it is known by what was
 * opened, not by what it was called.
 *
 * To look only at the descriptor that the open returned is enough for a process of one thread. With more, another
 * thread of the sandbox could use the number between the open and the look: there the file is first opened as a mere
 * place (O_PATH: nothing can be read or written through it), looked at, and only then opened through that place.
 */
#include "host.h"
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/single_threaded.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define PLACE_NAME 32
#define O_LARGEFILE_ 0100000u /* the C library calls it 0 */

/* "/proc/self/fd/<fd>" without the detour through stdio. */
static void place_name(char name[PLACE_NAME], unsigned fd)
{
    char digits[12];
    unsigned count = 0;
    do {
        digits[count++] = (char)('0' + fd % 10);
        fd /= 10;
    } while (fd);
    strcpy(name, "/proc/self/fd/");
    size_t at = strlen(name);
    while (count) {
        name[at++] = digits[--count];
    }
    name[at] = 0;
}

/* True if it is the memory of a process, or if nobody can tell. */
static bool is_process_memory(long fd)
{
    struct statfs fs;
    if (host_plain(SYS_fstatfs, (uint64_t)fd, (uintptr_t)&fs, 0, 0, 0) == 0 && fs.f_type != PROC_SUPER_MAGIC) {
        return false;
    }
    struct statx st = {0};
    if (host_plain(SYS_statx, (uint64_t)fd, (uintptr_t) "", AT_EMPTY_PATH, STATX_TYPE, (uintptr_t)&st) == 0) {
        if (!S_ISREG(st.stx_mode)) {
            return false;
        }
        /* A file that is mounted by itself has lost its name. */
        if (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) {
            return true;
        }
    }
    char name[PLACE_NAME], target[4096];
    place_name(name, (unsigned)fd);
    long size = host_plain(SYS_readlink, (uintptr_t)name, (uintptr_t)target, sizeof(target), 0, 0);
    if (size < 4 || size == sizeof(target)) {
        return true;
    }
    /* Nothing else in procfs has this name. */
    return memcmp(target + size - 4, "/mem", 4) == 0;
}

static void close_plain(long fd)
{
    host_plain(SYS_close, (uint64_t)fd, 0, 0, 0, 0);
}

static long open_and_look(const uint64_t call[7])
{
    long fd = host_call(call);
    if (fd >= 0 && is_process_memory(fd)) {
        close_plain(fd);
        return -EACCES;
    }
    return fd;
}

/* What all the calls that open by a path come down to. */
struct request {
    uint64_t dirfd;
    uint64_t path;
    struct open_how how;
    bool strict; /* openat2: what it does not know is an error, not ignored */
};

/* 0, -errno, or 1: this call opens nothing that can be read or written, or not by a path. */
static long parse(struct job *job, struct request *out)
{
    const uint64_t *a = &job->host[1];
    *out = (struct request){.dirfd = (uint64_t)AT_FDCWD};
    switch (job->host[0]) {
    case SYS_creat:
        out->path = a[0];
        out->how.flags = O_CREAT | O_WRONLY | O_TRUNC;
        out->how.mode = a[1] & 07777;
        break;
    case SYS_open:
        out->path = a[0];
        out->how.flags = (uint32_t)a[1];
        out->how.mode = a[2] & 07777;
        break;
    case SYS_openat:
        out->dirfd = a[0];
        out->path = a[1];
        out->how.flags = (uint32_t)a[2];
        out->how.mode = a[3] & 07777;
        break;
    case SYS_openat2: {
        /* The kernel must see the flags that were looked at. */
        uint64_t size = job->args[3];
        char *copy = size >= sizeof(out->how) && size <= 4096 ? job_scratch(job, size) : NULL;
        if (!copy) {
            return 1; /* the kernel refuses it: EINVAL, E2BIG */
        }
        if (job_fetch(job, copy, job->args[2], size)) {
            return -EFAULT;
        }
        for (uint64_t i = sizeof(out->how); i < size; i++) {
            if (copy[i]) {
                return -E2BIG;
            }
        }
        memcpy(&out->how, copy, sizeof(out->how));
        job->host[3] = (uintptr_t)copy;
        out->dirfd = a[0];
        out->path = a[1];
        out->strict = true;
        break;
    }
    default:
        return 1;
    }
    return out->how.flags & O_PATH || (out->how.flags & O_TMPFILE) == O_TMPFILE ? 1 : 0;
}

static long open_request(const struct request *request, uint64_t flags, uint64_t mode, bool interruptible)
{
    struct open_how how = {.flags = flags, .mode = mode, .resolve = request->how.resolve};
    uint64_t call[7] = {SYS_openat, request->dirfd, request->path, flags, mode};
    if (request->strict) {
        call[0] = SYS_openat2;
        call[3] = (uintptr_t)&how;
        call[4] = sizeof(how);
    }
    return interruptible ? host_call(call) : host_plain((long)call[0], call[1], call[2], call[3], call[4], 0);
}

static bool is_folder(long fd)
{
    struct statx st = {0};
    return host_plain(SYS_statx, (uint64_t)fd, (uintptr_t) "", AT_EMPTY_PATH, STATX_TYPE, (uintptr_t)&st) == 0 &&
           S_ISDIR(st.stx_mode);
}

/* Through the place that was looked at, and under its number, which is the lowest that was free. */
static long open_place(const struct request *request, long place)
{
    const uint64_t done = O_CREAT | O_NOFOLLOW | (request->how.flags & O_CREAT ? O_EXCL : 0);
    char name[PLACE_NAME];
    place_name(name, (unsigned)place);
    const uint64_t call[7] = {SYS_openat, (uint64_t)AT_FDCWD, (uintptr_t)name, request->how.flags & ~done};
    long fd = host_call(call);
    if (fd >= 0) {
        host_plain(SYS_dup3, (uint64_t)fd, (uint64_t)place, request->how.flags & O_CLOEXEC, 0, 0);
        close_plain(fd);
        return place;
    }
    close_plain(place);
    return fd;
}

static long open_by_place(const struct request *request)
{
    const uint64_t flags = request->how.flags;
    const uint64_t known = O_ACCMODE | O_APPEND | O_ASYNC | O_CLOEXEC | O_CREAT | O_DIRECT | O_DIRECTORY | O_DSYNC |
                           O_EXCL | O_LARGEFILE_ | O_NOATIME | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK | O_PATH | O_SYNC |
                           O_TMPFILE | O_TRUNC;
    uint64_t place_flags = O_PATH | O_CLOEXEC | (flags & (O_NOFOLLOW | O_DIRECTORY));
    uint64_t place_mode = 0;
    if (request->strict) {
        /* For the kernel to refuse. */
        place_flags |= flags & ~known;
        place_mode = flags & O_CREAT ? 0 : request->how.mode;
    }
    for (int tries = 0; tries < 16; tries++) {
        long place = open_request(request, place_flags, place_mode, false);
        if (place >= 0) {
            if (is_process_memory(place)) {
                close_plain(place);
                return -EACCES;
            }
            if ((flags & O_CREAT) && ((flags & O_EXCL) || is_folder(place))) {
                close_plain(place);
                return flags & O_EXCL ? -EEXIST : -EISDIR;
            }
            return open_place(request, place);
        }
        if (place != -ENOENT || !(flags & O_CREAT)) {
            return place;
        }
        /* What has just been made is nobody's memory. */
        long fd = open_request(request, flags | O_EXCL, request->how.mode, true);
        if (fd != -EEXIST || (flags & O_EXCL)) {
            return fd;
        }
        /* A link that leads nowhere: make what it names, with access mode 3, which can neither read nor write. */
        fd = open_request(request, (flags & ~(uint64_t)(O_TRUNC | O_ACCMODE)) | 3, request->how.mode, true);
        if (fd < 0) {
            return fd;
        }
        close_plain(fd);
    }
    return -EAGAIN;
}

static bool have_places(void)
{
    struct statfs fs;
    return host_plain(SYS_statfs, (uintptr_t) "/proc/self/fd", (uintptr_t)&fs, 0, 0, 0) == 0 &&
           fs.f_type == PROC_SUPER_MAGIC;
}

long job_open(struct job *job)
{
    if (__libc_single_threaded) {
        return open_and_look(job->host);
    }
    struct request request;
    long parsed = parse(job, &request);
    if (parsed < 0) {
        return parsed;
    }
    if (parsed > 0) {
        return open_and_look(job->host);
    }
    /* After a chroot into a place without procfs there is none of its files to be afraid of either, but by descriptors
     * of folders: then the look afterwards must do. */
    return have_places() ? open_by_place(&request) : open_and_look(job->host);
}
