/* SPDX-License-Identifier: MIT */
/*
 * int_n: INT n through a gate that is not ring 3's is #GP with vector << 3 | 2 as its error code (Intel SDM vol. 3A,
 * 6.13; AMD APM vol. 2, 8.4.1). PVM gives #UD, lets INT 4 through, and has #UD for INT3 with a stack pointer
 * that is not canonical; QEMU's TCG shifts by 4. Compiled for the host and for resident kernels.
 */
#ifndef MONITOR_INT_N_H
#define MONITOR_INT_N_H

#include <polder/polder.h>
#include <stdbool.h>

#define INT_N_OPCODE 0xcd
#define INT3_OPCODE 0xcc
#define INT_N_OVERFLOW 4u

/* Worth a look at the two bytes of code at int_n_at. */
static inline bool int_n_suspect(uint32_t vector, uint64_t error_code)
{
    return vector == 6 || vector == INT_N_OVERFLOW || (vector == 13 && (error_code & 2));
}

/* INT 4 that was let through is reported behind the instruction. */
static inline uint64_t int_n_at(uint32_t vector, const struct user_regs_struct *regs)
{
    return regs->rip - (vector == INT_N_OVERFLOW ? 2 : 0);
}

static inline void int_n_normalise(
    const uint8_t code[2], uint32_t *vector, uint64_t *error_code, struct user_regs_struct *regs)
{
    if (*vector == INT_N_OVERFLOW) { /* if it is not INT 4, it is INTO of 32-bit code */
        regs->rip -= code[0] == INT_N_OPCODE ? 2 : 1;
        *vector = 13;
        *error_code = INT_N_OVERFLOW << 3 | 2;
        return;
    }
    if (code[0] != INT_N_OPCODE && (code[0] != INT3_OPCODE || *vector != 6))
        return;
    if (code[0] == INT3_OPCODE || (code[0] == INT_N_OPCODE && code[1] == 3)) { /* whose gate is ring 3's */
        *vector = 3;
        *error_code = 0;
        regs->rip += code[0] == INT3_OPCODE ? 1 : 2;
        return;
    }
    *vector = 13;
    *error_code = (uint64_t)code[1] << 3 | 2;
}

#endif
