/* SPDX-License-Identifier: MIT */
/*
 * driver: what `make check` runs a target with: every seed, and a fixed number of mutations of them, the same ones each
 * time. It reports in TAP. An input that ends the process is left in a file beside the program, and the program runs
 * the files that are its arguments.
 */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef FUZZ_PART
#define FUZZ_PART 1 /* of the target's number of mutations: so many times less */
#endif
#define SIZE_MAX_INPUT 8192u
#define SECONDS_MAX 20 /* of one input */

struct seed {
    char *name;
    uint8_t *bytes;
    size_t size;
};

static struct {
    struct seed *list;
    size_t count;
} seeds;

/* The input under way, for whoever has to say what it was. */
static struct {
    const uint8_t *bytes;
    size_t size;
    char file[PATH_MAX];
} now;

static void keep_input(void)
{
    if (!now.bytes)
        return;
    int fd = open(now.file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, now.bytes, now.size) != (ssize_t)now.size)
        return;
    close(fd);
    dprintf(STDERR_FILENO, "the input is in %s\n", now.file);
}

static void died(int number)
{
    static volatile sig_atomic_t once;
    if (!once++)
        keep_input();
    signal(number, SIG_DFL);
    raise(number);
}

/* The sanitizers' own end is no signal. */
__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));

static void watch(const char *program)
{
    static const int signals[] = {SIGABRT, SIGALRM, SIGBUS, SIGFPE, SIGILL, SIGSEGV};
    snprintf(now.file, sizeof now.file, "%s.died", program);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(keep_input);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction old;
        sigaction(signals[i], NULL, &old);
        if (old.sa_handler == SIG_DFL)
            signal(signals[i], died);
    }
}

/* From a copy of its own, which ends where the input does. */
static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    memcpy(copy, bytes, size);
    now.bytes = copy;
    now.size = size;
    alarm(SECONDS_MAX);
    LLVMFuzzerTestOneInput(copy, size);
    alarm(0);
    now.bytes = NULL;
    free(copy);
}

static bool add_seed(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (good) {
        struct seed seed = {strdup(path), malloc((size_t)st.st_size + 1), (size_t)st.st_size};
        seeds.list = reallocarray(seeds.list, seeds.count + 1, sizeof seed);
        if (!seed.name || !seed.bytes || !seeds.list)
            abort();
        good = read(fd, seed.bytes, seed.size) == st.st_size;
        seeds.list[seeds.count++] = seed;
    }
    if (fd >= 0)
        close(fd);
    return good;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct seed *)a)->name, ((const struct seed *)b)->name);
}

/* In the order of their names, so that every machine makes the same mutations. */
static void read_seeds(const char *folder)
{
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char *path;
        if (asprintf(&path, "%s/%s", folder, e->d_name) < 0)
            abort();
        add_seed(path);
        free(path);
    }
    if (dir)
        closedir(dir);
    if (seeds.count)
        qsort(seeds.list, seeds.count, sizeof *seeds.list, by_name);
}

/* ---------------------------------------------------------------- mutations */

static uint64_t state = 0x9e3779b97f4a7c15;

static size_t below(size_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return n ? (size_t)(state >> 11) % n : 0;
}

struct buffer {
    uint8_t bytes[SIZE_MAX_INPUT];
    size_t size;
};

static void set_number(struct buffer *b)
{
    static const uint64_t values[] = {0, 1, 2, 3, 7, 8, 16, 63, 64, 127, 128, 255, 4095, 4096, 4097, 0x7fff, 0x8000,
        0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7ffffffff000, 0x7fffffffffffffff, 0x8000000000000000,
        0xfffffffffffff000, 0xffffffffffffffff};
    uint64_t value = values[below(sizeof values / sizeof values[0])];
    size_t length = (size_t)1 << below(4);
    if (length > b->size)
        return;
    memcpy(b->bytes + below(b->size - length + 1), &value, length);
}

