/* SPDX-License-Identifier: MIT */
/* offsets: struct cpu as entry.S sees it; cpu.h asserts that the two agree. */
#ifndef RESIDENT_OFFSETS_H
#define RESIDENT_OFFSETS_H

#define CPU_REGS_END 0x00
#define CPU_KERNEL_RSP 0x08
#define CPU_USER_RSP 0x10
#define CPU_SCRATCH 0x18
#define CPU_ERROR_CODE 0x20
#define CPU_CR2 0x28
#define CPU_EVICT_ROOT 0x30
#define CPU_SAFE_ROOT 0x38
#define CPU_NMIS_BEGUN 0x40
#define CPU_NMIS_DONE 0x48
#define CPU_TIMER_PENDING 0x50
#define CPU_READY_PARAMS 0x58
#define CPU_READY_FD 0x60
#define CPU_SHORT 0x68
#define CPU_READY_PARAMS_MSRS 0x70
#define CPU_FS_BASE 0x78
#define CPU_GS_BASE 0x80
#define CPU_FPU_OWNER 0x88

/* Offsets in struct polder_params. */
#define PARAMS_RIP_HIGH 132
#define PARAMS_CS 136
#define PARAMS_EFLAGS 144
#define PARAMS_SS 160
#define PARAMS_FS_BASE 168
#define PARAMS_GS_BASE 176
#define PARAMS_FLAGS 232
#define PARAMS_SIGMASK 240
#define PARAMS_DEADLINE 248
#define PARAMS_REASON 256 /* and vector */
#define PARAMS_ERROR_CODE 264
#define PARAMS_FAULT_ADDR 272
#define PARAMS_CONTEXT 280
#define PARAMS_KICKED 288 /* and running */

/*
 * CSTAR: in page 0, which no space can map, so that SYSCALL of 32-bit code ends in a page fault of ring 0 there (PVM
 * goes to 32 bits of CSTAR only, and code of the kernel's is not to be had there); and not 0, where a call of NULL
 * goes.
 */
#define COMPAT_RIP 0xc32

/* What of eflags ring 3 may have (Intel SDM vol. 1, 3.4.3): all but IOPL, VM, VIF, VIP, and NT; IF is set. */
#define EFLAGS_RING3 0x250dd5
#define EFLAGS_RF 0x10000 /* SYSCALL leaves it clear in R11 */
#define EFLAGS_FIXED 0x202

/* What enter_ring3 returns: 0 for a system call, which is reported in the params already; else a vector and this bit.
 */
#define ENTERED_VECTOR 0x1000
#define ENTERED_COMPAT_SYSCALL 0x2000

/* What run_trapped returns if the run is not over; else what polder_run_sandbox does. */
#define RUN_GOES_ON 1

#endif
