/* SPDX-License-Identifier: MIT */
/*
 * highfd: the library's own descriptors get high numbers. An embedder, and a sandboxed program above all, counts on the
 * lowest ones being free.
 */
#ifndef MONITOR_HIGHFD_H
#define MONITOR_HIGHFD_H

/* A close-on-exec duplicate with a high number, or with any if there is none: -1 and errno without one. */
int highfd_duplicate(int fd);
/* The same in place of fd, which is closed; fd itself if it cannot be moved, or is negative. */
int highfd_move(int fd);

#endif
