/* SPDX-License-Identifier: MIT */
#include "cmd.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "cmd_program.h"
#include "linux/strace.h"
#include <polder/polder.h>

struct trace {
    struct program_options common;
    const char *file;
    bool counting;
    bool terminal; /* somebody may be watching: show a call while it blocks */
    struct strace_filter filter;
    char **program; /* and its arguments */

    struct strace out;
    struct strace_summary summary;
    uint64_t number, began;
    const char *refused;
    int mm_fd;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct trace *trace = state->input;
    const char *unknown;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &trace->common;
        return 0;
    case 'o':
        trace->file = arg;
        return 0;
    case 'c':
        trace->counting = true;
        return 0;
    case 'e':
        unknown = filter_parse(&trace->filter, arg);
        if (unknown) {
            argp_failure(state, 2, 0, "invalid system call '%s'", unknown);
            return EINVAL;
        }
        return 0;
    case ARGP_KEY_ARGS:
        trace->program = state->argv + state->next;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"output", 'o', "FILE", 0, "Write to FILE instead of standard error", 0},
    {"summary-only", 'c', NULL, 0, "Count calls, errors and time, and report only a table of these", 0},
    {"trace", 'e', "[trace=]NAMES", 0,
        "Only these system calls: names or %file, %desc, %memory, %process, %network, %signal, separated by commas; "
        "with ! before them, all but these",
        0},
    {0},
};

static const struct argp_child children[] = {{&program_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
    .children = children,
    .options = options,
    .parser = parse,
    .args_doc = "PROGRAM [ARG...]",
    .doc = "Runs an unmodified x86-64 Linux program in a sandbox and prints its system calls as strace does.\v"
           "Standard streams, working directory, environment, exit status and death by signal are the program's own. "
           "Status 127: no such program; 126: it cannot be run; 2: KVM cannot be had.",
};

static ssize_t read_program(void *opaque, void *buf, size_t count, uint64_t address)
{
    const struct trace *trace = opaque;
    return polder_read(trace->mm_fd, buf, count, address);
}

static void on_started(
    void *opaque, const char *path, char *const argv[], char *const envp[], uint64_t envp_addr, int mm_fd)
{
    struct trace *trace = opaque;
    size_t count = 0;
    while (envp[count]) {
        count++;
    }
    trace->mm_fd = mm_fd;
    if (trace->counting) {
        summary_add(&trace->summary, SYS_execve, 0, false);
    } else if (filter_has(&trace->filter, SYS_execve)) {
        strace_execve(&trace->out, path, argv, envp_addr, count);
        strace_flush(&trace->out);
    }
}

static void on_enter(void *opaque, const struct linux_call *call)
{
    struct trace *trace = opaque;
    trace->refused = NULL;
    trace->mm_fd = call->mm_fd;
    trace->number = call->number;
    if (!filter_has(&trace->filter, call->number)) {
        return;
    }
    if (!trace->counting) {
        trace->out.stack = call->regs ? call->regs->rsp : 0;
        strace_enter(&trace->out, call->number, call->args);
        if (trace->terminal) {
            strace_flush(&trace->out);
        }
    }
    trace->began = clock_ns(CLOCK_MONOTONIC);
}

static void on_leave(void *opaque, const struct linux_call *call, long result)
{
    struct trace *trace = opaque;
    uint64_t ended = clock_ns(CLOCK_MONOTONIC);
    trace->mm_fd = call->mm_fd;
    if (!filter_has(&trace->filter, call->number)) {
        return;
    }
    if (trace->counting) {
        summary_add(&trace->summary, call->number, ended - trace->began, result < 0 && result >= -4095);
        return;
    }
    strace_leave(&trace->out, result, trace->refused);
    strace_flush(&trace->out);
}

static void on_refused(void *opaque, const struct linux_call *call, const char *why)
{
    struct trace *trace = opaque;
    (void)call;
    trace->refused = why;
}

static void on_signal(void *opaque, const siginfo_t *info)
{
    struct trace *trace = opaque;
    if (!trace->counting) {
        strace_signal(&trace->out, info);
        strace_flush(&trace->out);
    }
}

static void finish(struct trace *trace)
{
    if (trace->counting) {
        summary_print(&trace->summary, &trace->out);
    }
    strace_flush(&trace->out);
}

static void on_exited(void *opaque, int status)
{
    struct trace *trace = opaque;
    if (!trace->counting) {
        strace_exited(&trace->out, status);
    }
    finish(trace);
}

static void on_killed(void *opaque, int sig, bool core)
{
    struct trace *trace = opaque;
    if (!trace->counting) {
        strace_killed(&trace->out, sig, core);
    }
    finish(trace);
}

static const struct linux_hooks hooks = {
    .started = on_started,
    .enter = on_enter,
    .leave = on_leave,
    .refused = on_refused,
    .signal = on_signal,
    .exited = on_exited,
    .killed = on_killed,
};

int cmd_trace(int argc, char **argv)
{
    static struct trace trace = {.filter = {.all = true}};
    if (!cmd_parse(&argp, argc, argv, ARGP_IN_ORDER, &trace) || !trace.program) {
        return 2;
    }
    int fd = STDERR_FILENO;
    if (trace.file) {
        fd = open(trace.file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (fd < 0) {
            fprintf(stderr, "polder trace: %s: %s\n", trace.file, strerror(errno));
            return 2;
        }
    }
    trace.terminal = isatty(fd);
    trace.out.fd = linux_hide_fd(fd);
    if (trace.out.fd < 0) {
        fprintf(stderr, "polder trace: %s\n", strerror(errno));
        return 2;
    }
    if (trace.file) {
        trace.out.name = trace.file;
        trace.out.complaints = linux_hide_fd(STDERR_FILENO);
    }
    trace.out.read = read_program;
    trace.out.opaque = &trace;
    return program_run(&trace.common, trace.program, &hooks, &trace);
}
