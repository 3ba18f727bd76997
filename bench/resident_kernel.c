/* SPDX-License-Identifier: MIT */
/*
 * The resident side of the measurements: a kernel that reads "CASE N" from its console, does the operation N times, and
 * answers with the nanoseconds and the exits that they took. resident.c is at the other end.
 */
#include <polder/resident.h>

#define CODE 0x400000ull
#define PAGES 0x10000000ull
#define FILE_PAGES 512ull

struct setup {
    int space, memory;
    struct polder_params params;
};

static struct setup s;

/* ---------------------------------------------------------------- code of ring 3 */

static const unsigned char syscalls[] = {0x0f, 0x05, 0xeb, 0xfc}; /* 1: syscall; jmp 1b */
/* 1: mov %rax, (%rdi); add $4096, %rdi; dec %rsi; jnz 1b; syscall */
static const unsigned char touches[] = {
    0x48, 0x89, 0x07, 0x48, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00, 0x48, 0xff, 0xce, 0x75, 0xf1, 0x0f, 0x05};

static void aim(struct polder_params *params, const unsigned char *code, size_t length)
{
    polder_write(s.space, code, length, CODE);
    params->regs.rip = CODE;
    params->regs.rdi = PAGES;
    params->regs.rsi = FILE_PAGES;
}

static void map(uint64_t at, uint64_t length, int flags, int fd, uint64_t offset)
{
    if (polder_mmap((void *)at, length, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, (off_t)offset, s.space) ==
        MAP_FAILED)
        polder_shutdown(1);
}

/* ---------------------------------------------------------------- the operations */

static uint64_t ns, exits;
static uint64_t begun_ns;
static int64_t begun_exits;

/* What is not to be measured lies outside of begin and end. Each costs an exit, which is taken off. */
static void begin(void)
{
    begun_exits = polder_exits();
    begun_ns = polder_clock(0);
}

static void end(void)
{
    ns += polder_clock(0) - begun_ns;
    int64_t now = polder_exits();
    exits += now < 0 ? 0 : (uint64_t)(now - begun_exits - 3);
}

static void null(uint64_t n)
{
    aim(&s.params, syscalls, sizeof syscalls);
    polder_run_sandbox(s.space, &s.params);
    begin();
    for (uint64_t i = 0; i < n; i++)
        polder_run_sandbox(s.space, &s.params);
    end();
}

static void two_contexts(uint64_t n)
{
    struct polder_params other;
    polder_params_init(&other);
    aim(&s.params, syscalls, sizeof syscalls);
    aim(&other, syscalls, sizeof syscalls);
    polder_run_sandbox(s.space, &s.params);
    polder_run_sandbox(s.space, &other);
    begin();
    for (uint64_t i = 0; i < n; i++)
        polder_run_sandbox(s.space, i & 1 ? &other : &s.params);
    end();
    polder_params_fini(&other);
}

/* As a UML-like kernel does it: the fault is reported, the page mapped from a file of memory, the sandbox resumed. */
static void fault_map(uint64_t n)
{
    while (n) {
        polder_munmap((void *)PAGES, FILE_PAGES * 4096, s.space);
        aim(&s.params, touches, sizeof touches);
        uint64_t now = n < FILE_PAGES ? n : FILE_PAGES;
        polder_run_sandbox(s.space, &s.params);
        begin();
        for (uint64_t i = 0; i < now; i++) {
            map(s.params.fault_addr, 4096, MAP_SHARED, s.memory, i * 4096);
            polder_run_sandbox(s.space, &s.params);
        }
        end();
        n -= now;
    }
}

/* The library resolves it: memory that the space was promised is brought in at the first touch. */
static void fault_demand(uint64_t n)
{
    while (n) {
        uint64_t now = n < FILE_PAGES ? n : FILE_PAGES;
        map(PAGES, FILE_PAGES * 4096, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        aim(&s.params, touches, sizeof touches);
        s.params.regs.rsi = now;
        begin();
        polder_run_sandbox(s.space, &s.params);
        end();
        n -= now;
    }
}

static void space(uint64_t n)
{
    begin();
    for (uint64_t i = 0; i < n; i++)
        polder_close(polder_open("/proc/mm"));
    end();
}

/* A process of 1 MiB: copied, the copy dropped. */
static void copy(uint64_t n)
{
    map(PAGES, 1 << 20, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    aim(&s.params, touches, sizeof touches);
    s.params.regs.rsi = 256;
    polder_run_sandbox(s.space, &s.params);
    begin();
    for (uint64_t i = 0; i < n; i++)
        polder_close(polder_copy(s.space));
    end();
}

static const struct operation {
    const char *name;
    void (*run)(uint64_t n);
} operations[] = {{"null", null}, {"two-contexts", two_contexts}, {"fault-map", fault_map},
    {"fault-demand", fault_demand}, {"space", space}, {"copy", copy}};

/* ---------------------------------------------------------------- the console */

static bool read_line(char *line, size_t size)
{
    size_t length = 0;
    for (;;) {
        char c;
        ssize_t n = polder_console_read(&c, 1);
        if (n == 0)
            return false;
        if (n < 0) {
            polder_idle(true);
            continue;
        }
        if (c == '\n')
            break;
        if (length + 1 < size)
            line[length++] = c;
    }
    line[length] = 0;
    return true;
}

static char *number(char *at, uint64_t n)
{
    char digits[24];
    size_t count = 0;
    do
        digits[count++] = (char)('0' + n % 10);
    while (n /= 10);
    while (count)
        *at++ = digits[--count];
    return at;
}

static void answer(void)
{
    char text[64], *at = number(text, ns);
    *at++ = ' ';
    at = number(at, exits);
    *at++ = '\n';
    polder_console_write(text, (size_t)(at - text));
}

static void do_line(char *line)
{
    char *space_at = line;
    while (*space_at && *space_at != ' ')
        space_at++;
    uint64_t n = 0;
    for (char *digit = space_at; *digit; digit++) {
        if (*digit >= '0' && *digit <= '9')
            n = n * 10 + (uint64_t)(*digit - '0');
    }
    *space_at = 0;
    ns = exits = 0;
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (strlen(operations[i].name) == strlen(line) && !memcmp(operations[i].name, line, strlen(line)))
            operations[i].run(n);
    }
    answer();
}

int main(void)
{
    char line[64];
    s.space = polder_open("/proc/mm");
    s.memory = polder_memory_create(FILE_PAGES * 4096);
    polder_params_init(&s.params);
    if (s.space < 0 || s.memory < 0 ||
        polder_mmap((void *)CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
            0, s.space) == MAP_FAILED)
        return 1;
    /* Memory that the guest has never had is the host's to make: not here. */
    for (uint64_t i = 0; i < FILE_PAGES; i++)
        memset(polder_file_page(s.memory, i * 4096), 1, 4096);
    while (read_line(line, sizeof line))
        do_line(line);
    return 0;
}
