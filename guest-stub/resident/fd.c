/* SPDX-License-Identifier: MIT */
#include "fd.h"
#include "cpu.h"
#include "file.h"
#include "frames.h"
#include "mm.h"
#include "records.h"
#include <polder/freestanding.h>

#define FIRST 3u
#define PER_PAGE (PAGE_SIZE / sizeof(struct slot))
#define PAGES 128u
#define LIMIT ((uint32_t)(PAGES * PER_PAGE))

struct slot {
    struct mm *mm;
    struct file *file;
};

static struct {
    struct lock lock;
    struct slot *pages[PAGES];
    uint32_t lowest; /* none below it is free */
} table = {.lowest = FIRST};

static struct slot *slot_of(int fd)
{
    uint32_t number = (uint32_t)fd;
    if (number >= LIMIT || !table.pages[number / PER_PAGE])
        return NULL;
    return &table.pages[number / PER_PAGE][number % PER_PAGE];
}

static int new_slot(struct mm *mm, struct file *file)
{
    int result = -EMFILE;
    lock(&table.lock);
    for (uint32_t number = table.lowest; number < LIMIT; number++) {
        struct slot **page = &table.pages[number / PER_PAGE];
        if (!*page) {
            uint64_t pa = frame_alloc_zeroed();
            if (!pa) {
                result = -ENOMEM;
                break;
            }
            *page = direct(pa);
        }
        struct slot *slot = &(*page)[number % PER_PAGE];
        if (!slot->mm && !slot->file) {
            *slot = (struct slot){mm, file};
            table.lowest = number + 1;
            result = (int)number;
            break;
        }
    }
    unlock(&table.lock);
    return result;
}

int fd_new_mm(struct mm *mm)
{
    return new_slot(mm, NULL);
}

int fd_new_file(struct file *file)
{
    return new_slot(NULL, file);
}

int fd_get_mm(int fd, struct mm **mm)
{
    int error = -EBADF;
    lock(&table.lock);
    struct slot *slot = slot_of(fd);
    if (__builtin_expect(slot && slot->mm, 1)) {
        *mm = slot->mm;
        mm_hold(*mm);
        error = 0;
    } else if (slot && slot->file) {
        error = -EINVAL;
    }
    unlock(&table.lock);
    return error;
}

int fd_get_file(int fd, struct file **file)
{
    int error = -EBADF;
    lock(&table.lock);
    struct slot *slot = slot_of(fd);
    if (slot && slot->file) {
        *file = slot->file;
        file_hold(*file);
        error = 0;
    } else if (slot && slot->mm) {
        error = -ENODEV; /* what mmap says of what cannot be mapped */
    }
    unlock(&table.lock);
    return error;
}

int fd_dup(int fd)
{
    struct mm *mm = NULL;
    struct file *file = NULL;
    int error = fd_get_mm(fd, &mm);
    if (error == -EINVAL)
        error = fd_get_file(fd, &file);
    if (error)
        return error;
    int copy = new_slot(mm, file);
    if (copy < 0 && mm)
        mm_drop(mm);
    if (copy < 0 && file)
        file_drop(file);
    return copy;
}

int fd_close(int fd)
{
    struct slot old = {0};
    lock(&table.lock);
    struct slot *slot = slot_of(fd);
    if (slot) {
        old = *slot;
        *slot = (struct slot){0};
        cpu_not_ready(this_cpu());
    }
    if ((old.mm || old.file) && (uint32_t)fd < table.lowest)
        table.lowest = (uint32_t)fd;
    unlock(&table.lock);
    if (old.mm)
        mm_drop(old.mm);
    if (old.file)
        file_drop(old.file);
    return old.mm || old.file ? 0 : -EBADF;
}
