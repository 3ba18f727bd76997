/* SPDX-License-Identifier: MIT */
/*
 * file: what can be mapped besides anonymous memory. Either memory of the guest's own, page by page as it is touched,
 * or a file of the host's that `polder boot --file` has brought in.
 */
#ifndef RESIDENT_FILE_H
#define RESIDENT_FILE_H

#include "lock.h"
#include "types.h"

struct file {
    struct lock resizing; /* from one end to the other, outside of all spaces' locks */
    struct lock lock;
    uint32_t references;
    bool window;   /* of the host's, from pa on */
    bool writable; /* MAP_SHARED with PROT_WRITE is allowed */
    uint64_t size; /* bytes */
    uint64_t pa;   /* of a window */
    uint64_t root; /* of memory: tables as page tables have them, indexed by offset; never loaded */
};

/* Each held once. NULL without memory. */
struct file *file_new(uint64_t size);
struct file *file_new_window(uint64_t pa, uint64_t size, bool writable);
void file_hold(struct file *file);
void file_drop(struct file *file);
/* The page at offset, made if need be; it lives as long as the file is not cut, or, if it is to be held and is RAM,
 * until frame_drop. 0, -ERANGE beyond the end, -ENOMEM. */
int file_page(struct file *file, uint64_t offset, bool hold, uint64_t *pa);
/* True if that very page is the file's. Makes none. */
bool file_has_page(struct file *file, uint64_t offset, uint64_t pa);
/* Also takes what is cut off out of every space. 0, -EINVAL (a window), -EFBIG. */
int file_resize(struct file *file, uint64_t size);

#endif
