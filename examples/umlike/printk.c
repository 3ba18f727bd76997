/* SPDX-License-Identifier: MIT */
#include "umlike.h"
#include <stdarg.h>

struct output {
    char *at, *end;
};

static void put(struct output *o, const char *text, size_t length)
{
    length = min_u64(length, (uint64_t)(o->end - o->at));
    memcpy(o->at, text, length);
    o->at += length;
}

static void put_number(struct output *o, uint64_t n, unsigned base)
{
    char digits[24], *at = digits + sizeof digits;
    do
        *--at = "0123456789abcdef"[n % base];
    while (n /= base);
    put(o, at, (size_t)(digits + sizeof digits - at));
}

static void put_argument(struct output *o, char kind, bool is_long, va_list *list)
{
    if (kind == 's') {
        const char *s = va_arg(*list, const char *);
        put(o, s, strlen(s));
    } else if (kind == 'c') {
        char c = (char)va_arg(*list, int);
        put(o, &c, 1);
    } else if (kind == 'd') {
        int64_t n = is_long ? va_arg(*list, int64_t) : va_arg(*list, int);
        if (n < 0)
            put(o, "-", 1);
        put_number(o, n < 0 ? -(uint64_t)n : (uint64_t)n, 10);
    } else {
        uint64_t n = is_long ? va_arg(*list, uint64_t) : va_arg(*list, unsigned);
        put_number(o, n, kind == 'x' ? 16 : kind == 'o' ? 8 : 10);
    }
}

static size_t format_list(char *buf, size_t size, const char *text, va_list *list)
{
    struct output o = {buf, buf + size - 1};
    while (*text) {
        const char *plain = text;
        while (*text && *text != '%')
            text++;
        put(&o, plain, (size_t)(text - plain));
        if (!*text)
            break;
        bool is_long = *++text == 'l';
        text += is_long;
        put_argument(&o, *text++, is_long, list);
    }
    *o.at = 0;
    return (size_t)(o.at - buf);
}

size_t format(char *buf, size_t size, const char *text, ...)
{
    va_list list;
    va_start(list, text);
    size_t length = format_list(buf, size, text, &list);
    va_end(list);
    return length;
}

void printk(const char *text, ...)
{
    char line[512];
    va_list list;
    va_start(list, text);
    size_t length = format_list(line, sizeof line, text, &list);
    va_end(list);
    polder_console_write(line, length);
}
