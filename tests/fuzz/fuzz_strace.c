/* SPDX-License-Identifier: MIT */
/*
 * What `polder trace` prints of a program's calls: any numbers, any arguments, and memory that holds anything and ends
 * anywhere. Nothing but text may come of it.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "linux/strace.h"

#define MEMORY 0x10000ull /* where the program's is */
#define REPEATED 12       /* times: so that a small input has strings longer than any buffer */
#define CALLS_MAX 32

static struct input in;

/* As polder_read: short where memory ends. */
static ssize_t read_memory(void *opaque, void *buf, size_t count, uint64_t address)
{
    const struct input *memory = opaque;
    uint64_t offset = address - MEMORY, end = memory->left * REPEATED;
    if (offset >= end) {
        errno = EFAULT;
        return count ? -1 : 0;
    }
    if (count > end - offset)
        count = end - offset;
    for (size_t i = 0; i < count; i++)
        ((uint8_t *)buf)[i] = memory->at[(offset + i) % memory->left];
    return (ssize_t)count;
}

static uint64_t argument(void)
{
    unsigned form = (unsigned)take(&in, 1);
    switch (form % 4) {
    case 0:
        return form / 4;
    case 1:
        return MEMORY + form / 4 * 8;
    case 2:
        return take(&in, 8);
    default:
        return take(&in, 2);
    }
}

static void look(struct strace *s)
{
    CHECK(s->used <= sizeof s->text);
    for (size_t i = 0; i < s->used; i++)
        CHECK(s->text[i] == '\n' || (s->text[i] >= ' ' && s->text[i] <= '~'));
    strace_flush(s);
    CHECK(s->used == 0);
}

static void one_call(struct strace *s)
{
    uint64_t args[CALL_ARGS], number = take(&in, 2);
    for (unsigned i = 0; i < CALL_ARGS; i++)
        args[i] = argument();
    s->stack = argument();
    strace_enter(s, number, args);
    long result = (long)(int16_t)take(&in, 2);
    switch ((unsigned)take(&in, 1) % 8) {
    case 0:
        strace_abandon(s);
        break;
    case 1:
        strace_signal(s, &(siginfo_t){.si_signo = (int)(result & 127), .si_code = (int)(result >> 8)});
        break;
    default:
        strace_leave(s, result, NULL);
    }
    look(s);
}

const unsigned fuzz_mutations = 10000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct strace s;
    static int nowhere = -1;
    char names[64] = "";
    struct strace_filter filter;
    struct input memory;
    if (nowhere < 0)
        nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    in = (struct input){data, size};
    unsigned calls = (unsigned)take(&in, 1) % CALLS_MAX + 1;
    /* The calls come first, 20 bytes each, and may go on into memory. */
    size_t skip = calls * 20 < in.left ? calls * 20 : in.left;
    memory = (struct input){in.at + skip, in.left - skip};
    memset(&s, 0, sizeof s);
    s.fd = nowhere;
    s.read = read_memory;
    s.opaque = &memory;
    for (unsigned i = 0; i < calls; i++)
        one_call(&s);
    read_memory(&memory, names, sizeof names - 1, MEMORY);
    const char *bad = filter_parse(&filter, names);
    CHECK(!bad || strlen(bad) < 4096);
    return 0;
}
