/* SPDX-License-Identifier: MIT */
/* fd: descriptors of spaces and files. Numbers start at 3, as a program's do. */
#ifndef RESIDENT_FD_H
#define RESIDENT_FD_H

struct mm;
struct file;

/* Take over the caller's reference if they succeed. The number, or -EMFILE, -ENOMEM. */
int fd_new_mm(struct mm *mm);
int fd_new_file(struct file *file);
/* What is behind it, held: 0, -EBADF, or -EINVAL for the other kind. */
int fd_get_mm(int fd, struct mm **mm);
int fd_get_file(int fd, struct file **file);
int fd_dup(int fd);
int fd_close(int fd);

#endif
