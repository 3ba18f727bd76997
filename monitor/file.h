/* SPDX-License-Identifier: MIT */
/*
 * file: a file that spaces map, and the monitor's own shared mapping of it: the window through which its pages have
 * guest-physical addresses. One per file (device and inode) and right to write, however many spaces map it how often.
 */
#ifndef MONITOR_FILE_H
#define MONITOR_FILE_H

#include "types.h"
#include <sys/types.h>

struct file;

/*
 * The file behind a caller's descriptor, held: 0, or -EBADF, -EACCES (not open for reading), -ENODEV (no memory to
 * map), -ENOMEM, -EMFILE. *writable: the descriptor may write; known after every
 * error but -EBADF.
 */
int file_get(int fd, struct file **file, bool *writable);
/* True for a descriptor that may write and whose file is sealed against it: a shared writable mapping is EPERM. */
bool file_is_sealed(const struct file *file, int fd);
/* True for /dev/zero, which maps as anonymous memory. */
bool file_is_zero_device(int fd);
/* Shared memory without a name, of size bytes; held. */
int file_new_anonymous(uint64_t size, struct file **file);
void file_hold(struct file *file);
void file_drop(struct file *file);
/* The host address of a page of the file, with at least *length bytes (cut to what the window holds) after it in a row.
 * It may lie beyond the end of the file, where touching it is SIGBUS: ask file_size. */
int file_hva(struct file *file, uint64_t offset, uint64_t *length, char **hva);
/* Its size now, in bytes: a host system call. */
uint64_t file_size(const struct file *file);
/* As through the window, but -errno where it would be SIGBUS, and 0 beyond the end. */
ssize_t file_read(struct file *file, void *buf, size_t count, uint64_t offset);
ssize_t file_write(struct file *file, const void *buf, size_t count, uint64_t offset);
void files_forget(void);

#endif
