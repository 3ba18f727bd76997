/* SPDX-License-Identifier: MIT */
/* mm: reading and writing a space's memory from ring 0, through the direct map. */
#include "file.h"
#include "mm.h"
#include "tables.h"
#include <polder/freestanding.h>

static ssize_t no_page(enum mm_fault why)
{
    return why == MM_NO_MEMORY ? -ENOMEM : -EFAULT;
}

/* Reading brings nothing in: what is not there is read where it would come from. */
static ssize_t read_some(struct mm *mm, char *buf, size_t count, uint64_t address)
{
    uint64_t *entry = table_entry(mm->root, address), pa;
    count = min_u64(count, PAGE_SIZE - address % PAGE_SIZE);
    if (entry && *entry) {
        pa = *entry & PTE_ADDRESS;
    } else {
        struct region *r = region_find(&mm->regions, address);
        if (!r)
            return -EFAULT;
        if (r->kind == REGION_ANONYMOUS) {
            memset(buf, 0, count);
            return (ssize_t)count;
        }
        int error = file_page(r->file, r->offset + (address - r->start), false, &pa);
        if (error)
            return error == -ENOMEM ? error : -EFAULT;
    }
    memcpy(buf, (char *)direct(pa) + address % PAGE_SIZE, count);
    return (ssize_t)count;
}

static ssize_t write_some(struct mm_change *change, const char *buf, size_t count, uint64_t address)
{
    struct mm *mm = change->mm;
    uint64_t *entry = table_entry(mm->root, address);
    count = min_u64(count, PAGE_SIZE - address % PAGE_SIZE);
    if (!entry || !(*entry & PTE_P) || !(*entry & PTE_W)) {
        struct region *r = region_find(&mm->regions, address);
        if (!r || !(r->prot & PROT_WRITE))
            return -EFAULT;
        enum mm_fault result = mm_bring_in(change, r, address, true);
        if (result != MM_RESOLVED)
            return no_page(result);
        entry = table_entry(mm->root, address);
        if (!entry)
            return -EFAULT;
    }
    memcpy((char *)direct(*entry & PTE_ADDRESS) + address % PAGE_SIZE, buf, count);
    return (ssize_t)count;
}

static ssize_t transfer(struct mm *mm, char *buf, size_t count, uint64_t address, bool write)
{
    size_t done = 0;
    ssize_t n = 0;
    struct mm_change change;
    if (count == 0)
        return 0;
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
