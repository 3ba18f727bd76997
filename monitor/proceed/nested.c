/* SPDX-License-Identifier: MIT */
/*
 * Structures that have pointers in them. Another thread of the sandbox can change its memory at any time, so what was
 * looked at must be what the kernel sees: each is copied, the copy is checked, and the kernel gets the copy.
 */
#include "job.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/if.h>
#include <linux/sched/types.h>
#include <string.h>
#include <sys/socket.h>

/* <fcntl.h> has struct file_handle, but its array is of no size. */
struct handle {
    uint32_t handle_bytes;
    int32_t handle_type;
    unsigned char data[128]; /* MAX_HANDLE_SZ */
};

/* Other spaces: one block instead of many, since only its content is carried across. */
static long bounce_iovec(struct job *job, struct iovec *vec, uint64_t *count, unsigned flags, uint64_t *out)
{
    uint64_t total = 0;
    for (uint64_t i = 0; i < *count; i++) {
        if (vec[i].iov_len > JOB_BOUNCE - total) {
            if (!job_may_cut(job, flags)) {
                return -EMSGSIZE;
            }
            vec[i].iov_len = JOB_BOUNCE - total;
            *count = i + 1;
        }
        total += vec[i].iov_len;
    }
    char *block = job_bounce(job, total);
    struct iovec *one = job_scratch(job, sizeof(*one));
    if (!block || !one) {
        return -ENOMEM;
    }
    *one = (struct iovec){block, total};
    if (flags & ARG_IN) {
        char *to = block;
        for (uint64_t i = 0; i < *count; i++) {
            if (vec[i].iov_len && job_fetch(job, to, (uintptr_t)vec[i].iov_base, vec[i].iov_len)) {
                return -EFAULT;
            }
            to += vec[i].iov_len;
        }
    }
    if (flags & ARG_OUT) {
        job->spread = vec;
        job->spread_count = *count;
        job->spread_from = block;
    }
    *count = 1;
    *out = (uintptr_t)one;
    return 0;
}

long job_iovec(struct job *job, uint64_t addr, uint64_t *count, unsigned flags, uint64_t *out)
{
    if (*count > JOB_IOVS) {
        return -EINVAL;
    }
    struct iovec *vec = job_scratch(job, *count * sizeof(*vec));
    if (!vec) {
        return -ENOMEM;
    }
    *out = (uintptr_t)vec;
    if (*count == 0) {
        return 0;
    }
    if (job_fetch(job, vec, addr, *count * sizeof(*vec))) {
        return -EFAULT;
    }
    for (uint64_t i = 0; i < *count; i++) {
        if ((ssize_t)vec[i].iov_len < 0) {
            return -EINVAL;
        }
        if (job->self && !mm_user_range(job->mm, (uintptr_t)vec[i].iov_base, vec[i].iov_len)) {
            return -EFAULT;
        }
    }
    return job->self ? 0 : bounce_iovec(job, vec, count, flags, out);
}

/* All that hangs on a copied msghdr; afterwards it holds what the host may use. */
static long translate_msghdr(struct job *job, struct msghdr *msg, unsigned flags)
{
    if (msg->msg_iovlen > JOB_IOVS) {
        return -EMSGSIZE;
    }
    if (msg->msg_controllen > INT32_MAX) {
        return -ENOBUFS;
    }
    uint64_t out, size = msg->msg_iovlen;
    long error = job_iovec(job, (uintptr_t)msg->msg_iov, &size, flags | ARG_SHORT, &out);
    if (error) {
        return error;
    }
    msg->msg_iov = (struct iovec *)out;
    msg->msg_iovlen = size;
    if (msg->msg_name) {
        /* More than a sockaddr_storage is never touched; a negative length is the kernel's to refuse. */
        size = (int32_t)msg->msg_namelen < 0 ? 0 : msg->msg_namelen;
        size = size < sizeof(struct sockaddr_storage) ? size : sizeof(struct sockaddr_storage);
        error = job_memory(job, (uintptr_t)msg->msg_name, &size, flags, &out);
        if (error) {
            return error;
        }
        msg->msg_name = (void *)out;
    }
    if (msg->msg_control) {
        size = msg->msg_controllen;
        error = job_memory(job, (uintptr_t)msg->msg_control, &size, flags, &out);
        if (error) {
            return error;
        }
        msg->msg_control = (void *)out;
    } else if (!(flags & ARG_OUT) && msg->msg_controllen) {
        return -EFAULT;
    }
    return 0;
}

/* The fields that recvmsg writes: the name's length, and the control data's with the flags behind it. */
static long put_back_msghdr(struct job *job, uint64_t addr, const struct msghdr *copy, size_t tail)
{
    long error = job_put_back(
        job, addr + offsetof(struct msghdr, msg_namelen), &copy->msg_namelen, sizeof(copy->msg_namelen), BACK_DONE);
    if (error) {
        return error;
    }
    return job_put_back(job, addr + offsetof(struct msghdr, msg_controllen), &copy->msg_controllen, tail, BACK_DONE);
}

long job_msghdr(struct job *job, uint64_t addr, unsigned flags, uint64_t *out)
{
    struct msghdr *copy = job_scratch(job, sizeof(*copy));
    if (!copy) {
        return -ENOMEM;
    }
    if (job_fetch(job, copy, addr, sizeof(*copy))) {
        return -EFAULT;
    }
    *out = (uintptr_t)copy;
    long error = translate_msghdr(job, copy, flags);
    if (error || !(flags & ARG_OUT)) {
        return error;
    }
    return put_back_msghdr(job, addr, copy, sizeof(copy->msg_controllen) + sizeof(copy->msg_flags));
}

