/* SPDX-License-Identifier: MIT */
/* touch N: writes to every page of N MiB of fresh memory, and says how many ns that took. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

int main(int argc, char **argv)
{
    const size_t size = (size_t)(argc > 1 ? atol(argv[1]) : 0) << 20;
    struct timespec start, end;

    if (size == 0) {
        printf("0\n");
        return 0;
    }
    volatile char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return 1;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (size_t i = 0; i < size; i += 4096)
        memory[i] = 1;
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%ld\n", (end.tv_sec - start.tv_sec) * 1000000000l + (end.tv_nsec - start.tv_nsec));
    return 0;
}
