/* SPDX-License-Identifier: MIT */
/* Takes all memory there is, in every way a program has, and looks whether the machine lives on. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEGABYTE (1ul << 20)

static void touch_pages(void)
{
    for (;;) {
        char *m = mmap(NULL, MEGABYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (m == MAP_FAILED)
            _exit(0);
        for (size_t i = 0; i < MEGABYTE; i += 4096)
            m[i] = 1;
    }
}

/* Until the file system takes no more. False if it says so in the wrong way. */
static bool fill(void)
{
    static char block[65536];
    int fd = open("/tmp/filled", O_WRONLY | O_CREAT, 0644);
    memset(block, 1, sizeof block);
    for (size_t size = sizeof block; size; size /= 2) {
        while (write(fd, block, size) > 0)
            ;
    }
    int error = errno;
    close(fd);
    return error == ENOSPC || error == ENOMEM;
}

static void fill_file(void)
{
    bool good = fill();
    unlink("/tmp/filled");
    _exit(good ? 0 : 1);
}

/* What needs memory of the kernel, while there is none: it may fail, and it may kill the child. */
static void live_without(void)
{
    static char block[65536];
    int fd[2];
    fill();
    for (unsigned i = 0; i < 100 && pipe2(fd, O_NONBLOCK) == 0; i++) {
        while (write(fd[1], block, sizeof block) > 0)
            ;
    }
    for (unsigned i = 0; i < 100; i++) {
        pid_t pid = fork();
        if (pid == 0)
            execl("/files/exhaust", "exhaust", "nothing", NULL), _exit(0);
        if (pid < 0)
            break;
        waitpid(pid, NULL, 0);
        mkdir("/tmp/one more", 0755);
        rmdir("/tmp/one more");
        mmap(NULL, MEGABYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    }
    _exit(0);
}

static void fork_without_end(void)
{
    unsigned count = 0;
    setpgid(0, 0);
    for (;;) {
        pid_t pid = fork();
        if (pid == 0) {
            volatile char page[20000];
            memset((char *)page, 1, sizeof page);
            for (;;)
                pause();
        }
        if (pid < 0)
            break;
        count++;
    }
    signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM);
    while (wait(NULL) > 0)
        ;
    _exit(count > 10 ? 0 : 1);
}

static void make_files(void)
{
    char name[300];
    unsigned i = 0;
    mkdir("/tmp/many", 0755);
    for (;; i++) {
        snprintf(name, sizeof name, "/tmp/many/%0240u", i);
        int fd = open(name, O_WRONLY | O_CREAT, 0644);
        if (fd < 0 || write(fd, "x", 1) != 1)
            break;
        close(fd);
    }
    for (unsigned n = 0; n <= i; n++) {
        snprintf(name, sizeof name, "/tmp/many/%0240u", n);
        unlink(name);
    }
    _exit(rmdir("/tmp/many") ? 1 : 0);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*function)(void);
    } ways[] = {{"pages", touch_pages}, {"a file", fill_file}, {"processes", fork_without_end}, {"files", make_files},
        {"a full machine", live_without}, {"pages again", touch_pages}};
    (void)argv;
    if (argc > 1) /* what live_without starts */
        return 0;
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
        int status = -1;
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0)
            ways[i].function();
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
            return 1;
        printf("%s: status %#x\n", ways[i].name, status);
        /* What one that was killed has left. */
        unlink("/tmp/filled");
        if (kill(-pid, SIGKILL) == 0) {
            while (wait(NULL) > 0)
                ;
        }
        if (status != 0 && status != SIGKILL && status != SIGSEGV)
            return 1;
    }
    puts("alive");
    return 0;
}
