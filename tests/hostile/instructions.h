/* SPDX-License-Identifier: MIT */
/* Random instructions that have the form of real ones, from a table of what follows each opcode. */
#ifndef TESTS_HOSTILE_INSTRUCTIONS_H
#define TESTS_HOSTILE_INSTRUCTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INSTRUCTION_MAX 32 /* bytes; a processor refuses what is longer than 15, and that too is tried */

/*
 * Writes one instruction and returns its length. wide: for code of 64 bits. A jump's distance is 0, so that what
 * follows is what is written next, but for one in eight, which is said in *wild. Addresses are near one of the
 * `places`.
 */
size_t instruction_make(uint8_t *to, bool wide, const uint64_t *places, size_t place_count, bool *wild, uint64_t *seed);

/* False for a byte that must not be in code where the processor is QEMU's emulation. */
bool instruction_byte_is_safe(uint8_t byte);

#endif
