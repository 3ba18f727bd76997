/* SPDX-License-Identifier: MIT */
/* The memory calls as programs use them, results by value and never by address. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096

static sigjmp_buf back;
static volatile siginfo_t seen;

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)context;
    seen = *info;
    siglongjmp(back, signal);
}

/* What touching the byte does: nothing, or the signal and its code. */
static const char *touch(volatile char *byte, int write)
{
    static char text[64];
    int signal = sigsetjmp(back, 1);
    if (!signal) {
        if (write)
            *byte = 1;
        else
            (void)*byte;
        return "fine";
    }
    snprintf(text, sizeof(text), "signal %d code %d %s", signal, seen.si_code,
        seen.si_addr == (void *)byte ? "there" : "elsewhere");
    return text;
}

static const char *call(void *code)
{
    static char text[64];
    int signal = sigsetjmp(back, 1);
    if (!signal) {
        ((void (*)(void))(uintptr_t)code)();
        return "fine";
    }
    snprintf(
        text, sizeof(text), "signal %d code %d %s", signal, seen.si_code, seen.si_addr == code ? "there" : "elsewhere");
    return text;
}

static void show(const char *what, const char *result)
{
    printf("%-40s %s\n", what, result);
}

static char *map(size_t pages, int prot)
{
    char *block = mmap(NULL, pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return block == MAP_FAILED ? NULL : block;
}

static void failed(const char *what, int64_t result)
{
    printf("%-40s %s errno %d\n", what, result == -1 ? "failed" : "worked", result == -1 ? errno : 0);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);

    char *block = map(4, PROT_READ | PROT_WRITE);
    strcpy(block + PAGE, "kept");
    mprotect(block, 4 * PAGE, PROT_READ);
    show("write to read-only", touch(block, 1));
    show("read of read-only", touch(block, 0));
    mprotect(block, PAGE, PROT_NONE);
    show("read of PROT_NONE", touch(block, 0));
    mprotect(block, PAGE, PROT_READ | PROT_WRITE);
    show("write after it was allowed again", touch(block, 1));
    munmap(block + 2 * PAGE, PAGE);
    show("read of a hole", touch(block + 2 * PAGE, 0));
    show("read beyond the hole", touch(block + 3 * PAGE, 0));
    show("what was written stays", block + PAGE);

    char *code = map(1, PROT_READ | PROT_WRITE);
    code[0] = (char)0xc3;
    show("call of what is not executable", call(code));
    mprotect(code, PAGE, PROT_READ | PROT_EXEC);
    show("call of what is", call(code));
    show("write to what is executable", touch(code, 1));

    block = map(4, PROT_READ | PROT_WRITE);
    memset(block, 'x', 4 * PAGE);
    char *moved = mremap(block, 4 * PAGE, 400 * PAGE, MREMAP_MAYMOVE);
    printf("mremap grew: %c %c %d\n", moved[0], moved[4 * PAGE - 1], moved[4 * PAGE]);
    char *shrunk = mremap(moved, 400 * PAGE, PAGE, 0);
    show("read beyond what was cut off", touch(shrunk + PAGE, 0));
    char *target = map(1, PROT_NONE);
    char *fixed = mremap(shrunk, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target);
    printf("mremap to a place: %d %c\n", fixed == target, fixed[9]);
    show("read of where it was", touch(shrunk, 0));

    block = map(3, PROT_READ | PROT_WRITE);
    memset(block, 'y', 3 * PAGE);
    madvise(block + PAGE, PAGE, MADV_DONTNEED);
    printf("after DONTNEED: %c %d %c\n", block[0], block[PAGE], block[2 * PAGE]);
    char *over = mmap(block, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    printf("mapped over: %d %d\n", over == block, block[0]);
    char *noreplace = mmap(block, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    failed("MAP_FIXED_NOREPLACE over a mapping", (int64_t)noreplace);

    void *start = sbrk(0);
    char *heap = sbrk(10 * PAGE + 5);
    heap[10 * PAGE] = 'h';
    printf("brk grew by what was asked: %d\n", (char *)sbrk(0) - (char *)start == 10 * PAGE + 5);
    sbrk(-(10 * PAGE + 5));
    printf("brk shrank: %d\n", sbrk(0) == start);
    heap = sbrk(10 * PAGE);
    printf("brk gives zeroes again: %d\n", heap[9 * PAGE]);

    int file = open("mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
    unlink("mapped");
    char page[PAGE];
    memset(page, 'f', PAGE);
    for (int i = 0; i < 3; i++)
        if (write(file, page, PAGE) != PAGE)
            return 1;
    char *shared = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    char *second = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 2 * PAGE);
    char *private = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    shared[2 * PAGE] = 'S';
    printf("two shared views: %c, private one before its write: %c\n", second[0], private[2 * PAGE]);
    private[2 * PAGE] = 'P';
    second[0] = 'T';
    printf("shared %c, private %c\n", shared[2 * PAGE], private[2 * PAGE]);
    if (pwrite(file, "W", 1, 0) == 1)
        printf("write(2) shows: %c\n", shared[0]);
    if (pread(file, page, 1, 2 * PAGE) == 1)
        printf("read(2) shows: %c\n", page[0]);
    if (ftruncate(file, PAGE))
        return 1;
    show("read beyond the file's end", touch(shared + 2 * PAGE, 0));
    show("read before it", touch(shared, 0));
    printf("private copy survives: %c\n", private[0]);
    failed("msync", msync(shared, PAGE, MS_SYNC));

    failed("mmap of length 0", (int64_t)mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    failed("mmap of an unaligned offset", (int64_t)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 5));
    failed("mmap of a bad descriptor", (int64_t)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 999, 0));
    failed("munmap of an unaligned address", munmap(block + 1, PAGE));
    failed("mprotect of a hole", mprotect(shrunk, PAGE, PROT_READ));
    failed("mmap into the kernel's half",
        (int64_t)mmap((void *)0xffff800000000000, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    failed("mremap of nothing", (int64_t)mremap(shrunk, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
    failed("read(2) into a hole", read(open("/proc/self/status", O_RDONLY), shrunk, 10));
    failed("write(2) from the kernel's half", write(1, (void *)0xffff800000000000, 10));

    show("read of address 0", touch(NULL, 0));
    volatile char *wild = (char *)0x123456789000;
    show("read of a wild pointer", touch(wild, 0));

    size_t big = (size_t)64 << 30;
    char *reserved = mmap(NULL, big, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved != MAP_FAILED) {
        reserved[big - 1] = 1;
        reserved[big / 2] = 1;
        printf("64 GiB reserved, three bytes: %d %d %d\n", reserved[0], reserved[big / 2], reserved[big - 1]);
        munmap(reserved, big);
    }
    unsigned char resident[4];
    block = map(4, PROT_READ | PROT_WRITE);
    failed("mincore", mincore(block, 4 * PAGE, resident));
    return 0;
}
