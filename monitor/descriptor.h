/* SPDX-License-Identifier: MIT */
/*
 * descriptor: file descriptors that stand for spaces. The caller's is the reading end of a pipe that nobody writes to;
 * ours is the writing end, which epoll calls broken when the last duplicate of the caller's is closed. st_dev and
 * st_ino say which pipe a descriptor is, and cannot be reused while ours is open: a number that was closed and reused
 * is noticed at every call.
 */
#ifndef MONITOR_DESCRIPTOR_H
#define MONITOR_DESCRIPTOR_H

#include "mm.h"

/* A new descriptor of mm, which takes over the caller's hold: its number, or -errno and the hold is still the caller's.
 */
int descriptor_new(struct mm *mm);
/* The space of a descriptor, held: 0, -EBADF, -EINVAL, or -ESTALE for one that was inherited by fork(). */
int descriptor_find(int fd, struct mm **mm);
/* Frees the spaces whose descriptors are all closed. */
void descriptors_reap(void);
/* After fork(): what is there is the parent's. */
void descriptors_disown(void);

#endif
