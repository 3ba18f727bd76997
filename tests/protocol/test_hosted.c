/* SPDX-License-Identifier: MIT */
/*
 * The library's own code in every order of its steps, on a machine that keeps every translation that it may keep: when
 * a call has returned, no vCPU uses what it took away, and nothing is given out that one can still reach. See
 * schedule.h, machine.h and points.h for how. Each scenario is a process of its own, with and without PCID.
 */
#include "machine.h"
#include "schedule.h"

#include "kvm.h"
#include "state.h"

#include <polder/polder.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define BLOCK (512 * PAGE)
#define AT (16 * BLOCK)
#define RW (PROT_READ | PROT_WRITE)

static int file, space, other; /* descriptors */
static struct polder_params params[ACTORS_MAX];

/* ---------------------------------------------------------------- the library between actors */

/* Nobody waits for anything while he holds one of these, so that it does not matter who takes it first. */
static bool is_quiet(const pthread_mutex_t *mutex)
{
    return mutex >= (pthread_mutex_t *)&locks && mutex < (pthread_mutex_t *)(&locks + 1) && mutex != &locks.tables;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    mutex_take(mutex, is_quiet(mutex));
    return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    mutex_give(mutex, is_quiet(mutex));
    return 0;
}

int __wrap_sched_yield(void);
int __wrap_sched_yield(void)
{
    wait_for_change();
    return 0;
}

/* vcpu.c's thread-local hint, of which there is one copy for all actors: see hint.h. */
void vcpu_swap_hint(int from, int to);

void actor_changes(int from, int to)
{
    vcpu_swap_hint(from, to);
}

/* ---------------------------------------------------------------- what actors do */

static void map(int fd, uint64_t at, size_t length, int prot, int flags, int source, size_t offset)
{
    void *got = polder_mmap((void *)at, length, prot, flags | MAP_FIXED, source, (off_t)offset, fd);
    if (got != (void *)at)
        violation("polder_mmap fails");
}