static void put_block(struct buffer *b, size_t at, const uint8_t *from, size_t length, bool insert)
{
    if (insert && length > SIZE_MAX_INPUT - b->size)
        return;
    if (insert) {
        memmove(b->bytes + at + length, b->bytes + at, b->size - at);
        b->size += length;
    } else if (length > b->size - at) {
        length = b->size - at;
    }
    memmove(b->bytes + at, from, length);
}

static void copy_block(struct buffer *b)
{
    uint8_t block[256];
    size_t from = below(b->size), length = 1 + below(b->size - from);
    if (length > sizeof block)
        length = sizeof block;
    memcpy(block, b->bytes + from, length);
    put_block(b, below(b->size), block, length, below(2));
}

static void splice_other(struct buffer *b)
{
    const struct seed *other = &seeds.list[below(seeds.count)];
    if (!other->size)
        return;
    size_t from = below(other->size), length = 1 + below(other->size - from);
    put_block(b, below(b->size), other->bytes + from, length, below(2));
}

static void cut_out(struct buffer *b)
{
    size_t from = below(b->size), length = 1 + below(b->size - from);
    if (length > 64 && below(4))
        length = 1 + below(64);
    memmove(b->bytes + from, b->bytes + from + length, b->size - from - length);
    b->size -= length;
}

static void mutate(struct buffer *b)
{
    switch (b->size ? below(9) : 8) {
    case 0:
    case 1:
        b->bytes[below(b->size)] ^= (uint8_t)(1 << below(8));
        break;
    case 2:
        b->bytes[below(b->size)] = (uint8_t)below(256);
        break;
    case 3:
    case 4:
        set_number(b);
        break;
    case 5:
        copy_block(b);
        break;
    case 6:
        splice_other(b);
        break;
    case 7:
        cut_out(b);
        break;
    default:
        b->size = below(b->size + 1);
    }
}

static void run_mutation(void)
{
    static struct buffer buffer;
    const struct seed *seed = &seeds.list[below(seeds.count)];
    buffer.size = seed->size < SIZE_MAX_INPUT ? seed->size : SIZE_MAX_INPUT;
    memcpy(buffer.bytes, seed->bytes, buffer.size);
    for (size_t changes = 1 + below(5); changes; changes--)
        mutate(&buffer);
    run(buffer.bytes, buffer.size);
}

/* Where everything is slow, as tests/kvm/sandbox.h has it. */
static unsigned mutations(void)
{
    const char *scale = getenv("POLDER_TEST_SCALE");
    int by = scale ? atoi(scale) : 1;
    return fuzz_mutations / FUZZ_PART / (by > 0 ? (unsigned)by : 1) + 1;
}

/* build/tests/kvm/fuzz_apply has the seeds of build/tests/fuzz/apply. */
static const char *target(char *program)
{
    const char *name = basename(program);
    return strncmp(name, "fuzz_", 5) ? name : name + 5;
}

static void run_seeds(void)
{
    for (size_t i = 0; i < seeds.count; i++)
        run(seeds.list[i].bytes, seeds.list[i].size);
}

static void forget_seeds(void)
{
    for (size_t i = 0; i < seeds.count; i++) {
        free(seeds.list[i].name);
        free(seeds.list[i].bytes);
    }
    free(seeds.list);
}

int main(int argc, char **argv)
{
    char folder[PATH_MAX];
    watch(argv[0]);
    for (int i = 1; i < argc; i++) {
        if (!add_seed(argv[i])) {
            perror(argv[i]);
            return 2;
        }
    }
    if (argc == 1) {
        printf("1..1\n");
        fflush(stdout);
        snprintf(folder, sizeof folder, "tests/fuzz/seeds/%s", target(argv[0]));
        read_seeds(folder);
    }
    bool good = seeds.count > 0;
    run_seeds();
    if (argc == 1) {
        for (unsigned i = 0; good && i < mutations(); i++)
            run_mutation();
        printf("%s 1 - %zu seeds, %u mutations of them\n", good ? "ok" : "not ok", seeds.count, mutations());
    }
    forget_seeds();
    return good ? 0 : 1;
}
