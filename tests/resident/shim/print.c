/* SPDX-License-Identifier: MIT */
/* Of printf what the tests use: %d %u %x %p %s %c, with l, ll, z, # and a width. */
#include "shim.h"
#include <polder/resident.h>

struct out {
    char *at, *end; /* end: the last byte, kept for the terminator */
    size_t length;
};

static void put(struct out *out, char c)
{
    if (out->at < out->end)
        *out->at++ = c;
    out->length++;
}

static void put_number(struct out *out, uint64_t n, unsigned base, bool negative, bool prefix, int width, char pad)
{
    char digits[24];
    int count = 0;

    if (negative)
        n = -n;
    bool zero = n == 0;
    do
        digits[count++] = "0123456789abcdef"[n % base];
    while (n /= base);
    if (negative)
        put(out, '-');
    if (prefix && !zero) {
        put(out, '0');
        put(out, 'x');
    }
    for (int i = count; i < width; i++)
        put(out, pad);
    while (count > 0)
        put(out, digits[--count]);
}

int vsnprintf(char *to, size_t size, const char *format, va_list args)
{
    struct out out = {to, to + (size ? size - 1 : 0), 0};

    for (; *format; format++) {
        if (*format != '%') {
            put(&out, *format);
            continue;
        }
        bool prefix = false, wide = false;
        int width = 0;
        char pad = ' ';
        for (;; format++) {
            char next = format[1];
            if (next == '#')
                prefix = true;
            else if (next == 'l' || next == 'z')
                wide = true;
            else if (next == '0' && !width)
                pad = '0';
            else if (next >= '0' && next <= '9')
                width = width * 10 + (next - '0');
            else
                break;
        }
        int64_t n;
        switch (*++format) {
        case 'd':
            n = wide ? va_arg(args, int64_t) : va_arg(args, int);
            put_number(&out, (uint64_t)n, 10, n < 0, false, width, pad);
            break;
        case 'u':
        case 'x':
            n = wide ? va_arg(args, int64_t) : (int64_t)va_arg(args, unsigned);
            put_number(&out, (uint64_t)n, *format == 'u' ? 10 : 16, false, prefix, width, pad);
            break;
        case 'p':
            put_number(&out, (uint64_t)va_arg(args, void *), 16, false, true, width, pad);
            break;
        case 's':
            for (const char *s = va_arg(args, const char *); *s; s++)
                put(&out, *s);
            break;
        case 'c':
            put(&out, (char)va_arg(args, int));
            break;
        default:
            put(&out, *format);
        }
    }
    if (size)
        *out.at = 0;
    return (int)out.length;
}

int snprintf(char *to, size_t size, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int length = vsnprintf(to, size, format, args);
    va_end(args);
    return length;
}

int vprintf(const char *format, va_list args)
{
    char line[512];
    int length = vsnprintf(line, sizeof(line), format, args);

    polder_console_write(line, (size_t)length < sizeof(line) ? (size_t)length : sizeof(line) - 1);
    return length;
}

int printf(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int length = vprintf(format, args);
    va_end(args);
    return length;
}

int fprintf(FILE *file, const char *format, ...)
{
    va_list args;

    (void)file;
    va_start(args, format);
    int length = vprintf(format, args);
    va_end(args);
    return length;
}
