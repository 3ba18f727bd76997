/* SPDX-License-Identifier: MIT */
/*
 * stack: what a new program finds on its stack: argc, argv, envp, the auxiliary vector and the strings (System V ABI,
 * AMD64 supplement, 3.4.1). Pure data: it is built in a buffer for an address where it will be put.
 */
#ifndef MONITOR_LINUX_STACK_H
#define MONITOR_LINUX_STACK_H

#include <stddef.h>
#include <stdint.h>

/* As Linux: MAX_ARG_STRLEN, and the whole in three quarters of 8 MiB or a quarter of the stack. */
#define STACK_MAX_STRING (32 * 4096)
#define STACK_MAX_TOTAL (6 * 1024 * 1024)

struct stack_auxv {
    uint64_t type, value;
};

struct stack_contents {
    char *const *argv, *const *envp; /* each ends with NULL */
    const char *execfn;              /* the name that the program was started by */
    const char *platform;
    uint8_t random[16];
    /* What the caller knows of the auxiliary vector; AT_EXECFN, AT_PLATFORM, AT_RANDOM and AT_NULL are added. */
    const struct stack_auxv *auxv;
    size_t auxc;
};

struct stack_image {
    uint8_t *bytes; /* malloc'ed */
    size_t size;
    uint64_t sp;        /* where bytes go; rsp of the first instruction */
    uint64_t envp_addr; /* where the environment's pointers are */
};

/*
 * Builds the image that ends at top, at most limit bytes long. 0, or -errno: E2BIG (a string or the whole is too long),
 * ENOMEM.
 */
int stack_build(const struct stack_contents *contents, uint64_t top, size_t limit, struct stack_image *image);

#endif
