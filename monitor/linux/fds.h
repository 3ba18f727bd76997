/* SPDX-License-Identifier: MIT */
/*
 * fds: keeps the monitor's own descriptors out of the program's reach. They get numbers above those that the program is
 * given, and a call that names one is answered as if it were closed. State of the process, as descriptors are.
 */
#ifndef MONITOR_LINUX_FDS_H
#define MONITOR_LINUX_FDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * fds_begin: from here to fds_end every descriptor that is opened gets a high number. fds_end remembers them all as the
 * monitor's. 0 or -errno.
 */
int fds_begin(void);
int fds_end(void);

bool fds_hidden(int fd);

/* True if a descriptor argument of system call number is one of the monitor's: the answer is then EBADF. */
bool fds_refuse(uint64_t number, const uint64_t args[6]);

/* close_range without the monitor's descriptors; 0 or -errno. */
long fds_close_range(uint64_t first, uint64_t last, uint64_t flags);

/* Closes what is marked close-on-exec, for execve. */
void fds_close_on_exec(void);

/*
 * Takes the monitor's descriptors out of what getdents64 on directory has put into buf; returns the new length. Costs
 * no system call unless an entry is named like one of them.
 */
size_t fds_filter_listing(int directory, void *buf, size_t length);

/*
 * fd was just opened by the program: true if it is the memory or pipe behind one of the monitor's descriptors, opened
 * once more by way of /proc. A file with a name is anybody's to open.
 */
bool fds_same_file(int fd);

#endif
