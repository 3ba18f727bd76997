/* SPDX-License-Identifier: MIT */
#include "boot/console.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define CTRL_A 1

void console_init(struct console *console)
{
    *console = (struct console){.lock = PTHREAD_MUTEX_INITIALIZER};
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &console->before))
        return;
    console->terminal = true;
    console->raw = console->before;
    cfmakeraw(&console->raw);
    console->raw.c_oflag |= OPOST; /* a kernel's "\n" begins a line at the left */
    tcsetattr(STDIN_FILENO, TCSADRAIN, &console->raw);
}

/* In the background the terminal is somebody else's, and has his modes: SIGTTOU would stop whoever sets his own. */
static void set_mode(const struct console *console, const struct termios *mode)
{
    pid_t foreground = tcgetpgrp(STDIN_FILENO); /* -1: a terminal that controls no jobs of ours */
    if (console->terminal && (foreground < 0 || foreground == getpgrp()))
        tcsetattr(STDIN_FILENO, TCSADRAIN, mode);
}

void console_suspend(const struct console *console)
{
    set_mode(console, &console->before);
}

void console_resume(const struct console *console)
{
    set_mode(console, &console->raw);
}

void console_restore(struct console *console)
{
    set_mode(console, &console->before);
    console->terminal = false;
}

/* What does not fit is lost, as in a terminal's own queue. */
static void put(struct console *console, unsigned char byte)
{
    if (console->fill < CONSOLE_BUFFER)
        console->buffer[(console->head + console->fill++) % CONSOLE_BUFFER] = byte;
}

static bool take(struct console *console, const unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (console->escape) {
            console->escape = false;
            if (bytes[i] == 'x')
                return false;
            if (bytes[i] != CTRL_A)
                put(console, CTRL_A);
            put(console, bytes[i]);
        } else if (bytes[i] == CTRL_A) {
            console->escape = true;
        } else {
            put(console, bytes[i]);
        }
    }
    return true;
}

bool console_take_input(struct console *console)
{
    unsigned char bytes[256];
    ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
    pthread_mutex_lock(&console->lock);
    bool go_on = n <= 0 || take(console, bytes, (size_t)n);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        console->ended = true;
    pthread_mutex_unlock(&console->lock);
    return go_on;
}

/* ---------------------------------------------------------------- the guest's side */

static bool input_waits(void)
{
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&fd, 1, 0) > 0;
}

static int64_t read_buffer(struct console *console, unsigned char *to, size_t length)
{
    size_t n = 0;
    for (; n < length && console->fill; n++, console->fill--) {
        to[n] = console->buffer[console->head];
        console->head = (console->head + 1) % CONSOLE_BUFFER;
    }
    return n || console->ended ? (int64_t)n : -EAGAIN;
}

static int64_t read_directly(void *to, size_t length)
{
    if (!input_waits())
        return -EAGAIN;
    ssize_t n = read(STDIN_FILENO, to, length);
    return n < 0 ? errno == EINTR ? -EAGAIN : -errno : n;
}

int64_t console_read(struct console *console, void *to, size_t length)
{
    if (length == 0)
        return -EINVAL; /* 0 means the end of the input */
    pthread_mutex_lock(&console->lock);
    int64_t n = console->terminal ? read_buffer(console, to, length) : read_directly(to, length);
    if (n == 0)
        console->end_read = true;
    pthread_mutex_unlock(&console->lock);
    return n;
}

int64_t console_write(const void *from, size_t length, const bool *stop)
{
    size_t done = 0;
    while (done < length && !__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
        ssize_t n = write(STDOUT_FILENO, (const char *)from + done, length - done);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd fd = {.fd = STDOUT_FILENO, .events = POLLOUT};
            poll(&fd, 1, -1);
        } else if (errno != EINTR) {
            return done ? (int64_t)done : -errno;
        }
    }
    return (int64_t)done;
}

bool console_readable(struct console *console)
{
    pthread_mutex_lock(&console->lock);
    bool readable = console->terminal ? console->fill || (console->ended && !console->end_read)
                                      : !console->end_read && input_waits();
    pthread_mutex_unlock(&console->lock);
    return readable;
}

int console_poll_fd(struct console *console)
{
    pthread_mutex_lock(&console->lock);
    int fd = console->terminal || console->end_read ? -1 : STDIN_FILENO;
    pthread_mutex_unlock(&console->lock);
    return fd;
}
