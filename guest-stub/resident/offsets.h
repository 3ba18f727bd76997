/* SPDX-License-Identifier: MIT */
/* offsets: struct cpu as entry.S sees it; cpu.h asserts that the two agree. */
#ifndef RESIDENT_OFFSETS_H
#define RESIDENT_OFFSETS_H

#define CPU_REGS_END 0x00
#define CPU_KERNEL_RSP 0x08
#define CPU_USER_RSP 0x10
#define CPU_FRAME 0x18
#define CPU_SCRATCH 0x20
#define CPU_ERROR_CODE 0x28
#define CPU_CR2 0x30
#define CPU_EVICT_ROOT 0x38
#define CPU_SAFE_ROOT 0x40
#define CPU_NMIS_BEGUN 0x48
#define CPU_NMIS_DONE 0x50
#define CPU_TIMER_PENDING 0x58

/* What enter_ring3 returns besides a vector. */
#define ENTERED_SYSCALL 256
#define ENTERED_COMPAT_SYSCALL 257

#endif
