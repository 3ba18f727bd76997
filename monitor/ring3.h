/* SPDX-License-Identifier: MIT */
/*
 * ring3: registers that come out of ring 3 are such as can go in again. A processor sees to that, and KVM's emulator
 * does not: PVM's IRETQ takes a data segment for CS (code of 32 bits is then what runs), a code segment for SS, and in
 * code of 32 bits leaves VIF, VIP and what is above bit 21 of eflags as they were popped. Compiled for the host and for
 * resident kernels.
 */
#ifndef MONITOR_RING3_H
#define MONITOR_RING3_H

#include <polder/abi.h>
#include <polder/polder.h>

/* What ring 3 can have set in its eflags: all but IOPL, VM, VIF and VIP (Intel SDM vol. 1, 3.4.3), and what is
 * always 1. */
#define RING3_EFLAGS_SEEN 0x254dd5ull
#define RING3_EFLAGS_SET 0x202ull

static inline void ring3_normalise(struct user_regs_struct *regs)
{
    regs->eflags = (regs->eflags & RING3_EFLAGS_SEEN) | RING3_EFLAGS_SET;
    if (regs->cs != GDT_USER_CODE)
        regs->cs = GDT_USER_CODE32;
    regs->ss = GDT_USER_DATA;
}

#endif
