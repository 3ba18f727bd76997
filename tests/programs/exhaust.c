/* SPDX-License-Identifier: MIT */
/* Asks for more than there is: memory, arguments, room on a disk. What a program sees of it, and that it goes on. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096
#define PIECE (8 << 20)

static void show(const char *what, int good)
{
    printf("%s: %s\n", what, good ? "good" : strerrorname_np(errno));
    fflush(stdout);
}

/* Under a limit of address space. How much there is, is not compared: the monitor's is counted too. */
static int memory(void)
{
    static char *pieces[4096];
    int n = 0;
    for (; n < 4096; n++) {
        pieces[n] = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pieces[n] == MAP_FAILED)
            break;
        madvise(pieces[n], PIECE, MADV_NOHUGEPAGE); /* or 500 stores take a gigabyte, which a small machine has not */
        pieces[n][PIECE / 2] = (char)n;
    }
    show("mmap", n == 4096);
    show("malloc", malloc(4 * PIECE) != NULL);
    char *top = sbrk(0);
    show("sbrk", sbrk(4l * PIECE) != (void *)-1);
    show("mmap, shared", mmap(NULL, 4 * PIECE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    show("mremap", mremap(pieces[0], PIECE, 4 * PIECE, MREMAP_MAYMOVE) != MAP_FAILED);
    int wrong = n < 4 || sbrk(0) != top;
    for (int i = 0; i < n; i++)
        wrong += pieces[i][PIECE / 2] != (char)i;
    printf("%d wrong\n", wrong);
    for (int i = 0; i < n; i++)
        munmap(pieces[i], PIECE);
    show("malloc again", malloc(2 * PIECE) != NULL);
    return 0;
}

static int arguments(const char *self)
{
    char *large = malloc(200 << 10), *list[400];
    memset(large, 'x', (200 << 10) - 1);
    large[(200 << 10) - 1] = 0;
    show("an argument of 200 KiB", execl(self, self, large, NULL) == 0);
    show("in the environment", execle(self, self, NULL, (char *[]){large, NULL}) == 0);
    large[100 << 10] = 0;
    for (int i = 0; i < 399; i++)
        list[i] = large;
    list[399] = NULL;
    show("399 arguments of 100 KiB", execv(self, list) == 0);
    list[3] = NULL;
    execl(self, self, "was executed", large, NULL);
    return 1;
}

static sigjmp_buf back;
static volatile siginfo_t seen;

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)context;
    seen = *info;
    siglongjmp(back, signal);
}

static void store(const char *what, volatile char *at)
{
    if (sigsetjmp(back, 1))
        printf("%s: signal %d, code %d, %s\n", what, seen.si_signo, seen.si_code,
            seen.si_addr == (void *)at ? "there" : "elsewhere");
    else
        show(what, (*at = 5));
}

/* A file of holes on a disk of 16 pages that is full. */
static int disk(void)
{
    static char block[PAGE];
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, NULL);
    if (mkdir("disk", 0700) || unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("disk", "disk", "tmpfs", 0, "size=64k"))
        return 77;
    int file = open("disk/file", O_RDWR | O_CREAT, 0600), ballast = open("disk/ballast", O_RDWR | O_CREAT, 0600);
    if (ftruncate(file, 64 * PAGE) || pwrite(file, block, PAGE, 3 * PAGE) != PAGE)
        return 1;
    while (write(ballast, block, PAGE) == PAGE)
        ;
    show("write", 0);
    char *shared = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    char *own = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    if (shared == MAP_FAILED || own == MAP_FAILED)
        return 1;
    for (int round = 0; round < 3; round++) {
        store("a page with a block", shared + 3 * PAGE + 7);
        store("a page without", shared + 5 * PAGE + 7);
        store("the last page", shared + 64 * PAGE - 1);
        store("a page of its own", own + 3 * PAGE + 7);
        int zero = open("/dev/zero", O_RDONLY);
        show("read into a page with a block", read(zero, shared + 3 * PAGE, 10) == 10);
        show("read into a page without", read(zero, shared + 6 * PAGE, 10) == 10);
        close(zero);
        if (round == 1 && ftruncate(ballast, 0))
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    if (!strcmp(mode, "memory"))
        return memory();
    if (!strcmp(mode, "arguments"))
        return arguments(argv[0]);
    if (!strcmp(mode, "disk"))
        return disk();
    printf("%s %zu\n", mode, argc > 2 ? strlen(argv[2]) : 0);
    return 0;
}
