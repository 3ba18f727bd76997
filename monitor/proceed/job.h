/* SPDX-License-Identifier: MIT */
/*
 * job: one proceed_call under way: the call as the sandbox made it, the call as the host will get it, and what has to
 * be put back into the sandbox's memory afterwards.
 */
#ifndef MONITOR_PROCEED_JOB_H
#define MONITOR_PROCEED_JOB_H

#include "calls.h"
#include "proceed.h"

#include <sys/uio.h>

#define JOB_IOVS 1024          /* UIO_MAXIOV */
#define JOB_MESSAGES 64        /* of sendmmsg and recvmmsg at once; the answer "fewer" is allowed */
#define JOB_BOUNCE (1ul << 20) /* bytes of one argument that cross into another space at once */
/* The largest that one call needs: 1024 iovecs of mmsghdr, or four strings of a page (mount). */
#define JOB_POOL (JOB_IOVS * sizeof(struct iovec) + JOB_MESSAGES * 64 + 512)

/* How much of a copy goes back, and when. */
enum put_back {
    BACK_DONE,   /* all of it if the call succeeded, or was interrupted after it began (the remaining time) */
    BACK_RESULT, /* as many units as the result says */
    BACK_ALWAYS, /* the kernel writes it on errors too */
};

struct job_back {
    uint64_t to;
    const void *from;
    size_t size;
    size_t unit, extra; /* BACK_RESULT: result * unit + extra bytes */
    enum put_back when;
};

struct job_block {
    void *base;
    size_t size;
};

struct job {
    struct mm *mm;
    bool self;
    struct call call;
    uint64_t args[CALL_ARGS]; /* the sandbox's */
    uint64_t host[1 + CALL_ARGS];

    struct job_back backs[JOB_MESSAGES * 2 + 8];
    unsigned back_count;
    struct job_block blocks[12];
    unsigned block_count;
    /* Another space, iovec: what the host wrote to one block is spread over these. */
    const struct iovec *spread;
    size_t spread_count;
    const char *spread_from;

    uint32_t socklen;
    size_t pool_used;
    _Alignas(16) char pool[JOB_POOL];
};

/* Scratch that lives as long as the job; from the pool, NULL if that is full. */
void *job_scratch(struct job *job, size_t size);
/* Likewise, of any size: the library's own memory. NULL if there is none. */
void *job_bounce(struct job *job, size_t size);
void job_free(struct job *job);

/* Copies from the sandbox, all or -EFAULT, never from a privileged page. */
long job_fetch(struct job *job, void *to, uint64_t from, size_t size);
/* Remembers to put it back. */
long job_put_back(struct job *job, uint64_t to, const void *from, size_t size, enum put_back when);
/* After the call: does so. 0 or -EFAULT. */
long job_finish(struct job *job, long result);

/*
 * What the host is to be given for [addr, addr + *size) of the sandbox, which the call reads or writes as flags say:
 * the address itself, checked, or a copy. With ARG_SHORT a copy may be made smaller, and *size says so. With ARG_RESULT
 * as many bytes go back as the result says; the caller sets unit and extra of the last of job->backs if these are no
 * bytes.
 */
long job_memory(struct job *job, uint64_t addr, uint64_t *size, unsigned flags, uint64_t *out);

/* Another space: true if a call with these flags may carry fewer bytes than it was asked to. */
bool job_may_cut(const struct job *job, unsigned flags);

/* A copy of the sandbox's string, of at most a page; without a NUL in it, one byte longer than the kernel takes. */
long job_string(struct job *job, uint64_t addr, uint64_t *out);
/* A page of data of any kind, as much of it as there is. */
long job_page(struct job *job, uint64_t addr, uint64_t *out);

/* Structures with pointers in them (nested.c). Each sets *out to the address of the checked copy. */
long job_iovec(struct job *job, uint64_t addr, uint64_t *count, unsigned flags, uint64_t *out);
long job_msghdr(struct job *job, uint64_t addr, unsigned flags, uint64_t *out);
long job_mmsghdr(struct job *job, uint64_t addr, uint64_t *count, unsigned flags, uint64_t *out);
long job_sigset_pair(struct job *job, uint64_t addr, uint64_t *out);
long job_futex_waitv(struct job *job, uint64_t addr, uint64_t count, uint64_t *out);
long job_file_handle(struct job *job, uint64_t addr, unsigned flags, uint64_t *out);
long job_sched_attr(struct job *job, uint64_t addr, uint64_t *out);
long job_ifconf(struct job *job, uint64_t addr, uint64_t *out);

/* Calls that open (opened.c): makes the call of job->host and returns its result, or -EACCES. */
long job_open(struct job *job);

#endif
