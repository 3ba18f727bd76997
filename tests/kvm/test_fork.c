/* SPDX-License-Identifier: MIT */
/* fork(): a virtual processor belongs to the process that made its VM. The child starts anew, the parent goes on. */
#include "sandbox.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define RW (PROT_READ | PROT_WRITE)

/* Assertions of CMocka do not work in a child: what fails there becomes its exit status, the line. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "child: line %d: %s (errno %s)\n", __LINE__, #condition, strerror(errno));                 \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

static void child_ends_well(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool stale(long result)
{
    return result == -1 && errno == ESTALE;
}

static void every_inherited_call_is_stale(int fd, struct polder_params *params)
{
    struct polder_op op = {.code = POLDER_OP_MUNMAP, .start = (void *)BOX_FREE, .length = PAGE};
    uint64_t word = 0;

    CHECK(stale((long)polder_mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, fd)));
    CHECK(stale(polder_munmap((void *)BOX_FREE, PAGE, fd)));
    CHECK(stale(polder_mprotect((void *)BOX_DATA, PAGE, PROT_READ, fd)));
    CHECK(stale(polder_apply(fd, &op, 1)));
    CHECK(stale(polder_copy(fd)));
    CHECK(stale(polder_run_sandbox(fd, params)));
    CHECK(stale(polder_proceed(fd, params)));
    CHECK(stale(polder_read(fd, &word, sizeof(word), BOX_DATA)));
    CHECK(stale(polder_write(fd, &word, sizeof(word), BOX_DATA)));
}

/* As box_open and a run, without CMocka. */
static void run_in_child(int data_fd)
{
    struct polder_params params;
    int fd = polder_open("/proc/mm");

    CHECK(fd >= 0);
    fill_space(fd, data_fd);
    polder_params_init(&params);
    for (uint64_t i = 0; i < 20; i++) {
        aim(&params, sn_store, BOX_STACK + 8 * i, i);
        CHECK(polder_run_sandbox(fd, &params) == 0);
        CHECK(params.reason == POLDER_SYSCALL);
        aim(&params, sn_load, BOX_STACK + 8 * i, 0);
        CHECK(polder_run_sandbox(fd, &params) == 0);
        CHECK(params.regs.rbx == i);
    }
    CHECK(polder_munmap((void *)BOX_STACK, PAGE, fd) == 0);
    aim(&params, sn_load, BOX_STACK, 0);
    CHECK(polder_run_sandbox(fd, &params) == 0);
    CHECK(params.reason == POLDER_PAGE_FAULT);
    polder_params_fini(&params);
    CHECK(close(fd) == 0);
}

static void a_child_starts_anew(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    box_map_anonymous(&box, BOX_FREE, PAGE, RW);
    box_store(&box, BOX_FREE, 1);
    for (int generation = 0; generation < 5; generation++) {
        pid_t child = fork();
        if (child == 0) {
            if (generation & 1)
                run_in_child(box.data_fd); /* before any inherited descriptor is looked at */
            every_inherited_call_is_stale(box.fd, &box.params);
            run_in_child(box.data_fd);
            every_inherited_call_is_stale(box.fd, &box.params);
            CHECK(close(box.fd) == 0);
            run_in_child(box.data_fd);
            pid_t grandchild = fork();
            if (grandchild == 0) {
                run_in_child(box.data_fd);
                _exit(0);
            }
            int status;
            CHECK(waitpid(grandchild, &status, 0) == grandchild && status == 0);
            run_in_child(box.data_fd);
            _exit(0);
        }
        /* The parent goes on meanwhile, and after. */
        box_store(&box, BOX_FREE, 100 + (uint64_t)generation);
        child_ends_well(child);
        assert_int_equal(box_load(&box, BOX_FREE), 100 + generation);
        struct box copy = box;
        copy.fd = polder_copy(box.fd);
        assert_true(copy.fd >= 0);
        close(copy.fd);
    }
    box_close(&box);
}

