// SPDX-License-Identifier: GPL-2.0
/* Segment bases are registers like others: in a task's registers, and nowhere else. */
#include <asm/prctl.h>
#include <asm/ptrace-abi.h>
#include <linux/sched.h>
#include <linux/syscalls.h>
#include <linux/uaccess.h>
#include <registers.h>

long arch_prctl(struct task_struct *task, int option, unsigned long __user *arg2)
{
    unsigned long *gp = task->thread.regs.regs.gp, base = (unsigned long)arg2;

    switch (option) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
        if (base >= TASK_SIZE)
            return -EPERM;
        gp[option == ARCH_SET_FS ? HOST_FS_BASE : HOST_GS_BASE] = base;
        return 0;
    case ARCH_GET_FS:
        return put_user(gp[HOST_FS_BASE], arg2);
    case ARCH_GET_GS:
        return put_user(gp[HOST_GS_BASE], arg2);
    default:
        return -EINVAL;
    }
}

int arch_set_tls(struct task_struct *task, unsigned long tls)
{
    task->thread.regs.regs.gp[HOST_FS_BASE] = tls;
    return 0;
}

void clear_flushed_tls(struct task_struct *task)
{
}

void arch_switch_to(struct task_struct *to)
{
}
