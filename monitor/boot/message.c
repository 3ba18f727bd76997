/* SPDX-License-Identifier: MIT */
#include "boot/message.h"

#include <stdarg.h>
#include <stdio.h>

void message(const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "polder boot: %s\n", text);
}
