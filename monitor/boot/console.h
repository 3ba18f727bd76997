/* SPDX-License-Identifier: MIT */
/*
 * console: the guest's console is standard input and output. A terminal is in raw mode while the machine runs, and only
 * the main thread reads it, so that Ctrl-A x ends even a machine that never asks for input. What is no terminal is read
 * when the guest asks, and no further than it asks.
 */
#ifndef MONITOR_BOOT_CONSOLE_H
#define MONITOR_BOOT_CONSOLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>

#define CONSOLE_BUFFER 4096

struct console {
    bool terminal;
    struct termios before, raw;
    pthread_mutex_t lock; /* of all that follows */
    bool escape;          /* the last byte was Ctrl-A */
    bool ended;           /* the terminal hung up */
    bool end_read;        /* the guest knows that the input has ended */
    size_t head, fill;
    unsigned char buffer[CONSOLE_BUFFER];
};

/* Terminal modes: raw, with the output's newlines still translated; and as they were. */
void console_init(struct console *console);
/* Around a time in which the machine stands still: the terminal as it was, and raw again. */
void console_suspend(const struct console *console);
void console_resume(const struct console *console);
void console_restore(struct console *console);

/* Reads what the terminal has, as poll(2) has said that it has something. False: the user wants the machine to end. */
bool console_take_input(struct console *console);

/* HC_CONSOLE_READ and HC_CONSOLE_WRITE. *stop ends the waiting for a reader. */
int64_t console_read(struct console *console, void *to, size_t length);
int64_t console_write(const void *from, size_t length, const bool *stop);

/* True if console_read would not be -EAGAIN for a reason that the guest does not know yet. */
bool console_readable(struct console *console);
/* What to poll for input: standard input, -1 if that is the main thread's to do or its end is known. */
int console_poll_fd(struct console *console);

#endif
