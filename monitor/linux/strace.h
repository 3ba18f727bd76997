/* SPDX-License-Identifier: MIT */
/*
 * strace: system calls as text, in the form that strace(1) has made familiar. What is printed is the program's: every
 * pointer may be wild and every count a lie, so memory is only ever read through `read`, and never more than is shown.
 */
#ifndef MONITOR_LINUX_STRACE_H
#define MONITOR_LINUX_STRACE_H

#include "../proceed/calls.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define STRACE_STRING 32 /* bytes of a string that are shown */

struct strace {
    /* Set by the owner. */
    int fd;                                                                   /* where the text goes */
    ssize_t (*read)(void *opaque, void *buf, size_t count, uint64_t address); /* as polder_read */
    void *opaque;
    const char *name; /* of the file, for the complaint that it cannot be written; NULL: without one */
    int complaints;   /* where that goes */

    bool ended; /* it cannot be written any more */
    /* Text that has not been written yet, and how long the line is so far. */
    char text[1 << 14];
    size_t used;
    size_t column;

    /* The call that is under way. */
    struct call call;
    uint64_t number;
    uint64_t args[CALL_ARGS];
    unsigned next; /* the argument to be printed next */
    bool open;     /* its line has begun and has not ended */
    bool entering;
    bool half;      /* of the next argument the value before the call is printed, that after it is not */
    int64_t before; /* that value */
    uint32_t room;  /* what a socklen_t said before the call */
    uint64_t stack; /* set by the owner: the stack pointer, where rt_sigreturn finds its frame */
    long result;
};

/* A call begins: its name and the arguments that are known by now. It ends: the rest and the result. */
void strace_enter(struct strace *s, uint64_t number, const uint64_t args[CALL_ARGS]);
void strace_leave(struct strace *s, long result, const char *note);
/* The call that is under way will not come back. */
void strace_abandon(struct strace *s);
void strace_execve(struct strace *s, const char *path, char *const argv[], uint64_t envp, size_t envc);
void strace_signal(struct strace *s, const siginfo_t *info);
void strace_exited(struct strace *s, int status);
void strace_killed(struct strace *s, int sig, bool core);
/* Writes the text so far. */
void strace_flush(struct strace *s);

/* ---- Text (strace_text.c). */
void put_char(struct strace *s, char c);
void put(struct strace *s, const char *text);
void put_f(struct strace *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "0x7f..", or NULL. */
void put_address(struct strace *s, uint64_t address);
/* Bytes between quotes, as C would write them. */
void put_quoted(struct strace *s, const void *bytes, size_t size);
void put_hex_quoted(struct strace *s, const void *bytes, size_t size);
/* The program's memory: all of it or false. */
bool fetch(struct strace *s, void *to, uint64_t from, size_t size);
/* size bytes at address, of which the first are shown. */
void put_bytes(struct strace *s, uint64_t address, uint64_t size, bool hexadecimal);
/* A string that ends with NUL; `whole`: as a path is shown, to its end. */
void put_string(struct strace *s, uint64_t address, bool whole);

/* ---- Names (strace_names.c). */
/* Prints value as a constant or flags of that kind; false if the kind has no names. */
bool put_named(struct strace *s, enum arg_kind kind, uint64_t value);
/* The file type and permissions of a stat; a device number. */
void put_file_mode(struct strace *s, unsigned mode);
void put_mode(struct strace *s, unsigned mode);
void put_device(struct strace *s, uint64_t dev);
/* "SIGINT" */
void put_signal(struct strace *s, uint64_t sig);
void put_sigset(struct strace *s, uint64_t set);
const char *errno_name(int error);
void put_sa_flags(struct strace *s, uint64_t flags);
void put_poll_events(struct strace *s, unsigned events);
void put_epoll_events(struct strace *s, unsigned events);
void put_sockopt_name(struct strace *s, uint64_t level, uint64_t name);
void put_socket_protocol(struct strace *s, uint64_t family, uint64_t protocol);
void put_si_code(struct strace *s, int sig, int code);
void put_lock_type(struct strace *s, int type);
void put_ss_flags(struct strace *s, unsigned flags);
void put_statx_attributes(struct strace *s, uint64_t attributes);
void put_fs_type(struct strace *s, uint64_t type);
void put_statfs_flags(struct strace *s, uint64_t flags);
void put_baud(struct strace *s, unsigned cflag);

/* ---- Structures (strace_data.c). */
/* The memory that argument index points to; false if it cannot be read, and nothing is printed. */
bool put_data(struct strace *s, unsigned index);
/* The extra words after a result, such as which descriptors are ready; nothing if there are none. */
void put_ready(struct strace *s);
void put_argv(struct strace *s, uint64_t address);
size_t count_pointers(struct strace *s, uint64_t address, bool *known);

/* ---- Which calls (strace_filter.c). */
struct strace_filter {
    bool all;
    bool chosen[512];
};

/*
 * What -e takes: "trace=NAMES", or NAMES alone: names of calls and %classes, separated by commas, "!" before them for
 * all others. NULL, or the name that is none.
 */
const char *filter_parse(struct strace_filter *filter, const char *text);
bool filter_has(const struct strace_filter *filter, uint64_t number);

/* ---- -c (strace_summary.c). */
struct strace_summary {
    struct strace_count {
        uint64_t calls, errors, nanoseconds;
    } counts[512];
};

void summary_add(struct strace_summary *summary, uint64_t number, uint64_t nanoseconds, bool error);
void summary_print(const struct strace_summary *summary, struct strace *s);

#endif
