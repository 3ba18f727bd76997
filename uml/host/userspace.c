// SPDX-License-Identifier: GPL-2.0
/*
 * Running the code of tasks: in place of a traced process, a run of libpolder with the task's registers.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <polder/polder.h>

#include <as-layout.h>
#include <kern_util.h>
#include <os.h>
#include <ptrace_user.h>
#include <registers.h>
#include <skas.h>

#include <linux/threads.h>

#include "task.h"

int userspace_pid[NR_CPUS];
int kill_userspace_mm[NR_CPUS];

/* The context that is in a run or about to be; the signal handlers of this thread look at it. */
static struct polder_params *volatile running;

void backend_interrupted(void)
{
    struct polder_params *params = running;

    /* A signal during the run ends it by itself. One before it would not: its handler has left work behind the
     * look at interrupt_end. */
    if (params)
        polder_kick(params);
}

/* The processor is in user code: for accounting. */
static volatile int in_user;

int backend_in_user(void)
{
    return in_user;
}

void task_ended(struct task *task)
{
    if (running == &task->params)
        running = NULL;
}

static void raise_fault(struct uml_pt_regs *regs, int sig, int code)
{
    siginfo_t info = {.si_signo = sig, .si_code = code};

    (*sig_info[sig])(sig, (struct siginfo *)&info, regs);
}

/* Which exception of those that are not masked it was (Intel SDM vol. 1, 8.4 and 11.5): x87's or that of SSE. */
static int float_code(struct uml_pt_regs *regs, unsigned long long vector)
{
    unsigned long size;
    const unsigned char *area = backend_xstate(regs, &size);
    unsigned int raised = 0;

    if (area && vector == 16)
        raised = (area[2] | area[3] << 8) & ~(unsigned int)(area[0] | area[1] << 8);
    else if (area)
        raised = (area[24] | area[25] << 8) & ~((unsigned int)(area[24] | area[25] << 8) >> 7);
    if (raised & 1)
        return FPE_FLTINV;
    if (raised & 4)
        return FPE_FLTDIV;
    if (raised & 8)
        return FPE_FLTOVF;
    if (raised & 0x12)
        return FPE_FLTUND;
    return raised & 0x20 ? FPE_FLTRES : FPE_FLTINV;
}

/* relay_signal takes the address from faultinfo: it is that of the instruction, but for page faults. */
static void exception(struct uml_pt_regs *regs, const struct polder_params *params)
{
    regs->faultinfo.error_code = params->error_code;
    regs->faultinfo.trap_no = params->vector;
    regs->faultinfo.cr2 = params->regs.rip;
    switch (params->vector) {
    case 0:
        raise_fault(regs, SIGFPE, FPE_INTDIV);
        break;
    case 1:
        raise_fault(regs, SIGTRAP, TRAP_TRACE);
        break;
    case 3:
        backend_force_signal(regs, SIGTRAP);
        break;
    case 6:
        raise_fault(regs, SIGILL, ILL_ILLOPN);
        break;
    case 16:
    case 19:
        raise_fault(regs, SIGFPE, float_code(regs, params->vector));
        break;
    case 17:
        raise_fault(regs, SIGBUS, BUS_ADRALN);
        break;
    default:
        backend_force_signal(regs, SIGSEGV);
        break;
    }
}

static void came_back(struct uml_pt_regs *regs, const struct polder_params *params)
{
    switch (params->reason) {
    case POLDER_SYSCALL:
        handle_syscall(regs);
        break;
    case POLDER_PAGE_FAULT:
        regs->faultinfo.error_code = params->error_code;
        regs->faultinfo.cr2 = params->fault_addr;
        regs->faultinfo.trap_no = params->vector;
        (*sig_info[SIGSEGV])(SIGSEGV, NULL, regs);
        break;
    case POLDER_EXCEPTION:
    case POLDER_STEP:
        exception(regs, params);
        break;
    case POLDER_BUS: /* the file behind the machine's memory is shorter than the machine's memory */
        regs->faultinfo.cr2 = params->fault_addr;
        raise_fault(regs, SIGBUS, BUS_ADRERR);
        break;
    default: /* a signal, whose handler has run, or the kick of one */
        break;
    }
}

void userspace(struct uml_pt_regs *regs, unsigned long *aux_fp_regs)
{
    (void)aux_fp_regs;
    while (1) {
        struct task *task = task_of(regs);
        struct polder_params *params;
        int error;

        if (!task)
            fatal_sigsegv();
        params = &task->params;
        /* Nothing may be left behind by a handler that runs from here on; if others have run, once more. */
        do {
            running = params;
            interrupt_end();
        } while (running != params);
        if (kill_userspace_mm[0])
            fatal_sigsegv();

        memcpy(&params->regs, regs->gp, sizeof(params->regs));
        params->flags = (singlestepping(NULL) ? POLDER_SINGLE_STEP : 0) | task_load(task);
        in_user = 1;
        error = polder_run_sandbox(userspace_pid[0], params) < 0 ? errno : 0;
        in_user = 0;
        running = NULL;
        regs->is_user = 1;
        UPT_SYSCALL_NR(regs) = -1;
        if (error) {
            /* A debugger or sigreturn gave it registers that nothing can run with. */
            if (error != EINVAL)
                printk(UM_KERN_ERR "polder_run_sandbox: errno %d\n", error);
            regs->faultinfo.error_code = 0;
            regs->faultinfo.trap_no = 13;
            regs->faultinfo.cr2 = 0;
            backend_force_signal(regs, SIGSEGV);
            continue;
        }
        task_loaded(task);
        memcpy(regs->gp, &params->regs, sizeof(params->regs));
        came_back(regs, params);
        /* Not in a system call any more: nothing is to be restarted. */
        PT_SYSCALL_NR(regs->gp) = -1;
    }
}

void __switch_mm(struct mm_id *mm_idp)
{
    userspace_pid[0] = mm_idp->u.mm_fd;
    kill_userspace_mm[0] = mm_idp->kill;
}
