/* SPDX-License-Identifier: MIT */
/* early: the code behind the IDT that a kernel starts with (guest-stub/early.S), EARLY_VECTOR_SIZE bytes a vector. */
#ifndef MONITOR_BOOT_EARLY_H
#define MONITOR_BOOT_EARLY_H

#define EARLY_SIZE 4096
#define EARLY_VECTOR_SIZE 16

#ifndef __ASSEMBLER__
extern const char early_code[EARLY_SIZE];
#endif

#endif
