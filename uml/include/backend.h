/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel's own files (compiled against the kernel's headers) and those that talk to libpolder (compiled
 * against libc's) call of each other.
 *
 * A task's registers are its uml_pt_regs; its FPU and vector state is in a context of libpolder's that belongs to them.
 */
#ifndef UML_POLDER_BACKEND_H
#define UML_POLDER_BACKEND_H

struct uml_pt_regs;

/* Before the kernel starts: 1 where it runs on libpolder, and then nothing of ptrace is looked at. Exits without KVM.
 */
int backend_init(void);

/* A new, empty address space: its descriptor, or -errno. */
int backend_open_space(void);
void backend_close_space(int fd);

/*
 * The XSAVE area of a task (Intel SDM vol. 1, 13.4), brought up to date, and its size in *size; NULL without memory.
 * backend_xstate_changed says that the area has been written, and is to be loaded before the task runs.
 */
unsigned long backend_xstate_size(void);
void *backend_xstate(struct uml_pt_regs *regs, unsigned long *size);
void backend_xstate_changed(struct uml_pt_regs *regs);

/* regs are a copy of parent's, for a new task, who gets a copy of its FPU and vector state. 0 or -ENOMEM. */
int backend_copy_task(struct uml_pt_regs *regs, struct uml_pt_regs *parent);
/* The task is gone. May be called wherever interrupts can be. */
void backend_release_task(struct uml_pt_regs *regs);

/* At the end of a signal handler: a run that is about to begin comes back at once, so that what it left is looked at.
 */
void backend_interrupted(void);
/* In a signal handler: it has interrupted user code. */
int backend_in_user(void);

/* A signal that the kernel itself raises, with no address, for the trap in regs->faultinfo. */
void backend_force_signal(struct uml_pt_regs *regs, int signal);

#endif
