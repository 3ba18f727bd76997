/* SPDX-License-Identifier: MIT */
/*
 * mem_calls: mmap and its kin. The library keeps what is mapped where, brings pages in and breaks copy-on-write; to
 * this kernel a region is something that it has asked for and may forget.
 */
#include "umlike.h"

#define MAP_TYPE 0x0f

static int64_t map(struct process *p, uint64_t start, uint64_t length, int prot, int flags, int fd, uint64_t offset)
{
    void *at = polder_mmap((void *)start, length, prot, flags, fd, (off_t)offset, p->space->fd);
    return at == MAP_FAILED ? -errno : (int64_t)at;
}

HANDLER(mmap)
{
    uint64_t start = r->rdi, length = r->rsi, offset = r->r9;
    int prot = (int)r->rdx & (PROT_READ | PROT_WRITE | PROT_EXEC), flags = (int)r->r10;
    if (flags & MAP_ANONYMOUS)
        return map(p, start, length, prot, flags, -1, 0);
    struct file *f = file_get(p, r->r8);
    if (!f)
        return -EBADF;
    if (f->inode->ops != &regular_ops)
        return f->inode->ops && f->inode->ops->map_zero ? map(p, start, length, prot, flags | MAP_ANONYMOUS, -1, 0)
                                                        : -ENODEV;
    uint32_t mode = f->flags & O_ACCMODE;
    if (mode == O_WRONLY)
        return -EACCES;
    if ((flags & MAP_TYPE) != MAP_PRIVATE && (prot & PROT_WRITE) && mode != O_RDWR)
        return -EACCES;
    int error = data_prepare(f->inode);
    return error ? error : map(p, start, length, prot, flags, f->inode->data.fd, offset);
}

HANDLER(munmap)
{
    return polder_munmap((void *)r->rdi, r->rsi, p->space->fd) ? -errno : 0;
}

HANDLER(mprotect)
{
    int prot = (int)r->rdx & (PROT_READ | PROT_WRITE | PROT_EXEC);
    return polder_mprotect((void *)r->rdi, r->rsi, prot, p->space->fd) ? -errno : 0;
}

HANDLER(brk)
{
    struct space *space = p->space;
    uint64_t wanted = r->rdi, old = page_up(space->brk), new = page_up(wanted);
    if (wanted < space->brk_start || wanted >= USER_END)
        return (int64_t)space->brk;
    if (new > old) {
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
        if (map(p, old, new - old, PROT_READ | PROT_WRITE, flags, -1, 0) < 0)
            return (int64_t)space->brk;
    } else if (new < old && polder_munmap((void *)new, old - new, space->fd)) {
        return (int64_t)space->brk;
    }
    space->brk = wanted;
    return (int64_t)wanted;
}

/* Copies what a program has in one place to another, through a page of the kernel's. */
static int64_t move(struct process *p, uint64_t from, uint64_t to, uint64_t length)
{
    void *page = page_alloc();
    int error = page ? 0 : -ENOMEM;
    for (uint64_t done = 0; !error && done < length; done += PAGE) {
        error = copy_in(p, page, from + done, PAGE);
        error = error ? error : copy_out(p, to + done, page, PAGE);
    }
    page_free(page);
    return error;
}

/*
 * What malloc uses it for: private anonymous memory that can be read and written. Since nobody here remembers what a
 * region is, one that grows becomes that.
 */
HANDLER(mremap)
{
    uint64_t old = r->rdi, old_length = page_up(r->rsi), length = page_up(r->rdx);
    int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    if ((old & (PAGE - 1)) || !length || !old_length || old >= USER_END || old_length > USER_END || length > USER_END ||
        (r->r10 & ~(uint64_t)MREMAP_MAYMOVE))
        return -EINVAL;
    if (length <= old_length) {
        if (length < old_length && polder_munmap((void *)(old + length), old_length - length, p->space->fd))
            return -errno;
        return (int64_t)old;
    }
    char probe;
    if (copy_in(p, &probe, old, sizeof probe))
        return -EFAULT;
    if (map(p, old + old_length, length - old_length, prot, flags | MAP_FIXED_NOREPLACE, -1, 0) >= 0)
        return (int64_t)old;
    if (!(r->r10 & MREMAP_MAYMOVE))
        return -ENOMEM;
    int64_t to = map(p, 0, length, prot, flags, -1, 0);
    if (to < 0)
        return to;
    int64_t error = move(p, old, (uint64_t)to, old_length);
    if (!error && polder_munmap((void *)old, old_length, p->space->fd))
        error = -errno;
    if (error)
        polder_munmap((void *)to, length, p->space->fd);
    return error ? error : to;
}

HANDLER(madvise)
{
    (void)p;
    /* The others are hints; this one promises zeros. */
    return r->rdx == MADV_DONTNEED ? -EINVAL : 0;
}
