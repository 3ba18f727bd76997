/* SPDX-License-Identifier: MIT */
/*
 * Whatever holds a sandbox together holds descriptors, and the program in it must not find or hit them: every case here
 * gives what it gives natively, and the program can still work afterwards.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void list(const char *directory)
{
    DIR *dir = opendir(directory);
    if (!dir) {
        printf("opendir %s: %s\n", directory, strerror(errno));
        return;
    }
    int numbers[4096], count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) && count < 4096;)
        if (entry->d_name[0] != '.')
            numbers[count++] = atoi(entry->d_name);
    closedir(dir);
    qsort(numbers, count, sizeof(int), by_number);
    printf("%s:", directory);
    for (int i = 0; i < count; i++)
        printf(" %d", numbers[i]);
    printf("\n");
}

/* Opening, mapping what has not been touched, allocating and reading still work. */
static void work_on(void)
{
    int fd = open("/proc/self/status", O_RDONLY);
    char name[64] = "";
    ssize_t got = pread(fd, name, 5, 0);
    printf("open gave %d, read %zd: %.5s\n", fd, got, name);
    close(fd);
    size_t size = 8 << 20;
    char *block = malloc(size);
    for (size_t i = 0; i < size; i += 4096)
        block[i] = (char)i;
    printf("touched %zu\n", size);
    free(block);
    fflush(stdout);
}

static void probe(int most)
{
    printf("open:");
    for (int fd = 0; fd < most; fd++)
        if (fcntl(fd, F_GETFD) != -1)
            printf(" %d", fd);
    printf("\nstat:");
    struct stat st;
    for (int fd = 0; fd < most; fd++)
        if (fstat(fd, &st) == 0)
            printf(" %d", fd);
    printf("\ndup:");
    for (int fd = 3; fd < 2048; fd++)
        if (dup(fd) != -1)
            printf(" %d", fd);
    printf("\n");
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    const int most = argc > 2 ? atoi(argv[2]) : 70000; /* descriptors to be tried */
    if (!strcmp(mode, "first")) {
        int fd = open("/dev/null", O_RDONLY), next = dup(fd), pair[2] = {-1, -1};
        if (pipe(pair))
            return 1;
        printf("%d %d %d %d\n", fd, next, pair[0], pair[1]);
    } else if (!strcmp(mode, "list")) {
        list("/proc/self/fd");
        list("/proc/self/fdinfo");
        list("/dev/fd");
        char own[64];
        snprintf(own, sizeof(own), "/proc/%d/fd", getpid());
        DIR *dir = opendir(own);
        int count = 0;
        while (dir && readdir(dir))
            count++;
        printf("by pid: %d\n", count);
        snprintf(own, sizeof(own), "/proc/%d/task/%d/fd", getpid(), getpid());
        dir = opendir(own);
        count = 0;
        while (dir && readdir(dir))
            count++;
        printf("by task: %d\n", count);
    } else if (!strcmp(mode, "probe")) {
        probe(most);
    } else if (!strcmp(mode, "close-range")) {
        printf("%ld\n", syscall(SYS_close_range, 3, ~0u, 0));
    } else if (!strcmp(mode, "close-range-cloexec")) {
        int fd = open("/dev/null", O_RDONLY);
        printf("%ld %d\n", syscall(SYS_close_range, 3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */), fcntl(fd, F_GETFD));
    } else if (!strcmp(mode, "close-each")) {
        int closed = 0;
        for (int fd = 3; fd < most; fd++)
            closed += close(fd) == 0;
        printf("closed %d\n", closed);
    } else if (!strcmp(mode, "dup-over")) {
        struct rlimit limit;
        getrlimit(RLIMIT_NOFILE, &limit);
        int top = limit.rlim_cur > 4096 ? 4096 : (int)limit.rlim_cur, done = 0;
        for (int fd = 3; fd < top; fd++)
            done += dup2(1, fd) == fd;
        printf("%d of %d\n", done, top - 3);
        fflush(stdout);
        for (int fd = 3; fd < top; fd++)
            close(fd);
    } else if (!strcmp(mode, "limit")) {
        struct rlimit limit;
        getrlimit(RLIMIT_NOFILE, &limit);
        printf("limit %lu %lu, OPEN_MAX %ld, table %d\n", limit.rlim_cur, limit.rlim_max, sysconf(_SC_OPEN_MAX),
            getdtablesize());
        printf("the last: %d", dup2(1, (int)limit.rlim_cur - 1) == (int)limit.rlim_cur - 1);
        close((int)limit.rlim_cur - 1);
        printf(", one more: %d", dup2(1, (int)limit.rlim_cur));
        printf(" %d\n", errno);
        printf("fcntl: %d\n", fcntl(1, F_DUPFD, 700));
        close(700);
    } else if (!strcmp(mode, "exhaust")) {
        struct rlimit limit = {64, 64};
        setrlimit(RLIMIT_NOFILE, &limit);
        int fd, last = -1;
        while ((fd = open("/dev/null", O_RDONLY)) >= 0)
            last = fd;
        printf("last %d, then %s\n", last, strerror(errno));
        for (fd = 3; fd <= last; fd++)
            close(fd);
    } else if (!strcmp(mode, "close-standard")) {
        close(0);
        printf("lowest is %d\n", open("/dev/null", O_RDONLY));
    } else {
        return 2;
    }
    fflush(stdout);
    work_on();
    return 0;
}
