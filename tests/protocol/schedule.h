/* SPDX-License-Identifier: MIT */
/*
 * schedule: every order in which a few actors can take their steps, up to a number of preemptions. An actor is a
 * coroutine that runs the product's own code; it can be stopped where it says point(), and the search runs the scenario
 * again and again, from the start, with another decision each time (Musuvathi and Qadeer, "Iterative Context
 * Bounding").
 */
#ifndef TESTS_PROTOCOL_SCHEDULE_H
#define TESTS_PROTOCOL_SCHEDULE_H

#include <stdbool.h>

#define ACTORS_MAX 4

struct scenario {
    const char *name;
    int preemptions;
    void (*begin)(void);              /* before the actors */
    void (*actors[ACTORS_MAX])(void); /* as many as are not NULL */
    void (*end)(void);                /* after all of them */
};

/* Others may run here. */
void point(void);
/* Something that others may be waiting for was changed. */
void wrote(void);
/* A waiting loop's turn: goes on when somebody has written. If all do this, or have ended, it is a deadlock. */
void wait_for_change(void);
/* One of n: what the hardware decides. */
unsigned choose(unsigned n);
/* Begins with 0; in begin and end it is the one that was set by act_as. */
int actor(void);
void act_as(int actor);

/* Mutual exclusion between actors, by address. quietly: without a point, for what nobody waits for in it. */
void mutex_take(const void *mutex, bool quietly);
void mutex_give(const void *mutex, bool quietly);

/* The scenario has gone wrong: it ends, and the search with it. */
_Noreturn void violation(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The user's: called when another actor goes on. */
void actor_changes(int from, int to);

/* Searches all schedules. False after a violation, which was printed. */
bool search(const struct scenario *scenario, unsigned long *schedules);

#endif
