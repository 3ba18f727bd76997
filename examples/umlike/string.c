/* SPDX-License-Identifier: MIT */
#include "umlike.h"

bool string_equal(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

bool string_is(const char *string, const char *name, size_t length)
{
    return strlen(string) == length && memcmp(string, name, length) == 0;
}

size_t string_copy(char *to, const char *from, size_t size)
{
    size_t length = min_u64(strlen(from), size - 1);
    memcpy(to, from, length);
    to[length] = 0;
    return length;
}

bool string_number(const char *digits, size_t length, uint64_t *number)
{
    uint64_t n = 0;
    if (length == 0 || length > 9)
        return false;
    for (; length; length--, digits++) {
        if (*digits < '0' || *digits > '9')
            return false;
        n = n * 10 + (uint64_t)(*digits - '0');
    }
    *number = n;
    return true;
}
