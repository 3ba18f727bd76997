/* SPDX-License-Identifier: MIT */
#include "schedule.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define STACK_SIZE (256u << 10)
#define DECISIONS_MAX 4096
#define POINTS_MAX 20000
#define MUTEXES_MAX 64

static struct {
    ucontext_t context;
    char *stack;
    bool done;
    const void *wants;  /* the mutex that it waits for */
    bool waits;         /* for a change */
    unsigned long seen; /* the count of changes when it began to wait */
    bool gave;          /* a lock, and nothing since */
} actors[ACTORS_MAX];

static struct {
    const struct scenario *scenario;
    ucontext_t outside;
    int count, current;
    bool running, failed;
    int preemptions;
    unsigned long changes, points;
    struct {
        unsigned options, taken;
    } decisions[DECISIONS_MAX];
    unsigned depth, length;
    struct {
        const void *mutex;
        bool held;
    } mutexes[MUTEXES_MAX];
} search_state;
#define S search_state

_Noreturn void violation(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("# %s: ", S.scenario ? S.scenario->name : "no scenario");
    vprintf(format, arguments);
    va_end(arguments);
    printf(" (actor %d; decisions", S.current);
    for (unsigned i = 0; i < S.depth && i < 300; i++)
        printf("%s%u", i ? "" : " ", S.decisions[i].taken);
    printf(")\n");
    fflush(stdout);
    if (!S.running)
        exit(1);
    S.failed = true;
    setcontext(&S.outside);
    abort();
}

unsigned choose(unsigned n)
{
    if (n <= 1)
        return 0;
    if (S.depth == S.length) {
        if (S.length == DECISIONS_MAX)
            violation("it goes on for ever: more than %d decisions", DECISIONS_MAX);
        S.decisions[S.length].options = n;
        S.decisions[S.length++].taken = 0;
    }
    if (S.decisions[S.depth].options != n)
        violation("the same decisions lead to another place: %u options, %u before", n, S.decisions[S.depth].options);
    return S.decisions[S.depth++].taken;
}

/* ---------------------------------------------------------------- who goes on */

static bool held(const void *mutex)
{
    for (int i = 0; i < MUTEXES_MAX && S.mutexes[i].mutex; i++) {
        if (S.mutexes[i].mutex == mutex)
            return S.mutexes[i].held;
    }
    return false;
}

static bool can_go_on(int i)
{
    return !actors[i].done && !(actors[i].wants && held(actors[i].wants)) &&
           !(actors[i].waits && actors[i].seen == S.changes);
}

static unsigned others(int *list)
{
    unsigned n = 0;
    for (int i = 0; i < S.count; i++) {
        if (i != S.current && can_go_on(i))
            list[n++] = i;
    }
    return n;
}

static void switch_to(int to)
{
    int from = S.current;
    actor_changes(from, to);
    S.current = to;
    swapcontext(&actors[from].context, &actors[to].context);
}

/* The current one cannot go on. */
static void somebody_else(void)
{
    int list[ACTORS_MAX];
    unsigned n = others(list);
    if (!n) {
        for (int i = 0; i < S.count; i++) {
            if (!actors[i].done)
                violation("nobody can go on, and actor %d waits for %s", i, actors[i].wants ? "a lock" : "a change");
        }
        setcontext(&S.outside);
    }
    switch_to(list[choose(n)]);
}

/* What was done under a lock is seen by others once it is given back. A waiting loop takes and gives one in each turn
 * and changes nothing, or two of them would wake each other for ever. */
static void note_given(void)
{
    S.changes += actors[S.current].gave;
    actors[S.current].gave = false;
}

void point(void)
{
    int list[ACTORS_MAX];
    if (!S.running)
        return;
    note_given();
    if (++S.points > POINTS_MAX)
        violation("it goes on for ever");
    if (S.preemptions == S.scenario->preemptions)
        return;
    unsigned n = others(list), chosen = choose(n + 1);
    if (chosen) {
        S.preemptions++;
        switch_to(list[chosen - 1]);
    }
}

void wrote(void)
{
    S.changes++;
}

void wait_for_change(void)
{
    if (!S.running)
        violation("waiting, and nobody else is there");
    if (++S.points > POINTS_MAX)
        violation("it goes on for ever");
    actors[S.current].gave = false;
    actors[S.current].waits = true;
    actors[S.current].seen = S.changes;
    somebody_else();
    actors[S.current].waits = false;
}

void mutex_take(const void *mutex, bool quietly)
{
    if (!quietly)
        point();
    while (held(mutex)) {
        if (!S.running)
            violation("a lock is held that nobody has");
        note_given();
        actors[S.current].wants = mutex;
        somebody_else();
        actors[S.current].wants = NULL;
    }
    int i = 0;
    while (i < MUTEXES_MAX && S.mutexes[i].mutex && S.mutexes[i].mutex != mutex)
        i++;
    if (i == MUTEXES_MAX)
        violation("too many locks");
    S.mutexes[i].mutex = mutex;
    S.mutexes[i].held = true;
}

void mutex_give(const void *mutex, bool quietly)
{
    for (int i = 0; i < MUTEXES_MAX && S.mutexes[i].mutex; i++) {
        if (S.mutexes[i].mutex == mutex)
            S.mutexes[i].held = false;
    }
    if (!quietly)
        actors[S.current].gave = true;
}

int actor(void)
{
    return S.current;
}

void act_as(int actor)
{
    if (actor != S.current)
        actor_changes(S.current, actor);
    S.current = actor;
}

/* ---------------------------------------------------------------- one schedule after the other */

static void actor_main(void)
{
    S.scenario->actors[S.current]();
    note_given();
    actors[S.current].done = true;
    wrote();
    somebody_else();
}

static void run_actors(void)
{
    S.count = 0;
    while (S.count < ACTORS_MAX && S.scenario->actors[S.count])
        S.count++;
    for (int i = 0; i < S.count; i++) {
        if (!actors[i].stack)
            actors[i].stack = malloc(STACK_SIZE);
        getcontext(&actors[i].context);
        actors[i].context.uc_stack = (stack_t){.ss_sp = actors[i].stack, .ss_size = STACK_SIZE};
        actors[i].context.uc_link = NULL;
        makecontext(&actors[i].context, actor_main, 0);
        actors[i].done = actors[i].waits = actors[i].gave = false;
        actors[i].wants = NULL;
    }
    S.preemptions = 0;
    S.points = 0;
    act_as((int)choose((unsigned)S.count));
    volatile bool started = false;
    getcontext(&S.outside);
    if (!started) {
        started = S.running = true;
        setcontext(&actors[S.current].context);
    }
    S.running = false;
}

bool search(const struct scenario *scenario, unsigned long *schedules)
{
    S.scenario = scenario;
    S.length = 0;
    *schedules = 0;
    do {
        S.depth = 0;
        memset(S.mutexes, 0, sizeof(S.mutexes));
        act_as(0);
        scenario->begin();
        run_actors();
        if (S.failed)
            return false;
        act_as(0);
        scenario->end();
        ++*schedules;
        while (S.length && S.decisions[S.length - 1].taken + 1 == S.decisions[S.length - 1].options)
            S.length--;
        if (S.length)
            S.decisions[S.length - 1].taken++;
    } while (S.length);
    return true;
}