long job_mmsghdr(struct job *job, uint64_t addr, uint64_t *count, unsigned flags, uint64_t *out)
{
    const size_t tail = offsetof(struct mmsghdr, msg_len) + sizeof(unsigned) - offsetof(struct msghdr, msg_controllen);
    uint64_t most = *count < JOB_MESSAGES ? *count : JOB_MESSAGES;
    struct mmsghdr *copy = job_scratch(job, most * sizeof(*copy));
    if (!copy) {
        return -ENOMEM;
    }
    *out = (uintptr_t)copy;
    if (job_fetch(job, copy, addr, most * sizeof(*copy))) {
        return -EFAULT;
    }
    for (uint64_t i = 0; i < most; i++) {
        uint64_t at = addr + i * sizeof(*copy);
        long error = translate_msghdr(job, &copy[i].msg_hdr, flags);
        if (!error && (flags & ARG_OUT)) {
            error = put_back_msghdr(job, at, &copy[i].msg_hdr, tail);
        } else if (!error) {
            error = job_put_back(job, at + offsetof(struct mmsghdr, msg_len), &copy[i].msg_len, 4, BACK_DONE);
        }
        if (error && i == 0) {
            return error;
        }
        if (error) {
            /* A fault: as the kernel does it, those before are carried and the next call meets it. Or the iovecs of
             * those before have filled the pool: fewer messages are an answer too. */
            most = i;
        }
    }
    *count = most;
    return 0;
}

long job_sigset_pair(struct job *job, uint64_t addr, uint64_t *out)
{
    uint64_t *pair = job_scratch(job, 2 * sizeof(*pair));
    if (!pair) {
        return -ENOMEM;
    }
    if (job_fetch(job, pair, addr, 2 * sizeof(*pair))) {
        return -EFAULT;
    }
    *out = (uintptr_t)pair;
    if (pair[0] == 0) {
        return 0;
    }
    uint64_t size = 8; /* of any other the kernel says EINVAL */
    return job_memory(job, pair[0], &size, ARG_IN, &pair[0]);
}

long job_futex_waitv(struct job *job, uint64_t addr, uint64_t count, uint64_t *out)
{
    if (count > FUTEX_WAITV_MAX) {
        return -EINVAL;
    }
    struct futex_waitv *copy = job_scratch(job, count * sizeof(*copy));
    if (!copy) {
        return -ENOMEM;
    }
    if (job_fetch(job, copy, addr, count * sizeof(*copy))) {
        return -EFAULT;
    }
    for (uint64_t i = 0; i < count; i++) {
        /* The low bits say the size; only 4 bytes exist so far. */
        if (!mm_user_range(job->mm, copy[i].uaddr, (copy[i].flags & 3) == 2 ? 4 : 8)) {
            return -EFAULT;
        }
    }
    *out = (uintptr_t)copy;
    return 0;
}

long job_file_handle(struct job *job, uint64_t addr, unsigned flags, uint64_t *out)
{
    const size_t head = offsetof(struct handle, data);
    struct handle *copy = job_scratch(job, sizeof(*copy));
    if (!copy) {
        return -ENOMEM;
    }
    if (job_fetch(job, copy, addr, head)) {
        return -EFAULT;
    }
    if (copy->handle_bytes > sizeof(copy->data)) {
        return -EINVAL;
    }
    uint32_t bytes = copy->handle_bytes;
    if (job_fetch(job, copy, addr, head + bytes)) {
        return -EFAULT;
    }
    copy->handle_bytes = bytes; /* the second look may have seen another length */
    *out = (uintptr_t)copy;
    return flags & ARG_OUT ? job_put_back(job, addr, copy, head + bytes, BACK_ALWAYS) : 0;
}

long job_sched_attr(struct job *job, uint64_t addr, uint64_t *out)
{
    const uint32_t first = 48; /* SCHED_ATTR_SIZE_VER0 */
    uint32_t size;
    if (job_fetch(job, &size, addr, sizeof(size))) {
        return -EFAULT;
    }
    uint32_t need = size == 0 ? first : size < first || size > 4096 ? sizeof(size) : size;
    uint32_t *copy = job_scratch(job, need);
    if (!copy) {
        return -ENOMEM;
    }
    if (job_fetch(job, copy, addr, need)) {
        return -EFAULT;
    }
    copy[0] = size;
    *out = (uintptr_t)copy;
    /* A size that the kernel does not like is answered with its own. */
    return job_put_back(job, addr, copy, sizeof(size), BACK_ALWAYS);
}

long job_ifconf(struct job *job, uint64_t addr, uint64_t *out)
{
    struct ifconf *copy = job_scratch(job, sizeof(*copy));
    if (!copy) {
        return -ENOMEM;
    }
    if (job_fetch(job, copy, addr, sizeof(*copy))) {
        return -EFAULT;
    }
    *out = (uintptr_t)copy;
    if (copy->ifc_buf) {
        if (copy->ifc_len < 0) {
            return -EINVAL;
        }
        uint64_t size = (uint64_t)copy->ifc_len, buffer;
        long error = job_memory(job, (uintptr_t)copy->ifc_buf, &size, ARG_OUT, &buffer);
        if (error) {
            return error;
        }
        copy->ifc_buf = (char *)buffer;
    }
    return job_put_back(job, addr, &copy->ifc_len, sizeof(copy->ifc_len), BACK_DONE);
}
