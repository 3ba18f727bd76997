/* SPDX-License-Identifier: MIT */
/*
 * early.S - the traps of a resident kernel that has not taken them over: one `out` that tells `polder boot` (abi.h,
 * PORT_FAULT). A page of data for the monitor, which maps it into every vCPU's area; position-independent.
 */
#include "boot/early.h"
#include <polder/abi.h>

    .section .rodata
    .globl early_code
    .hidden early_code
    .balign 4096
early_code:
    .set vector, 0
    .rept 256
    .balign EARLY_VECTOR_SIZE
    /* #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC and #SX push an error code (Intel SDM vol. 3A, table 6-1; AMD APM
     * vol. 2, 8.2). */
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
    push $0
    .endif
    push $vector
1:  out %eax, $PORT_FAULT
    hlt
    jmp 1b
    .set vector, vector + 1
    .endr
    .balign 4096, 0xf4
    .section .note.GNU-stack, "", @progbits
