/* SPDX-License-Identifier: MIT */
/* The text itself. No stdio stream and no malloc: hooks run while the program's memory is all around. */
#include "strace.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A pipe that nobody reads any more is SIGPIPE, which is not the program's. */
static ssize_t write_quietly(int fd, const char *text, size_t size)
{
    static const struct timespec now;
    struct stat st;
    sigset_t sigpipe, before, pending;
    if (fstat(fd, &st) == 0 && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode)) {
        return write(fd, text, size);
    }
    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    sigprocmask(SIG_BLOCK, &sigpipe, &before);
    sigpending(&pending);
    ssize_t wrote = write(fd, text, size);
    int error = errno;
    if (wrote < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE)) {
        sigtimedwait(&sigpipe, NULL, &now);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return wrote;
}

/* The trace cannot be written any more; the program goes on. Where somebody may want to know, he is told why. */
static void end_trace(struct strace *s)
{
    char text[512];
    s->ended = true;
    if (s->name && errno != EPIPE) {
        int size =
            snprintf(text, sizeof(text), "polder trace: %s: %s; the trace ends here\n", s->name, strerror(errno));
        write_quietly(s->complaints, text, (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1);
    }
}

void strace_flush(struct strace *s)
{
    size_t done = 0;
    while (done < s->used && !s->ended) {
        ssize_t wrote = write_quietly(s->fd, s->text + done, s->used - done);
        if (wrote > 0) {
            done += (size_t)wrote;
        } else if (wrote < 0 && errno == EAGAIN) {
            struct pollfd fd = {.fd = s->fd, .events = POLLOUT};
            poll(&fd, 1, -1); /* somebody else who has it too wants it not to block */
        } else if (wrote == 0 || errno != EINTR) {
            end_trace(s);
        }
    }
    s->used = 0;
}

void put_char(struct strace *s, char c)
{
    if (s->used == sizeof(s->text)) {
        strace_flush(s);
    }
    s->text[s->used++] = c;
    s->column = c == '\n' ? 0 : s->column + 1;
}

void put(struct strace *s, const char *text)
{
    while (*text) {
        put_char(s, *text++);
    }
}

void put_f(struct strace *s, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    put(s, text);
}

void put_address(struct strace *s, uint64_t address)
{
    if (address) {
        put_f(s, "%#" PRIx64, address);
    } else {
        put(s, "NULL");
    }
}

/* next: what follows, since "\1" before a digit would be read as another number. */
static void put_escaped(struct strace *s, unsigned char c, int next)
{
    static const char named[] = "\"\"\\\\\nn\tt\rr\vv\ff";
    for (const char *n = named; *n; n += 2) {
        if (c == (unsigned char)n[0]) {
            put_char(s, '\\');
            put_char(s, n[1]);
            return;
        }
    }
    if (c >= ' ' && c < 0x7f) {
        put_char(s, (char)c);
    } else {
        put_f(s, next >= '0' && next <= '7' ? "\\%03o" : "\\%o", c);
    }
}

void put_quoted(struct strace *s, const void *bytes, size_t size)
{
    const unsigned char *b = bytes;
    put_char(s, '"');
    for (size_t i = 0; i < size; i++) {
        put_escaped(s, b[i], i + 1 < size ? b[i + 1] : -1);
    }
    put_char(s, '"');
}

void put_hex_quoted(struct strace *s, const void *bytes, size_t size)
{
    const unsigned char *b = bytes;
    put_char(s, '"');
    for (size_t i = 0; i < size; i++) {
        put_f(s, "\\x%02x", b[i]);
    }
    put_char(s, '"');
}

bool fetch(struct strace *s, void *to, uint64_t from, size_t size)
{
    return size == 0 || s->read(s->opaque, to, size, from) == (ssize_t)size;
}

void put_bytes(struct strace *s, uint64_t address, uint64_t size, bool hexadecimal)
{
    unsigned char bytes[STRACE_STRING] = {0};
    size_t shown = size < sizeof(bytes) ? size : sizeof(bytes);
    if (!address || !fetch(s, bytes, address, shown)) {
        put_address(s, address);
        return;
    }
    if (hexadecimal) {
        put_hex_quoted(s, bytes, shown);
    } else {
        put_quoted(s, bytes, shown);
    }
    if (shown < size) {
        put(s, "...");
    }
}

void put_string(struct strace *s, uint64_t address, bool whole)
{
    static char bytes[4096];
    const size_t most = whole ? sizeof(bytes) : STRACE_STRING + 1;
    size_t size = 0;
    if (!address) {
        put(s, "NULL");
        return;
    }
    /* Short pieces that do not cross a page: what lies behind the end may not be readable. */
    while (size < most && memchr(bytes, 0, size) == NULL) {
        uint64_t at = address + size;
        size_t part = 4096 - (at & 4095);
        part = part < 256 ? part : 256;
        part = part < most - size ? part : most - size;
        ssize_t got = s->read(s->opaque, bytes + size, part, at);
        if (got <= 0) {
            put_address(s, address);
            return;
        }
        size += (size_t)got;
    }
    size_t length = strnlen(bytes, size);
    if (whole) {
        put_quoted(s, bytes, length);
        if (length == most) {
            put(s, "...");
        }
        return;
    }
    put_quoted(s, bytes, length < STRACE_STRING ? length : STRACE_STRING);
    if (length > STRACE_STRING) {
        put(s, "...");
    }
}
