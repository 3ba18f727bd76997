/* SPDX-License-Identifier: MIT */
#include "linux/stack.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The auxiliary vector's entries that are made here: EXECFN, PLATFORM, RANDOM, NULL. */
#define OWN_AUXV 4

static bool add_strings(char *const *list, size_t *count, size_t *bytes)
{
    for (*count = 0; list[*count]; ++*count) {
        size_t length = strlen(list[*count]) + 1;
        if (length > STACK_MAX_STRING)
            return false;
        *bytes += length;
        if (*bytes > STACK_MAX_TOTAL)
            return false;
    }
    return true;
}

/* Where the next string goes in the image, and at which address the program will see it. */
struct cursor {
    uint8_t *at;
    uint64_t addr;
};

static uint64_t put(struct cursor *c, const void *data, size_t length)
{
    uint64_t addr = c->addr;
    memcpy(c->at, data, length);
    c->at += length;
    c->addr += length;
    return addr;
}

int stack_build(const struct stack_contents *contents, uint64_t top, size_t limit, struct stack_image *image)
{
    size_t argc, envc, strings = 0;
    if (!add_strings(contents->argv, &argc, &strings) || !add_strings(contents->envp, &envc, &strings))
        return -E2BIG;
    size_t execfn = strlen(contents->execfn) + 1, platform = strlen(contents->platform) + 1;
    if (execfn > STACK_MAX_STRING)
        return -E2BIG;
    strings += execfn + platform + sizeof(contents->random);

    /* argc, argv and its NULL, envp and its NULL, the auxiliary vector; then the strings up to a zero word at top. */
    size_t words = 1 + argc + 1 + envc + 1 + 2 * (contents->auxc + OWN_AUXV);
    uint64_t strings_at = top - 8 - strings;
    uint64_t sp = (strings_at - words * 8) & -16ull;
    size_t size = (size_t)(top - sp);
    if (size > limit || size > STACK_MAX_TOTAL)
        return -E2BIG;

    uint8_t *bytes = calloc(1, size);
    if (!bytes)
        return -ENOMEM;
    uint64_t *word = (uint64_t *)bytes;
    struct cursor c = {bytes + (strings_at - sp), strings_at};
    uint64_t random_at = put(&c, contents->random, sizeof(contents->random));
    uint64_t platform_at = put(&c, contents->platform, platform);
    *word++ = argc;
    for (size_t i = 0; i < argc; i++)
        *word++ = put(&c, contents->argv[i], strlen(contents->argv[i]) + 1);
    *word++ = 0;
    image->envp_addr = sp + (uint64_t)((uint8_t *)word - bytes);
    for (size_t i = 0; i < envc; i++)
        *word++ = put(&c, contents->envp[i], strlen(contents->envp[i]) + 1);
    *word++ = 0;
    for (size_t i = 0; i < contents->auxc; i++) {
        *word++ = contents->auxv[i].type;
        *word++ = contents->auxv[i].value;
    }
    const struct stack_auxv own[OWN_AUXV] = {
        {AT_RANDOM, random_at},
        {AT_EXECFN, put(&c, contents->execfn, execfn)},
        {AT_PLATFORM, platform_at},
        {AT_NULL, 0},
    };
    for (size_t i = 0; i < OWN_AUXV; i++) {
        *word++ = own[i].type;
        *word++ = own[i].value;
    }
    image->bytes = bytes;
    image->size = size;
    image->sp = sp;
    return 0;
}
