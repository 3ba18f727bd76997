/* SPDX-License-Identifier: GPL-2.0 */
/* Of the kernel's own files only: FPU and vector state where a program can see it. */
#ifndef UML_POLDER_FRAME_H
#define UML_POLDER_FRAME_H

#include <linux/compiler_types.h>

struct uml_pt_regs;

/* Where a signal frame's XSAVE area goes below stack_top, the red zone left alone; 0 without memory. */
unsigned long backend_frame_xstate(struct uml_pt_regs *regs, unsigned long stack_top);
/* The least that an alternate stack can be. */
unsigned long backend_least_stack(void);
int backend_to_frame(struct uml_pt_regs *regs, void __user *to);
/* From a frame; from == NULL leaves the state as it is. */
int backend_from_frame(struct uml_pt_regs *regs, const void __user *from);
/* From the 512 bytes that a debugger knows (PTRACE_SETFPREGS). */
int backend_load_fxsave(struct uml_pt_regs *regs, const void __user *from);

#endif
