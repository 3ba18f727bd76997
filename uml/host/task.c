// SPDX-License-Identifier: GPL-2.0
/*
 * FPU and vector state. It stays with libpolder, which moves it when another context takes the vCPU; the kernel wants
 * it for signal frames, for a new task and for a debugger only.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <polder/polder.h>

#include <os.h>
#include <registers.h>
#include <um_malloc.h>

#include "task.h"

extern int backend_idle_space(void);

/* Released where interrupts may be, where libpolder may have been interrupted: given back at the next chance. */
static struct task *released;

static void give_back(void)
{
    struct task *list = __atomic_exchange_n(&released, NULL, __ATOMIC_ACQUIRE);

    while (list) {
        struct task *task = list;

        list = task->next;
        polder_params_fini(&task->params);
        if (task->xstate)
            munmap(task->xstate, polder_xstate_size());
        kfree(task);
    }
}

struct task *task_of(struct uml_pt_regs *regs)
{
    struct task *task = regs->backend;

    if (task)
        return task;
    give_back();
    task = uml_kmalloc(sizeof(*task), UM_GFP_KERNEL);
    if (!task)
        return NULL;
    memset(task, 0, sizeof(*task));
    polder_params_init(&task->params);
    regs->backend = task;
    return task;
}

void backend_release_task(struct uml_pt_regs *regs)
{
    struct task *task = regs->backend;

    if (!task)
        return;
    regs->backend = NULL;
    task_ended(task);
    task->next = __atomic_load_n(&released, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&released, &task->next, task, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}

unsigned int task_load(struct task *task)
{
    return task->changed ? POLDER_XSTATE_LOAD : 0;
}

void task_loaded(struct task *task)
{
    task->changed = 0;
}

static void *xstate_area(struct task *task)
{
    if (!task->xstate) {
        void *area = mmap(NULL, polder_xstate_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (area == MAP_FAILED)
            return NULL;
        task->xstate = area;
        task->params.xstate = area;
        task->params.xstate_size = polder_xstate_size();
    }
    return task->xstate;
}

/* A run that was kicked beforehand moves the state, and enters nothing. */
static int move_xstate(struct task *task, unsigned int flags)
{
    struct polder_params *params = &task->params;
    struct user_regs_struct regs = params->regs;
    int error;

    params->regs.cs = 0x33;
    params->regs.ss = 0x2b;
    params->regs.rip = params->regs.fs_base = params->regs.gs_base = 0;
    params->flags = flags;
    polder_kick(params);
    error = polder_run_sandbox(backend_idle_space(), params) < 0 ? -errno : 0;
    params->regs = regs;
    return error;
}

unsigned long backend_xstate_size(void)
{
    return polder_xstate_size();
}

void *backend_xstate(struct uml_pt_regs *regs, unsigned long *size)
{
    struct task *task = task_of(regs);

    *size = polder_xstate_size();
    if (!task || !xstate_area(task))
        return NULL;
    if (!task->changed && move_xstate(task, POLDER_XSTATE_STORE) < 0)
        return NULL;
    return task->xstate;
}

void backend_xstate_changed(struct uml_pt_regs *regs)
{
    struct task *task = regs->backend;

    task->changed = 1;
}

int backend_copy_task(struct uml_pt_regs *regs, struct uml_pt_regs *parent)
{
    unsigned long size;
    struct task *task;
    void *from;

    regs->backend = NULL;
    if (!parent->backend) /* it has never run: a kernel thread */
        return 0;
    from = backend_xstate(parent, &size);
    task = task_of(regs);
    if (!from || !task || !xstate_area(task))
        return -ENOMEM;
    memcpy(task->xstate, from, size);
    task->changed = 1;
    return 0;
}

/* What a new program starts with, and a kernel thread that may become one. */
void get_safe_registers(unsigned long *gp, unsigned long *fp)
{
    struct polder_params fresh;

    polder_params_init(&fresh);
    memcpy(gp, &fresh.regs, sizeof(fresh.regs));
    if (fp) /* uml_pt_regs.gp and .fp of one task: its FPU and vector state is to be that of reset */
        backend_release_task((struct uml_pt_regs *)gp);
}
