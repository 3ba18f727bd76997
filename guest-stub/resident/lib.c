/* SPDX-License-Identifier: MIT */
/*
 * lib: what the compiler and libfdt call. String instructions, for where ring 0 is emulated each one does the work of
 * many. A kernel that has its own keeps them: these are weak.
 */
#include "own.h"
#include <polder/abi.h>
#include <polder/resident.h>

#define WEAK __attribute__((weak, visibility("default")))

WEAK void *memcpy(void *to, const void *from, size_t n)
{
    void *at = to;
    size_t words = n / 8, bytes = n % 8;
    __asm__ volatile("rep movsq" : "+D"(at), "+S"(from), "+c"(words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(bytes) : : "memory");
    return to;
}

WEAK void *memmove(void *to, const void *from, size_t n)
{
    if ((char *)to - (const char *)from >= (ptrdiff_t)n || (const char *)from > (char *)to)
        return memcpy(to, from, n);
    char *at = (char *)to + n - 1;
    const char *source = (const char *)from + n - 1;
    __asm__ volatile("std\n\trep movsb\n\tcld" : "+D"(at), "+S"(source), "+c"(n) : : "memory");
    return to;
}

WEAK void *memset(void *to, int byte, size_t n)
{
    void *at = to;
    uint64_t pattern = 0x0101010101010101ull * (uint8_t)byte;
    size_t words = n / 8, bytes = n % 8;
    __asm__ volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(pattern) : "memory");
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(pattern) : "memory");
    return to;
}

WEAK int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *p = a, *q = b;
    for (; n; n--, p++, q++) {
        if (*p != *q)
            return *p - *q;
    }
    return 0;
}

WEAK size_t strlen(const char *s)
{
    const char *end = s;
    while (*end)
        end++;
    return (size_t)(end - s);
}

/* The rest is libfdt's. */
size_t strnlen(const char *s, size_t n);
WEAK size_t strnlen(const char *s, size_t n)
{
    size_t length = 0;
    while (length < n && s[length])
        length++;
    return length;
}

void *memchr(const void *s, int c, size_t n);
WEAK void *memchr(const void *s, int c, size_t n)
{
    for (const uint8_t *p = s; n; n--, p++) {
        if (*p == (uint8_t)c)
            return (void *)p;
    }
    return NULL;
}

char *strchr(const char *s, int c);
WEAK char *strchr(const char *s, int c)
{
    return memchr(s, c, strlen(s) + 1);
}

char *strrchr(const char *s, int c);
WEAK char *strrchr(const char *s, int c)
{
    const char *found = NULL;
    for (;; s++) {
        if (*s == (char)c)
            found = s;
        if (!*s)
            return (char *)found;
    }
}

unsigned long strtoul(const char *s, char **end, int base);
WEAK unsigned long strtoul(const char *s, char **end, int base)
{
    unsigned long value = 0;
    for (; *s >= '0' && *s <= '9'; s++)
        value = value * (unsigned long)base + (unsigned long)(*s - '0');
    if (end)
        *end = (char *)s;
    return value;
}

void __stack_chk_fail(void);
WEAK void __stack_chk_fail(void)
{
    __builtin_trap();
}
