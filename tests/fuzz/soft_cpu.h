/* SPDX-License-Identifier: MIT */
/* soft_cpu: the two programs of ring 3, which a CPU of silicon finds as code in a page. */
#ifndef TESTS_FUZZ_SOFT_CPU_H
#define TESTS_FUZZ_SOFT_CPU_H

#define SOFT_CPU_LOAD 0   /* mov (%rdi), %rbx; syscall */
#define SOFT_CPU_STORE 16 /* mov %rsi, (%rdi); syscall */

#endif
