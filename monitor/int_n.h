/* SPDX-License-Identifier: MIT */
/*
 * int_n: INT n through a gate that is not ring 3's is #GP with vector << 3 | 2 as its error code (Intel SDM vol. 3A,
 * 6.13; AMD APM vol. 2, 8.4.1). PVM gives #UD; QEMU's TCG shifts by 4. Compiled for the host and for resident kernels.
 */
#ifndef MONITOR_INT_N_H
#define MONITOR_INT_N_H

#include <polder/polder.h>
#include <stdbool.h>

#define INT_N_OPCODE 0xcd

/* Worth a look at the two bytes of code at rip. */
static inline bool int_n_suspect(uint32_t vector, uint64_t error_code)
{
    return vector == 6 || (vector == 13 && (error_code & 2));
}

static inline void int_n_normalise(
    const uint8_t code[2], uint32_t *vector, uint64_t *error_code, struct user_regs_struct *regs)
{
    if (code[0] != INT_N_OPCODE)
        return;
    if (code[1] == 3) { /* the long form of int3, whose gate is ring 3's */
        *vector = 3;
        *error_code = 0;
        regs->rip += 2;
        return;
    }
    *vector = 13;
    *error_code = (uint64_t)code[1] << 3 | 2;
}

#endif