/* The child closes nothing of the parent's: the space lives as long as the parent's descriptor, whoever else goes. */
static void a_childs_exit_ends_nothing(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    box_map_anonymous(&box, BOX_FREE, PAGE, RW);
    box_store(&box, BOX_FREE, 5);
    pid_t child = fork();
    if (child == 0) {
        polder_params_fini(&box.params); /* the child's copy of it */
        _exit(0);
    }
    child_ends_well(child);
    int other = polder_open("/proc/mm");
    assert_true(other >= 0);
    close(other);
    assert_int_equal(box_load(&box, BOX_FREE), 5);
    /* The other way round: the parent closes, a child that was never told still has the number. */
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    child = fork();
    if (child == 0) {
        char byte;
        CHECK(read(pipes[0], &byte, 1) == 1);
        every_inherited_call_is_stale(box.fd, &box.params);
        _exit(0);
    }
    box_close(&box);
    assert_int_equal(write(pipes[1], "x", 1), 1);
    child_ends_well(child);
    close(pipes[0]);
    close(pipes[1]);
}

static void the_childs_own_memory(void **state)
{
    (void)state;
    struct box box;
    static volatile uint64_t word = 1;

    box_open(&box);
    int self = polder_open("/proc/self/mm");
    assert_true(self >= 0);
    pid_t child = fork();
    if (child == 0) {
        static uint64_t stack[512];
        struct polder_params params;
        CHECK(stale(polder_run_sandbox(self, &box.params)));
        int own = polder_open("/proc/self/mm");
        CHECK(own >= 0);
        word = 2;
        polder_params_init(&params);
        params.regs.rip = (uint64_t)sn_load;
        params.regs.rsp = (uint64_t)(stack + 512);
        params.regs.rdi = (uint64_t)&word;
        CHECK(polder_run_sandbox(own, &params) == 0);
        CHECK(params.reason == POLDER_SYSCALL);
        CHECK(params.regs.rbx == 2);
        _exit(0);
    }
    child_ends_well(child);
    assert_int_equal(word, 1);
    close(self);
    box_close(&box);
}

/* fork in one thread while others run and change spaces: the child can use the library at once. */
struct busy {
    pthread_t thread;
    struct box box;
    atomic_bool stop;
    unsigned long wrong;
};

static void *busy_main(void *arg)
{
    struct busy *b = arg;

    for (uint64_t i = 0; !atomic_load(&b->stop); i++) {
        aim(&b->box.params, sn_store, BOX_DATA, i);
        b->wrong += polder_run_sandbox(b->box.fd, &b->box.params) != 0 || b->box.params.reason != POLDER_SYSCALL;
        b->wrong += polder_mmap((void *)BOX_FREE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0,
                        b->box.fd) == MAP_FAILED;
        b->wrong += polder_munmap((void *)BOX_FREE, PAGE, b->box.fd) != 0;
    }
    return NULL;
}

static void fork_among_threads(void **state)
{
    (void)state;
    struct busy busy[2];

    for (int i = 0; i < 2; i++) {
        memset(&busy[i], 0, sizeof(busy[i]));
        box_open(&busy[i].box);
        assert_int_equal(pthread_create(&busy[i].thread, NULL, busy_main, &busy[i]), 0);
    }
    for (int i = 0; i < scaled(30); i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(TEST_SECONDS);
            every_inherited_call_is_stale(busy[0].box.fd, &busy[0].box.params);
            run_in_child(busy[1].box.data_fd);
            _exit(0);
        }
        child_ends_well(child);
    }
    for (int i = 0; i < 2; i++) {
        atomic_store(&busy[i].stop, true);
        assert_int_equal(pthread_join(busy[i].thread, NULL), 0);
        assert_int_equal(busy[i].wrong, 0);
        box_close(&busy[i].box);
    }
}

/* FD_CLOEXEC: a program that is executed does not inherit a space. */
static void exec_inherits_nothing(void **state)
{
    (void)state;
    struct box box;
    char path[64];

    box_open(&box);
    box_syscall(&box, sn_syscall, 0, 0);
    snprintf(path, sizeof(path), "ls -l /proc/self/fd | grep -c -E 'kvm|/fd/%d$'", box.fd);
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        close(null);
        execl("/bin/sh", "sh", "-c", path, (char *)NULL);
        _exit(99);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1); /* grep found none */
    box_close(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_starts_anew),
        cmocka_unit_test(a_childs_exit_ends_nothing),
        cmocka_unit_test(the_childs_own_memory),
        cmocka_unit_test(fork_among_threads),
        cmocka_unit_test(exec_inherits_nothing),
    };
    return RUN_GROUP("fork", tests);
}
