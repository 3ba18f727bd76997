/* SPDX-License-Identifier: GPL-2.0 */
/* A task's context of libpolder's, found through its registers (uml_pt_regs.backend). */
#ifndef UML_POLDER_TASK_H
#define UML_POLDER_TASK_H

#include <polder/polder.h>

#include "backend.h"

struct task {
    struct polder_params params;
    void *xstate;      /* XSAVE area of polder_xstate_size() bytes; NULL: never asked for */
    int changed;       /* ... it holds what is to be loaded */
    struct task *next; /* among those to be given back */
};

/* The task of these registers, made at the first call; NULL without memory. */
struct task *task_of(struct uml_pt_regs *regs);

/* The flags of the next run that load a changed XSAVE area, and what to say when it has run. */
unsigned int task_load(struct task *task);
void task_loaded(struct task *task);

/* No signal handler looks at this one again. */
void task_ended(struct task *task);

#endif