static void map_anonymous(int fd, uint64_t at, size_t length)
{
    map(fd, at, length, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void unmap(int fd, uint64_t at, size_t length)
{
    if (polder_munmap((void *)at, length, fd))
        violation("polder_munmap fails");
}

static uint32_t run(int fd, enum program program, uint64_t at, uint64_t value, unsigned count)
{
    struct polder_params *p = &params[actor()];
    p->regs.rip = program;
    p->regs.rdi = at;
    p->regs.rsi = value;
    p->regs.rdx = count;
    if (polder_run_sandbox(fd, p))
        violation("polder_run_sandbox fails");
    return p->reason;
}

static uint64_t load(int fd, uint64_t at)
{
    while (run(fd, PROGRAM_LOAD, at, 0, 1) == POLDER_KICK)
        ;
    if (params[actor()].reason != POLDER_SYSCALL)
        violation("%#lx cannot be read", at);
    return params[actor()].regs.rbx;
}

static uint64_t file_word(size_t offset)
{
    uint64_t word;
    if (pread(file, &word, sizeof(word), (off_t)offset) != sizeof(word))
        violation("pread fails");
    return word;
}

/* A space, and a vCPU for each actor that has been in it. The file's page i begins with 1000 + i and 2000 + i. */
static void begin(void)
{
    for (uint64_t i = 0; i < 8; i++) {
        uint64_t words[2] = {1000 + i, 2000 + i};
        if (pwrite(file, words, sizeof(words), (off_t)(i * PAGE)) != sizeof(words))
            violation("pwrite fails");
    }
    space = polder_open("/proc/mm");
    other = polder_open("/proc/mm");
    if (space < 0 || other < 0)
        violation("polder_open fails");
    map(space, AT + 64 * BLOCK, PAGE, RW, MAP_SHARED, file, 7 * PAGE);
    for (int i = 0; i < ACTORS_MAX; i++) {
        act_as(i);
        polder_params_init(&params[i]);
        load(space, AT + 64 * BLOCK);
    }
    act_as(0);
}

static void end(void)
{
    for (int i = 0; i < ACTORS_MAX; i++) {
        act_as(i);
        load(space, AT + 64 * BLOCK); /* carries out what is left to do */
        polder_params_fini(&params[i]);
    }
    machine_check_shadows();
    close(space);
    close(other);
    /* As in a fork()ed child: the library begins anew at its next use. */
    __atomic_store_n(&state_wiped.epoch, 0, __ATOMIC_RELEASE);
    machine_reset();
}

/* ---------------------------------------------------------------- what is taken away from a running sandbox */

static void begin_shared(void)
{
    begin();
    map(space, AT, PAGE, RW, MAP_SHARED, file, 0);
}

static void stores(void)
{
    run(space, PROGRAM_STORE, AT, 5, 3);
}

static void takes_page(void)
{
    unmap(space, AT, PAGE);
    machine_forbid(AT, true);
}

static void protects_page(void)
{
    if (polder_mprotect((void *)AT, PAGE, PROT_READ, space))
        violation("polder_mprotect fails");
    machine_forbid(AT, false);
}

static void hides_page(void)
{
    if (polder_mprotect((void *)AT, PAGE, RW | POLDER_PRIVILEGED, space))
        violation("polder_mprotect fails");
    machine_forbid(AT, true);
}

static uint64_t left_behind;

static void replaces_page(void)
{
    map(space, AT, PAGE, RW, MAP_SHARED, file, PAGE);
    left_behind = file_word(0);
    point();
    if (load(space, AT + 8) != 2001)
        violation("the page that was replaced is still there");
}

static void end_replaced(void)
{
    if (file_word(0) != left_behind)
        violation("the page that was replaced was written to");
    end();
}

/* ---------------------------------------------------------------- each its own page */

static void replaces_own(void)
{
    uint64_t i = 1 + (uint64_t)actor();
    map(space, AT + i * PAGE, PAGE, RW, MAP_SHARED, file, (6 - i) * PAGE);
    if (load(space, AT + i * PAGE) != 1006 - i)
        violation("actor %d does not see what it has mapped", actor());
}

static void begin_own(void)
{
    begin();
    for (uint64_t i = 1; i <= 3; i++) {
        map(space, AT + i * PAGE, PAGE, RW, MAP_SHARED, file, i * PAGE);
        if (load(space, AT + i * PAGE) != 1000 + i)
            violation("page %lu is wrong", i);
    }
}

/* Two that replace the same page, once one of them has carried out what was left to do. */
static void begin_same(void)
{
    begin_own();
    map(space, AT + 3 * PAGE, PAGE, RW, MAP_SHARED, file, 7 * PAGE);
}

static void replaces_same(void)
{
    map(space, AT + PAGE, PAGE, RW, MAP_SHARED, file, (4 + (size_t)actor()) * PAGE);
    load(space, AT + PAGE);
}

static void looks_and_replaces_same(void)
{
    load(space, AT + 3 * PAGE);
    replaces_same();
}

static void end_same(void)
{
    uint64_t word;
    if (polder_read(space, &word, sizeof(word), AT + PAGE) != sizeof(word) || word != load(space, AT + PAGE))
        violation("what is mapped last is not there");
    end();
}

static void kicks_first(void)
{
    polder_kick(&params[0]);
    replaces_own();
}

/* ---------------------------------------------------------------- what is used again */

static void begin_private(void)
{
    begin();
    map_anonymous(space, AT, PAGE);
    run(space, PROGRAM_STORE, AT, 1, 1);
}

static void uses_other(void)
{
    for (uint64_t i = 1; i <= 3; i++) {
        map(other, AT + i * (BLOCK + PAGE), PAGE, RW, MAP_SHARED, file, i * PAGE);
        if (load(other, AT + i * (BLOCK + PAGE)) != 1000 + i)
            violation("the other space's page %lu is wrong", i);
    }
}

static void takes_memory(void)
{
    map_anonymous(other, AT + PAGE, PAGE);
    if (run(other, PROGRAM_KEEP, AT + PAGE, 77, 2) != POLDER_SYSCALL)
        violation("the other space cannot use its page");
}

static void unmaps(void)
{
    unmap(space, AT, PAGE);
}

static void gives_page_to_other(void)
{
    unmaps();
    takes_memory();
}

static void begin_block(void)
{
    begin();
    map_anonymous(space, AT, BLOCK);
    map(space, AT, PAGE, RW, MAP_SHARED, file, 0); /* so that it is a table and not one entry */
    run(space, PROGRAM_STORE, AT, 1, 1);
}

static void looks_at_other(void)
{
    load(space, AT + 64 * BLOCK);
    for (uint64_t i = 1; i <= 3; i++) {
        if (run(other, PROGRAM_LOAD, AT + i * BLOCK, 0, 1) != POLDER_PAGE_FAULT)
            violation("there is something in the other space that nobody has put there");
    }
}

/* The block's table is retired, cleared at one entry, and has become another table at the next. What was still to be
 * done to it is not done any more. */
static void gives_table_to_other(void)
{
    map(space, AT, PAGE, RW, MAP_SHARED, file, 4 * PAGE);
    unmap(space, AT, BLOCK);
    uses_other();
    looks_at_other();
}

/* Gone and back before anybody goes into the space. */
static void puts_table_back(void)
{
    unmap(space, AT, BLOCK);
    uses_other();
    map(space, AT, PAGE, RW, MAP_SHARED, file, 4 * PAGE);
    if (load(space, AT + 8) != 2004)
        violation("what is mapped is not there");
    looks_at_other();
}

/* A table in which nothing is left, where one entry of 2 MiB can stand. */
static void begin_empty_table(void)
{
    begin();
    map_anonymous(space, AT, 2 * PAGE);
    run(space, PROGRAM_STORE, AT, 1, 1);
    unmap(space, AT, 2 * PAGE);
    for (int i = 0; i < ACTORS_MAX; i++) {
        act_as(i);
        run(space, PROGRAM_STORE, AT, 1, 1); /* a fault, and no more */
    }
    act_as(0);
    map_anonymous(space, AT, BLOCK);
}

static void keeps(void)
{
    if (run(space, PROGRAM_KEEP, AT + (uint64_t)actor() * PAGE, 5, 2) != POLDER_SYSCALL)
        violation("no memory");
}

/* A root that is another space's while a vCPU that rests may have it loaded. */
static void closes_and_opens(void)
{
    close(space);
    space = polder_open("/proc/mm");
    map(space, AT + 64 * BLOCK, PAGE, RW, MAP_SHARED, file, 7 * PAGE);
    map(space, AT, PAGE, RW, MAP_SHARED, file, PAGE);
    if (load(space, AT) != 1001)
        violation("the new space's page is wrong");
}

static void rests_in_other(void)
{
    map(other, AT, PAGE, RW, MAP_SHARED, file, 2 * PAGE);
    if (load(other, AT) != 1002)
        violation("the other space's page is wrong");
}

/* ---------------------------------------------------------------- copies */

static void copies(void)
{
    uint64_t first, again;
    int copy = polder_copy(space);
    if (copy < 0 || polder_read(copy, &first, 8, AT) != 8)
        violation("polder_copy fails");
    point();
    point();
    if (polder_read(copy, &again, 8, AT) != 8 || first != again)
        violation("what is in the copy changes");
    if (run(copy, PROGRAM_KEEP, AT, 99, 1) != POLDER_SYSCALL)
        violation("the copy cannot be written to");
    close(copy);
}

static void keeps_counting(void)
{
    for (uint64_t i = 10; i < 12; i++) {
        if (run(space, PROGRAM_KEEP, AT, i, 1) != POLDER_SYSCALL)
            violation("the original cannot be written to");
    }
}

/* ---------------------------------------------------------------- kicks */

static void spins(void)
{
    if (run(space, PROGRAM_SPIN, 0, 0, 0) != POLDER_KICK)
        violation("it ends without having been kicked");
}

static void kicks(void)
{
    polder_kick(&params[0]);
}

static const struct scenario scenarios[] = {
    {"munmap under a writer", 2, begin_shared, {takes_page, stores}, end},
    {"munmap under two writers", 1, begin_shared, {takes_page, stores, stores}, end},
    {"mprotect under a writer", 2, begin_shared, {protects_page, stores}, end},
    {"a page is hidden under a writer", 2, begin_shared, {hides_page, stores}, end},
    {"a page is replaced under a writer", 2, begin_shared, {replaces_page, stores}, end_replaced},
    {"two unmap the same page under a writer", 1, begin_shared, {takes_page, takes_page, stores}, end},
    {"three that replace their own pages", 1, begin_own, {replaces_own, replaces_own, replaces_own}, end},
    {"two that replace the same page", 2, begin_same, {looks_and_replaces_same, replaces_same}, end_same},
    {"edits that a kick interrupts", 1, begin_own, {replaces_own, kicks_first, replaces_own}, end},
    {"private memory is given to another space", 2, begin_private, {gives_page_to_other, stores}, end},
    {"private memory is taken by another space", 1, begin_private, {unmaps, takes_memory, stores}, end},
    {"a table comes back", 1, begin_block, {puts_table_back, stores}, end},
    {"a table is given to another space", 1, begin_block, {gives_table_to_other, stores}, end},
    {"an empty table becomes an entry of 2 MiB", 1, begin_empty_table, {keeps, keeps, uses_other}, end},
    {"a root becomes another space's", 1, begin_shared, {closes_and_opens, rests_in_other}, end},
    {"a copy under a writer", 1, begin_private, {copies, keeps_counting}, end},
    {"a kick ends a run", 4, begin, {spins, kicks}, end},
};

static bool run_scenario(const struct scenario *scenario, bool pcid)
{
    unsigned long schedules;
    kvm.cr4 = pcid ? KVM_CR4_PCIDE : 0;
    file = memfd_create("polder-test", 0);
    if (file < 0 || ftruncate(file, 8 * PAGE))
        return false;
    /* POLDER_PREEMPTIONS: so many more than is quick. */
    struct scenario deeper = *scenario;
    const char *more = getenv("POLDER_PREEMPTIONS");
    deeper.preemptions += more ? atoi(more) : 0;
    if (!search(&deeper, &schedules))
        return false;
    printf("# %s%s: %lu schedules\n", scenario->name, pcid ? ", with PCID" : "", schedules);
    return true;
}

/* An argument: only scenarios that have it in their names. */
int main(int argc, char **argv)
{
    int number = 0, failed = 0;
    for (size_t i = 0; i < 2 * sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        const struct scenario *s = &scenarios[i / 2];
        int status;
        if (argc > 1 && !strstr(s->name, argv[1]))
            continue;
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0)
            exit(!run_scenario(s, i % 2));
        bool ok = pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
        failed += !ok;
        printf("%s %d - %s%s\n", ok ? "ok" : "not ok", ++number, s->name, i % 2 ? ", with PCID" : "");
    }
    printf("1..%d\n", number);
    return failed != 0;
}
