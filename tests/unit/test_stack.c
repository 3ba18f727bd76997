/* SPDX-License-Identifier: MIT */
/* The stack of a new program, read back as a program reads it. */
#include "unit.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "linux/stack.h"

#define TOP 0x7ffff000u

static struct stack_image image;

static const void *at(uint64_t addr)
{
    assert_true(addr >= image.sp && addr < image.sp + image.size);
    return image.bytes + (addr - image.sp);
}

static int build(char *const *argv, char *const *envp, size_t limit)
{
    static const struct stack_auxv auxv[] = {{AT_PAGESZ, 4096}, {AT_ENTRY, 0x401000}};
    struct stack_contents contents = {
        .argv = argv,
        .envp = envp,
        .execfn = "/bin/true",
        .platform = "x86_64",
        .random = "0123456789abcde",
        .auxv = auxv,
        .auxc = 2,
    };
    return stack_build(&contents, TOP, limit, &image);
}

static void reads_back(char *const *argv, char *const *envp)
{
    assert_int_equal(build(argv, envp, 1 << 20), 0);
    assert_int_equal(image.sp % 16, 0);
    assert_int_equal(image.sp + image.size, TOP);
    const uint64_t *word = (const uint64_t *)image.bytes;
    uint64_t argc = *word++, i;
    for (i = 0; argv[i]; i++)
        assert_string_equal(at(*word++), argv[i]);
    assert_int_equal(argc, i);
    assert_int_equal(*word++, 0);
    assert_ptr_equal(word, at(image.envp_addr));
    for (i = 0; envp[i]; i++)
        assert_string_equal(at(*word++), envp[i]);
    assert_int_equal(*word++, 0);
    uint64_t seen = 0;
    for (; word[0] != AT_NULL; word += 2) {
        seen |= 1ull << word[0];
        switch (word[0]) {
        case AT_PAGESZ:
            assert_int_equal(word[1], 4096);
            break;
        case AT_ENTRY:
            assert_int_equal(word[1], 0x401000);
            break;
        case AT_EXECFN:
            assert_string_equal(at(word[1]), "/bin/true");
            break;
        case AT_PLATFORM:
            assert_string_equal(at(word[1]), "x86_64");
            break;
        case AT_RANDOM:
            assert_memory_equal(at(word[1]), "0123456789abcde", 16);
            break;
        default:
            fail_msg("entry %lu", word[0]);
        }
    }
    assert_int_equal(
        seen, 1ull << AT_PAGESZ | 1ull << AT_ENTRY | 1ull << AT_EXECFN | 1ull << AT_PLATFORM | 1ull << AT_RANDOM);
    free(image.bytes);
}

static void contents(void **state)
{
    (void)state;
    char *none[] = {NULL};
    char *one[] = {"a", NULL};
    char *some[] = {"true", "", "three words here", "4", NULL};
    char *env[] = {"PATH=/bin", "HOME=/", NULL};
    reads_back(none, none);
    reads_back(one, none);
    reads_back(one, env);
    reads_back(some, env);
    reads_back(none, env);
}

static void limits(void **state)
{
    (void)state;
    char *none[] = {NULL};
    char *longest = malloc(STACK_MAX_STRING + 1);
    memset(longest, 'x', STACK_MAX_STRING + 1);
    longest[STACK_MAX_STRING - 1] = '\0';
    char *list[] = {longest, NULL};
    assert_int_equal(build(list, none, 1 << 20), 0);
    free(image.bytes);
    assert_int_equal(build(list, none, STACK_MAX_STRING), -E2BIG);
    assert_int_equal(build(none, list, STACK_MAX_STRING), -E2BIG);
    longest[STACK_MAX_STRING - 1] = 'x';
    longest[STACK_MAX_STRING] = '\0';
    assert_int_equal(build(list, none, 1 << 20), -E2BIG);
    assert_int_equal(build(none, list, 1 << 20), -E2BIG);
    longest[STACK_MAX_STRING - 1] = '\0';
    char *many[64];
    for (unsigned i = 0; i < 63; i++)
        many[i] = longest;
    many[63] = NULL;
    assert_int_equal(build(many, none, SIZE_MAX), -E2BIG);
    assert_int_equal(build(none, many, SIZE_MAX), -E2BIG);
    free(longest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contents),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
