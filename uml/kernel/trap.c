// SPDX-License-Identifier: GPL-2.0
/* Signals of traps that have no address: siginfo says SI_KERNEL, as on other x86-64 kernels. */
#include <linux/sched/signal.h>
#include <sysdep/ptrace.h>

#include "backend.h"

void backend_force_signal(struct uml_pt_regs *regs, int signal)
{
    current->thread.arch.faultinfo = regs->faultinfo;
    force_sig(signal);
}
