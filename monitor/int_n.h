/* SPDX-License-Identifier: MIT */
/*
 * int_n: INT n, and INTO, through a gate that is not ring 3's is #GP with vector << 3 | 2 as its error code (Intel SDM
 * vol. 3A, 6.13; AMD APM vol. 2, 8.4.1). PVM gives #UD, lets INT 4 through, and has #UD for INT3 with a stack pointer
 * that is not canonical; QEMU's TCG shifts by 4. Compiled for the host and for resident kernels.
 */
#ifndef MONITOR_INT_N_H
#define MONITOR_INT_N_H

#include <polder/abi.h>
#include <polder/polder.h>
#include <stdbool.h>

#define INT3_OPCODE 0xcc
#define INT_N_OPCODE 0xcd
#define INTO_OPCODE 0xce
#define INT_N_OVERFLOW 4u
#define INT_N_BYTES 15 /* an instruction has no more */

/* Worth a look at the code at int_n_at, INT_N_BYTES or what there is of them. */
static inline bool int_n_suspect(uint32_t vector, uint64_t error_code)
{
    return vector == 6 || vector == INT_N_OVERFLOW || (vector == 13 && (error_code & 2));
}

/* INT 4 that was let through is reported behind the instruction. */
static inline uint64_t int_n_at(uint32_t vector, const struct user_regs_struct *regs)
{
    return regs->rip - (vector == INT_N_OVERFLOW ? 2 : 0);
}

/* Those that INT n can have: LOCK makes it an undefined instruction. */
static inline bool int_n_prefix(uint8_t byte, bool wide)
{
    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64 ... 0x67:
    case 0xf2:
    case 0xf3:
        return true;
    default:
        return wide && (byte & 0xf0) == 0x40; /* REX */
    }
}

static inline void int_n_normalise(
    const uint8_t *code, unsigned length, uint32_t *vector, uint64_t *error_code, struct user_regs_struct *regs)
{
    const bool wide = regs->cs == GDT_USER_CODE;
    unsigned i = 0;
    if (*vector == INT_N_OVERFLOW) { /* if it is not INT 4, it is INTO of 32-bit code */
        regs->rip -= length > 1 && code[0] == INT_N_OPCODE && code[1] == INT_N_OVERFLOW ? 2 : 1;
        *vector = 13;
        *error_code = INT_N_OVERFLOW << 3 | 2;
        return;
    }
    while (i < length && int_n_prefix(code[i], wide))
        i++;
    if (i < length && code[i] == INT3_OPCODE && *vector == 6) { /* whose gate is ring 3's */
        *vector = 3;
        *error_code = 0;
        regs->rip += i + 1;
    } else if (i < length && code[i] == INTO_OPCODE && !wide) {
        *vector = 13;
        *error_code = INT_N_OVERFLOW << 3 | 2;
    } else if (i + 1 < length && code[i] == INT_N_OPCODE && code[i + 1] == 3) {
        *vector = 3;
        *error_code = 0;
        regs->rip += i + 2;
    } else if (i + 1 < length && code[i] == INT_N_OPCODE) {
        *vector = 13;
        *error_code = (uint64_t)code[i + 1] << 3 | 2;
    }
}

#endif
