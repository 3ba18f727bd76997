// SPDX-License-Identifier: GPL-2.0
/* The kernel's side of address spaces and of tasks' ends. */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/syscalls.h>

#include <asm/mmu_context.h>
#include <os.h>
#include <skas.h>

#include "backend.h"

int init_new_context(struct task_struct *task, struct mm_struct *mm)
{
    int fd = backend_open_space();

    if (fd < 0)
        return fd;
    mm->context.id.u.mm_fd = fd;
    return 0;
}

void destroy_context(struct mm_struct *mm)
{
    backend_close_space(mm->context.id.u.mm_fd);
}

/* Until copy_thread gives it one, the copy has no context: its parent's must not be released with it. */
int arch_dup_task_struct(struct task_struct *to, struct task_struct *from)
{
    *to = *from;
    to->thread.regs.regs.backend = NULL;
    return 0;
}

void arch_release_task_struct(struct task_struct *task)
{
    backend_release_task(&task->thread.regs.regs);
}

/* No segments but those of libpolder's GDT. */
SYSCALL_DEFINE3(modify_ldt, int, func, void __user *, ptr, unsigned long, bytecount)
{
    return -ENOSYS;
}
