/* SPDX-License-Identifier: MIT */
/* mm: reading and writing a space's memory from outside. */
#include "file.h"
#include "mm.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* One page at a time, so that what lies beyond a file's end, or a page that the host took away, is a short count. */
static ssize_t own_process(void *buf, size_t count, uint64_t address, bool write)
{
    struct iovec local = {buf, count}, remote = {(void *)address, count};
    ssize_t n = write ? process_vm_writev(getpid(), &local, 1, &remote, 1, 0)
                      : process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
    if (n < 0 && !write) { /* reading ignores protection, which only the process's file does */
        int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : pread(fd, buf, count, (off_t)address);
        if (fd >= 0)
            close(fd);
    }
    return n <= 0 ? -EFAULT : n;
}

static uint32_t private_frame(struct mm *mm, const struct region *r, uint64_t address)
{
    struct chunk *chunk = r->kind == REGION_FILE_SHARED ? NULL : mm_chunk(mm, address);
    return chunk ? chunk->frame[address / PAGE_SIZE % BLOCK_PAGES] : 0;
}

static ssize_t read_some(struct mm *mm, char *buf, size_t count, uint64_t address)
{
    struct region *r = region_find(&mm->regions, address);
    if (!r)
        return -EFAULT;
    count = min_u64(count, min_u64(r->end - address, PAGE_SIZE - address % PAGE_SIZE));
    uint32_t frame = private_frame(mm, r, address);
    if (frame) {
        memcpy(buf, (char *)frame_hva(frame) + address % PAGE_SIZE, count);
        return (ssize_t)count;
    }
    if (r->kind == REGION_ANONYMOUS) {
        memset(buf, 0, count);
        return (ssize_t)count;
    }
    uint64_t offset = r->offset + (address - r->start);
    ssize_t n = file_read(r->file, buf, count, offset);
    if (n < 0 || (n == 0 && offset >= page_up(file_size(r->file))))
        return -EFAULT;
    memset(buf + n, 0, count - (size_t)n); /* the rest of the file's last page reads as zeros */
    return (ssize_t)count;
}

static ssize_t write_some(struct mm_change *change, const char *buf, size_t count, uint64_t address)
{
    struct mm *mm = change->mm;
    struct region *r = region_find(&mm->regions, address);
    if (!r || !(r->prot & PROT_WRITE))
        return -EFAULT;
    count = min_u64(count, min_u64(r->end - address, PAGE_SIZE - address % PAGE_SIZE));
    if (r->kind == REGION_FILE_SHARED) {
        ssize_t n = file_write(r->file, buf, count, r->offset + (address - r->start));
        return n > 0 ? n : n == -ENOMEM ? -ENOMEM : -EFAULT;
    }
    if (!private_frame(mm, r, address) && r->kind == REGION_ANONYMOUS) {
        struct chunk *chunk = mm_own_chunk(mm, address);
        uint32_t frame = chunk ? frame_alloc() : 0;
        if (!frame)
            return -ENOMEM;
        chunk->frame[address / PAGE_SIZE % BLOCK_PAGES] = frame;
    } else if (mm_break_cow(change, r, address) != MM_RESOLVED) {
        return -EFAULT;
    }
    memcpy((char *)frame_hva(private_frame(mm, r, address)) + address % PAGE_SIZE, buf, count);
    return (ssize_t)count;
}

static ssize_t self_some(struct mm *mm, char *buf, size_t count, uint64_t address, bool write)
{
    if (!mm_user_range(mm, address, 1))
        return -EFAULT;
    size_t left = (size_t)(PAGE_SIZE - address % PAGE_SIZE);
    count = count < left ? count : left;
    return mm_user_range(mm, address, count) ? own_process(buf, count, address, write) : -EFAULT;
}

static ssize_t transfer(struct mm *mm, char *buf, size_t count, uint64_t address, bool write)
{
    size_t done = 0;
    ssize_t n = 0;
    if (count == 0)
        return 0;
    if (mm->self) {
        for (; done < count; done += (size_t)n) {
            n = self_some(mm, buf + done, count - done, address + done, write);
            if (n <= 0)
                break;
        }
        return done ? (ssize_t)done : -EFAULT;
    }
    struct mm_change change;
    mm_begin(mm, &change);
    for (; done < count && address + done < USER_END; done += (size_t)n) {
        n = write ? write_some(&change, buf + done, count - done, address + done)
                  : read_some(mm, buf + done, count - done, address + done);
        if (n <= 0)
            break;
    }
    mm_finish(&change);
    return done ? (ssize_t)done : n == -ENOMEM ? -ENOMEM : -EFAULT;
}

ssize_t mm_read(struct mm *mm, void *buf, size_t count, uint64_t addr)
{
    return transfer(mm, buf, count, addr, false);
}

ssize_t mm_write(struct mm *mm, const void *buf, size_t count, uint64_t addr)
{
    return transfer(mm, (void *)buf, count, addr, true);
}
