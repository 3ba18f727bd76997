/* SPDX-License-Identifier: MIT */
/*
 * user: copies between the monitor and the program's memory. Addresses are the program's and may be anything.
 */
#ifndef MONITOR_LINUX_USER_H
#define MONITOR_LINUX_USER_H

#include <stddef.h>
#include <stdint.h>

/* All size bytes: 0, or -EFAULT. */
int user_get(int mm_fd, void *buf, size_t size, uint64_t addr);
int user_put(int mm_fd, const void *buf, size_t size, uint64_t addr);

/* A string with its end: its length, or -EFAULT, -ENAMETOOLONG if it does not fit. */
long user_string(int mm_fd, char *buf, size_t size, uint64_t addr);

/*
 * A list of strings that ends with a null pointer, as argv is: malloc'ed. NULL
 * and *error (EFAULT, E2BIG, ENOMEM) on failure. A null addr is an empty list, as Linux has it.
 */
char **user_strings(int mm_fd, uint64_t addr, int *error);
void user_strings_free(char **list);

#endif
