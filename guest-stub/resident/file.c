/* SPDX-License-Identifier: MIT */
#include "file.h"
#include "mm.h"
#include "records.h"
#include "tables.h"
#include <polder/freestanding.h>

struct file *file_new(uint64_t size)
{
    struct file *file = record_alloc(sizeof *file);
    if (!file)
        return NULL;
    *file = (struct file){.references = 1, .writable = true, .size = size, .root = table_alloc()};
    if (!file->root) {
        record_free(file, sizeof *file);
        return NULL;
    }
    return file;
}

struct file *file_new_window(uint64_t pa, uint64_t size, bool writable)
{
    struct file *file = record_alloc(sizeof *file);
    if (file)
        *file = (struct file){.references = 1, .window = true, .writable = writable, .size = size, .pa = pa};
    return file;
}

void file_hold(struct file *file)
{
    __atomic_fetch_add(&file->references, 1, __ATOMIC_RELAXED);
}

static void drop_in(void *opaque, uint64_t offset, uint64_t *entry, unsigned count)
{
    uint32_t gone = 0;
    (void)offset;
    FOR_ENTRIES(i, entry, count)
    {
        uint64_t pa = entry[i] & PTE_ADDRESS;
        entry[i] = 0;
        gone++;
        frame_drop(pa, opaque);
    }
    entries_gone(entry, gone);
}

static void drop_pages(struct file *file, uint64_t from)
{
    struct frame_list frames = {0}, tables = {0};
    tables_visit(file->root, from, USER_END, drop_in, &frames, &tables);
    frames_free(&frames);
    tables_free(&tables);
}

void file_drop(struct file *file)
{
    if (__atomic_sub_fetch(&file->references, 1, __ATOMIC_ACQ_REL))
        return;
    if (!file->window) {
        struct frame_list tables = {0};
        drop_pages(file, 0);
        table_drop(file->root, &tables);
        tables_free(&tables);
    }
    record_free(file, sizeof *file);
}

/* With the lock held: 0 or the error. */
static int make_page(struct file *file, uint64_t offset, uint64_t **entry)
{
    *entry = table_entry_make(file->root, offset);
    if (!*entry)
        return -ENOMEM;
    if (**entry)
        return 0;
    uint64_t fresh = frame_alloc_zeroed();
    if (!fresh)
        return -ENOMEM;
    entry_set(*entry, fresh | PTE_P);
    return 0;
}

int file_page(struct file *file, uint64_t offset, bool hold, uint64_t *pa)
{
    offset &= PAGE_MASK;
    if (file->window) {
        *pa = file->pa + offset;
        return offset < page_up(file->size) ? 0 : -ERANGE;
    }
    /* The size is read, and the page held, under the lock: what is being cut off is not handed out. */
    lock(&file->lock);
    int error = -ERANGE;
    if (offset < page_up(file->size)) {
        uint64_t *entry = table_entry(file->root, offset);
        error = entry && *entry ? 0 : make_page(file, offset, &entry);
        if (!error) {
            *pa = *entry & PTE_ADDRESS;
            if (hold)
                frame_hold(*pa);
        }
    }
    unlock(&file->lock);
    return error;
}

bool file_has_page(struct file *file, uint64_t offset, uint64_t pa)
{
    if (file->window)
        return file->pa + offset == pa;
    lock(&file->lock);
    uint64_t *entry = table_entry(file->root, offset);
    bool has = entry && (*entry & PTE_ADDRESS) == pa;
    unlock(&file->lock);
    return has;
}

int file_resize(struct file *file, uint64_t size)
{
    if (file->window)
        return -EINVAL;
    if (size > USER_END)
        return -EFBIG;
    lock(&file->resizing); /* what grows meanwhile would lose its new pages to the cut, but not those who have mapped
                              them */
    lock(&file->lock);
    uint64_t old = file->size;
    file->size = size;
    uint64_t *last = size < old && size % PAGE_SIZE ? table_entry(file->root, size & PAGE_MASK) : NULL;
    if (last && *last)
        memset((char *)direct(*last & PTE_ADDRESS) + size % PAGE_SIZE, 0, PAGE_SIZE - size % PAGE_SIZE);
    unlock(&file->lock);
    if (page_up(size) < page_up(old)) {
        /* From here on nobody maps what is cut off; then nobody has it mapped; then it goes. */
        mms_forget_file(file, page_up(size));
        lock(&file->lock);
        drop_pages(file, page_up(size));
        unlock(&file->lock);
    }
    unlock(&file->resizing);
    return 0;
}
