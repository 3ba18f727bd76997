/* SPDX-License-Identifier: MIT */
/* The compiler's own wants vector registers. */
#ifndef SHIM_X86INTRIN_H
#define SHIM_X86INTRIN_H

#define __rdtsc() ((unsigned long)__builtin_ia32_rdtsc())

#endif
