/* SPDX-License-Identifier: MIT */
/*
 * proceed: performing on the host the system call that a sandbox made. polder_proceed finds the space and calls
 * proceed_call; what the space looks like is asked for through mm_*.
 */
#ifndef MONITOR_PROCEED_H
#define MONITOR_PROCEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

struct mm;

/* True for "/proc/self/mm": sandbox addresses are the caller's own. */
bool mm_is_self(const struct mm *mm);

/* Self only: true if no byte of [addr, addr + length) is privileged; false too if the range wraps or leaves the lower half.
 * An unmapped range is no privileged one: the host answers EFAULT for it. length 0 is true. */
bool mm_user_range(struct mm *mm, uint64_t addr, uint64_t length);

/* As polder_read and polder_write. */
ssize_t mm_read(struct mm *mm, void *buf, size_t count, uint64_t addr);
ssize_t mm_write(struct mm *mm, const void *buf, size_t count, uint64_t addr);

/* The call in orig_rax with the arguments in rdi, rsi, rdx, r10, r8, r9; returns its result, -errno included. */
long proceed_call(struct mm *mm, const struct user_regs_struct *regs);

#endif
