/* SPDX-License-Identifier: MIT */
/* Threads and further processes are refused in a way that a program can handle; it goes on alone. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void *idle(void *argument)
{
    return argument;
}

int main(void)
{
    pid_t child = fork();
    if (!child)
        _exit(0);
    printf("fork: %s\n", child < 0 ? strerror(errno) : "worked");
    child = vfork();
    if (!child)
        _exit(0);
    printf("vfork: %s\n", child < 0 ? strerror(errno) : "worked");
    pthread_t thread;
    int error = pthread_create(&thread, NULL, idle, NULL);
    printf("pthread_create: %s\n", error ? strerror(error) : "worked");
    return 0;
}
