/* SPDX-License-Identifier: MIT */
/*
 * shim - as much of a C library, of POSIX and of CMocka as the tests need, for kernels that have none: over resident.h,
 * so that the tests of the hosted library run inside the guest from the same source. The headers beside this one have
 * the names that hosted programs include.
 *
 * memfd_create is polder_memory_create, mmap of such memory without an address is a privileged mapping of the kernel's
 * (the host's view of a page that a sandbox has), any other mmap is one in the kernel's own space. A thread is a vCPU:
 * pthread_create hands its function to one that is free, or to the first that becomes free.
 */
#ifndef SHIM_H
#define SHIM_H

#include <polder/freestanding.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- setjmp.h */

typedef uint64_t jmp_buf[8];
int setjmp(jmp_buf env) __attribute__((returns_twice));
void longjmp(jmp_buf env, int value) __attribute__((noreturn));

/* ---- string.h */

int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strstr(const char *s, const char *part);
const char *strerror(int error);
const char *strerrorname_np(int error);

/* ---- stdio.h: lines go to the console whole; both streams are the console. */

typedef struct shim_file FILE;
#define stdout ((FILE *)0)
#define stderr ((FILE *)0)
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
int fprintf(FILE *file, const char *format, ...) __attribute__((format(printf, 2, 3)));
int vprintf(const char *format, va_list args);
int snprintf(char *to, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
int vsnprintf(char *to, size_t size, const char *format, va_list args);

/* ---- stdlib.h */

void *malloc(size_t size); /* whole pages */
void *calloc(size_t count, size_t size);
void *aligned_alloc(size_t alignment, size_t size);
void free(void *at);
/* An argument of `polder boot --append`: NAME=value, or NULL. */
char *getenv(const char *name);
int atoi(const char *digits);
unsigned long long strtoull(const char *digits, char **end, int base);

/* ---- sys/types.h, fcntl.h, unistd.h */

typedef int pid_t;
#define O_RDONLY 0
#define O_RDWR 2
#define O_CLOEXEC 02000000
#define F_DUPFD_CLOEXEC 1030
#define F_GETFD 1
#define FD_CLOEXEC 1
#define MFD_CLOEXEC 1u
int memfd_create(const char *name, unsigned flags);
int ftruncate(int fd, off_t size);
ssize_t pread(int fd, void *buf, size_t count, off_t offset);
ssize_t pwrite(int fd, const void *buf, size_t count, off_t offset);
ssize_t write(int fd, const void *buf, size_t count); /* at the start: for files that are written once */
int fcntl(int fd, int command, ...);
pid_t getpid(void);
unsigned alarm(unsigned seconds); /* `polder boot --timeout` sees to that */

/* ---- sys/mman.h */

void *mmap(void *start, size_t length, int prot, int flags, int fd, off_t offset);
int munmap(void *start, size_t length);
int mprotect(void *start, size_t length, int prot);

/* ---- pthread.h, sched.h */

typedef struct shim_thread *pthread_t;
typedef struct {
    uint32_t wanted, arrived, round;
} pthread_barrier_t;
int pthread_create(pthread_t *thread, const void *attributes, void *(*function)(void *), void *argument);
int pthread_join(pthread_t thread, void **result);
int pthread_barrier_init(pthread_barrier_t *barrier, const void *attributes, unsigned count);
int pthread_barrier_wait(pthread_barrier_t *barrier);
int pthread_barrier_destroy(pthread_barrier_t *barrier);
int sched_yield(void);

/* ---- cmocka.h. What fails ends the test; only vCPU 0 may fail. */

struct CMUnitTest {
    const char *name;
    void (*test_func)(void **state);
    int (*setup_func)(void **state);
};
#define cmocka_unit_test(function)                                                                                     \
    {                                                                                                                  \
        .name = #function, .test_func = (function)                                                                     \
    }
int _cmocka_run_group_tests(
    const char *name, const struct CMUnitTest *tests, size_t count, void *setup, void *teardown);

void shim_fail(const char *file, int line, const char *format, ...) __attribute__((noreturn, format(printf, 3, 4)));
void shim_skip(void) __attribute__((noreturn));
void shim_compare(uint64_t a, uint64_t b, bool equal, const char *what, const char *file, int line);
void shim_compare_memory(const void *a, const void *b, size_t size, const char *file, int line);
void shim_compare_strings(const char *a, const char *b, const char *file, int line);

#define fail_msg(...) shim_fail(__FILE__, __LINE__, __VA_ARGS__)
#define print_message(...) printf("# " __VA_ARGS__)
#define skip() shim_skip()
#define assert_true(c) ((c) ? (void)0 : shim_fail(__FILE__, __LINE__, "%s", #c))
#define assert_false(c) assert_true(!(c))
#define assert_null(p) assert_true((p) == NULL)
#define assert_non_null(p) assert_true((p) != NULL)
#define assert_int_equal(a, b) shim_compare((uint64_t)(a), (uint64_t)(b), true, #a " == " #b, __FILE__, __LINE__)
#define assert_ptr_equal(a, b) shim_compare((uint64_t)(a), (uint64_t)(b), true, #a " == " #b, __FILE__, __LINE__)
#define assert_ptr_not_equal(a, b) shim_compare((uint64_t)(a), (uint64_t)(b), false, #a " != " #b, __FILE__, __LINE__)
#define assert_memory_equal(a, b, size) shim_compare_memory((a), (b), (size), __FILE__, __LINE__)
#define assert_string_equal(a, b) shim_compare_strings((a), (b), __FILE__, __LINE__)

/* ---- What the tests here want to know of the machine. */

bool shim_ring0_is_emulated(void); /* PVM */
bool shim_processor_is_tcg(void);  /* QEMU's emulation */

#endif
