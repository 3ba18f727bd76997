/* SPDX-License-Identifier: MIT */
#include "job.h"
#include "host.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define PAGE 4096ul /* what a privileged range is a multiple of */

void *job_scratch(struct job *job, size_t size)
{
    size_t start = (job->pool_used + 15) & ~(size_t)15;
    if (start > sizeof(job->pool) || size > sizeof(job->pool) - start) {
        return NULL;
    }
    job->pool_used = start + size;
    return job->pool + start;
}

void *job_bounce(struct job *job, size_t size)
{
    if (size <= 512) {
        void *small = job_scratch(job, size);
        if (small) {
            return small;
        }
    }
    if (job->block_count == sizeof(job->blocks) / sizeof(job->blocks[0])) {
        return NULL;
    }
    void *base = record_alloc(size);
    if (base) {
        job->blocks[job->block_count++] = (struct job_block){base, size};
    }
    return base;
}

void job_free(struct job *job)
{
    for (unsigned i = 0; i < job->block_count; i++) {
        record_free(job->blocks[i].base, job->blocks[i].size);
    }
    job->block_count = 0;
}

long job_fetch(struct job *job, void *to, uint64_t from, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (job->self && !mm_user_range(job->mm, from, size)) {
        return -EFAULT;
    }
    return mm_read(job->mm, to, size, from) == (ssize_t)size ? 0 : -EFAULT;
}

long job_put_back(struct job *job, uint64_t to, const void *from, size_t size, enum put_back when)
{
    if (job->self && !mm_user_range(job->mm, to, size)) {
        return -EFAULT;
    }
    if (job->back_count == sizeof(job->backs) / sizeof(job->backs[0])) {
        return -ENOMEM;
    }
    job->backs[job->back_count++] = (struct job_back){.to = to, .from = from, .size = size, .unit = 1, .when = when};
    return 0;
}

static bool put(struct job *job, uint64_t to, const void *from, size_t size)
{
    return size == 0 || mm_write(job->mm, from, size, to) == (ssize_t)size;
}

/* Another space: what one block received goes where the sandbox's iovecs point. */
static bool put_spread(struct job *job, size_t left)
{
    const char *from = job->spread_from;
    for (size_t i = 0; i < job->spread_count && left; i++) {
        size_t part = job->spread[i].iov_len < left ? job->spread[i].iov_len : left;
        if (!put(job, (uintptr_t)job->spread[i].iov_base, from, part)) {
            return false;
        }
        from += part;
        left -= part;
    }
    return true;
}

long job_finish(struct job *job, long result)
{
    if (proceed_interrupt.skipped) {
        return 0;
    }
    bool fine = true;
    for (unsigned i = 0; i < job->back_count; i++) {
        const struct job_back *back = &job->backs[i];
        size_t size = back->size;
        if (back->when == BACK_RESULT) {
            size_t filled = result < 0 ? 0 : (size_t)result * back->unit + back->extra;
            size = filled < size ? filled : size;
        } else if (back->when == BACK_DONE && result < 0 && result != -EINTR) {
            continue;
        }
        fine &= put(job, back->to, back->from, size);
    }
    if (job->spread && result > 0) {
        fine &= put_spread(job, (size_t)result);
    }
    return fine ? 0 : -EFAULT;
}

bool job_may_cut(const struct job *job, unsigned flags)
{
    if (!(flags & ARG_SHORT) || !(flags & ARG_IN)) {
        return flags & ARG_SHORT;
    }
    /* A datagram that is cut short is another datagram; a stream goes on with the next call. */
    int type = SOCK_STREAM;
    socklen_t size = sizeof(type);
    host_plain(SYS_getsockopt, job->args[0], SOL_SOCKET, SO_TYPE, (uintptr_t)&type, (uintptr_t)&size);
    return type == SOCK_STREAM;
}

static long bounce(struct job *job, uint64_t addr, uint64_t *size, unsigned flags, uint64_t *out)
{
    if (*size > JOB_BOUNCE) {
        if (!job_may_cut(job, flags)) {
            return -EMSGSIZE;
        }
        *size = JOB_BOUNCE;
    }
    char *copy = job_bounce(job, *size);
    if (!copy) {
        return -ENOMEM;
    }
    *out = (uintptr_t)copy;
    if (*size == 0) {
        return 0;
    }
    /* What the kernel may leave as it is must be there to go back unchanged; of the rest, only whether there is any. */
    size_t need = flags & ARG_RESULT ? 1 : *size;
    ssize_t got = mm_read(job->mm, copy, need, addr);
    if (got <= 0 || ((size_t)got < need && !((flags & ARG_IN) && (flags & ARG_SHORT)))) {
        return -EFAULT;
    }
    if (!(flags & ARG_RESULT)) {
        *size = (size_t)got;
    }
    if (flags & ARG_OUT) {
        return job_put_back(job, addr, copy, *size, flags & ARG_RESULT ? BACK_RESULT : BACK_DONE);
    }
    return 0;
}

long job_memory(struct job *job, uint64_t addr, uint64_t *size, unsigned flags, uint64_t *out)
{
    if (!job->self) {
        return bounce(job, addr, size, flags, out);
    }
    *out = addr;
    return mm_user_range(job->mm, addr, *size) ? 0 : -EFAULT;
}

/* Copies up to `most` bytes, to the first NUL if there is one; returns how many there were before memory ended. */
static size_t fetch_page(struct job *job, char *to, uint64_t from, size_t most, bool to_nul)
{
    size_t done = 0, step = 256; /* most strings are short */
    while (done < most) {
        uint64_t at = from + done;
        size_t part = PAGE - (at & (PAGE - 1));
        part = part < step ? part : step;
        part = part < most - done ? part : most - done;
        if (job_fetch(job, to + done, at, part)) {
            break;
        }
        if (to_nul) {
            char *nul = memchr(to + done, 0, part);
            if (nul) {
                return (size_t)(nul - to) + 1;
            }
        }
        done += part;
        step = PAGE;
    }
    return done;
}

long job_string(struct job *job, uint64_t addr, uint64_t *out)
{
    char *copy = job_scratch(job, PATH_MAX + 1);
    if (!copy) {
        return -ENOMEM;
    }
    size_t size = fetch_page(job, copy, addr, PATH_MAX, true);
    if (size == PATH_MAX && copy[PATH_MAX - 1] != 0) {
        copy[size++] = 0;
    } else if (size == 0 || copy[size - 1] != 0) {
        return -EFAULT;
    }
    job->pool_used -= PATH_MAX + 1 - size;
    *out = (uintptr_t)copy;
    return 0;
}

long job_page(struct job *job, uint64_t addr, uint64_t *out)
{
    char *copy = job_scratch(job, PAGE);
    if (!copy) {
        return -ENOMEM;
    }
    size_t size = fetch_page(job, copy, addr, PAGE, false);
    if (size == 0) {
        return -EFAULT;
    }
    memset(copy + size, 0, PAGE - size);
    *out = (uintptr_t)copy;
    return 0;
}
