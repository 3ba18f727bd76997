/* SPDX-License-Identifier: MIT */
/*
 * fuzz: what the targets share. A target is one function that takes any bytes; with clang's libFuzzer it is fed for as
 * long as one likes, with driver.c what `make check` has time for. It includes nothing of libc, for some targets are
 * compiled freestanding.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How many driver.c makes, for a second or so. */
extern const unsigned fuzz_mutations;

/* Ends the process after a line that says what did not hold. */
_Noreturn void fuzz_failed(const char *what, const char *file, int line);
#define CHECK(condition) ((condition) ? (void)0 : fuzz_failed(#condition, __FILE__, __LINE__))

/* An input that is a list of numbers: where it ends there are zeros. */
struct input {
    const uint8_t *at;
    size_t left;
};

static inline uint64_t take(struct input *in, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes && in->left; i++, in->at++, in->left--)
        value |= (uint64_t)*in->at << (8 * i);
    return value;
}

#endif
