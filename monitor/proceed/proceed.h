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

/* Self only: true if no byte of [addr, addr + length) is privileged; false too if the range wraps or leaves the lower
 * half. An unmapped range is no privileged one: the host answers EFAULT for it. length 0 is true. */
bool mm_user_range(struct mm *mm, uint64_t addr, uint64_t length);

/* As polder_read and polder_write. */
ssize_t mm_read(struct mm *mm, void *buf, size_t count, uint64_t addr);
ssize_t mm_write(struct mm *mm, const void *buf, size_t count, uint64_t addr);

/* Memory of the library's own, which no sandbox sees (hostmem's; 16-byte aligned). NULL if there is none. */
void *record_alloc(size_t size);
void record_free(void *record, size_t size);

/*
 * The call in orig_rax with the arguments in rdi, rsi, rdx, r10, r8, r9; returns its result, -errno included.
 *
 * On "/proc/self/mm" the host gets the sandbox's own pointers once their ranges are checked; what the kernel would
 * follow further (strings, iovec, msghdr, socklen_t, ...) is copied to this thread's stack first, and the copy is what
 * is checked and what the host gets. The stack must therefore be out of reach of other sandboxes of the same space, as
 * it is for anything else that the caller does.
 *
 * On any other space the arguments are carried across by copies. See proceed.c for what is carried.
 */
long proceed_call(struct mm *mm, const struct user_regs_struct *regs);

/*
 * For a caller whose signal handlers must end the host call that proceed_call is about to make, without a gap between
 * its last look at pending signals and the kernel's (a lost wake-up: the call blocks although the signal is there).
 *
 * The handler sets proceed_interrupt.stop, and if the interrupted instruction pointer is in [proceed_syscall_start,
 * proceed_syscall_end) it moves it to proceed_syscall_skip:
 *
 *     greg_t *rip = &context->uc_mcontext.gregs[REG_RIP];
 *     proceed_interrupt.stop = 1;
 *     if (*rip >= (greg_t)proceed_syscall_start && *rip < (greg_t)proceed_syscall_end)
 *         *rip = (greg_t)proceed_syscall_skip;
 *
 * A call that is being restarted after the handler (SA_RESTART) is in that range too, and has done nothing. The result
 * is then -EINTR and proceed_interrupt.skipped is true: the call was not made and can be made again whatever it is.
 * With skipped false -EINTR is the kernel's own. Whoever sets stop clears it; while it is set no host call is made.
 */
struct proceed_interrupt {
    volatile int stop; /* in */
    int skipped;       /* out: written by every proceed_call */
};
extern _Thread_local struct proceed_interrupt proceed_interrupt;
extern const char proceed_syscall_start[], proceed_syscall_end[], proceed_syscall_skip[];

#endif
