/* SPDX-License-Identifier: MIT */
/*
 * procfs: what /proc says about this process is about the monitor; where the program would take it for its own, or find
 * a way to the monitor, it is answered here. Paths are judged by their text, as the program writes them.
 */
#ifndef MONITOR_LINUX_PROCFS_H
#define MONITOR_LINUX_PROCFS_H

#include <stdbool.h>
#include <stddef.h>

/* True if path is /proc/self/<name>, or the same by way of thread-self, the process's number or its task folder. */
bool procfs_is_own(const char *path, const char *name);

/* The number N if path is /proc/self/fd/N or fdinfo/N in any of those forms, or /dev/fd/N; else -1. */
int procfs_descriptor(const char *path);

#endif
