/* SPDX-License-Identifier: MIT */
/*
 * signals: the program's signals. The host's dispositions and mask are kept equal to the program's, so that what needs
 * no handler (death, stop, ignoring, waiting for it) is done by the host; a handler runs in the sandbox, never here.
 * State of the process, as signals are.
 */
#ifndef MONITOR_LINUX_SIGNALS_H
#define MONITOR_LINUX_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct task;

/* Takes over dispositions and mask from whoever started the monitor. 0 or -errno. */
int signals_start(struct task *task);

/* The system calls; arguments as the program gave them. */
long signals_sigaction(struct task *task, uint64_t sig, uint64_t act, uint64_t old, uint64_t size);
long signals_sigprocmask(struct task *task, uint64_t how, uint64_t set, uint64_t old, uint64_t size);
long signals_sigaltstack(struct task *task, uint64_t stack, uint64_t old);
long signals_sigpending(struct task *task, uint64_t set, uint64_t size);
long signals_sigsuspend(struct task *task, uint64_t set, uint64_t size);
long signals_sigtimedwait(struct task *task, uint64_t set, uint64_t info, uint64_t timeout, uint64_t size);
long signals_pause(struct task *task);
/* Restores the registers that the handler's frame holds; kills the program if there is no frame. */
void signals_sigreturn(struct task *task);

/*
 * Around a host call that may block: from begin on, a signal with a handler interrupts the call, however short before
 * it arrives. begin is false if one has come already: the call must not be made, the program has not made it yet.
 */
bool signals_call_begin(void);
void signals_call_end(void);

/*
 * signals_deliver enters the handlers of what has arrived and is not blocked. was_call is the number of the system call
 * that just gave -EINTR, or -1: it is made again if the handler asked for that. Cheap if nothing has arrived, which is
 * what signals_waiting tells.
 */
bool signals_waiting(void);
void signals_deliver(struct task *task, long was_call);

/* A fault of the program's own: enters its handler, or ends the process by this signal after a report. */
void signals_fault(struct task *task, const siginfo_t *info);

/* The context's FPU and vector state as it is now: an XSAVE area that is good until the next run. */
const void *signals_xstate(struct task *task);

/* execve: handlers are gone, what is ignored stays ignored. */
void signals_exec(struct task *task);

/* Blocks everything, and undoes it: the registers must not be looked at by a handler meanwhile. */
void signals_hold(void);
void signals_release(struct task *task);

/* Ends this process by sig, which nothing handles any more. */
_Noreturn void signals_die(int sig);

#endif
