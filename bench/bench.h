/* SPDX-License-Identifier: MIT */
/*
 * How the measurements are made. Each case lives in a process of its own, so that none inherits another's VM, memory or
 * processor state. The cases of a group are run in turns, one round each, so that whatever else the machine does hits
 * all of them, and a ratio is the median of the ratios of single rounds.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MOST_ROUNDS = 101, MOST_CASES = 24 };

struct bench_case {
    const char *name;
    void *(*setup)(void);                 /* ends the process with bench_give_up if it cannot be done here */
    double (*round)(void *state, long n); /* ns that n operations took */
    long most;                            /* operations in one round, 0 for any number */
};

struct figure {
    double rounds[MOST_ROUNDS]; /* ns for one operation */
    int count;
    double median, low, high;
    char fault[96]; /* why there is none */
};

extern int bench_rounds;        /* how often each case is run */
extern double bench_round_ns;   /* how long a round should take */
extern double bench_program_ns; /* how long a compute loop should take */
extern const char *bench_unit;  /* what the clock counts: "ns", or "instructions" where one of them is a ns of it */

double now_ns(void);
void bench_give_up(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void bench_group(const struct bench_case *cases, size_t count, struct figure *figures);
void figure_finish(struct figure *figure);
double figure_ratio(const struct figure *figure, const struct figure *base);

/* One line of the table; goal 0 if there is none. */
void table_title(const char *title);
void table_figure(const char *name, const struct figure *figure);
void table_ratio(const char *name, const struct figure *figure, const struct figure *base, double most);
void table_at_least(const char *name, double value, double least, const char *unit);
void table_at_most(const char *name, double value, double most, const char *unit);
void table_fault(const char *name, const char *fault);

/* A value that a process of its own finds out; NAN with a reason. */
double in_a_process(double (*find)(void), char *fault, size_t size);

/* The cases. */
extern const struct bench_case bare_out, bare_out_registers, bare_trap, bare_trap_registers;
extern const struct bench_case native_call, ptrace_sysemu, ptrace_sysemu_xstate, seccomp_notification, fork_exit;
extern const struct bench_case hosted_call, hosted_call_xstate, hosted_exception, hosted_fault, hosted_two_contexts,
    hosted_two_spaces;
extern const struct bench_case map_one_by_one, map_batch, replace_one_by_one, replace_batch, unmap_one_by_one,
    mmap_native;
extern const struct bench_case space_made, space_used, space_copied;

extern const struct bench_case resident_null, resident_two_contexts, resident_fault_map, resident_fault_demand,
    resident_space, resident_copy;

/* By KVM's own count, each. */
double exits_of_resident_null(void);
double exits_of_resident_two_contexts(void);
double exits_of_resident_fault_map(void);
double exits_of_resident_fault_demand(void);
double exits_of_resident_space(void);
double exits_of_resident_copy(void);

/* What hosted.c finds out beside times. */
double memory_of_a_space(void);
double memory_of_a_used_space(void);
double exits_of_a_trap(void);
void traps_to_be_counted(long n, void (*mark)(void));

/* Counting another process's calls of KVM_RUN: counted.c. Both give false with errno or a reason. */
struct counts {
    long runs, other_calls;
};
bool count_between_marks(void (*body)(long n, void (*mark)(void)), long n, struct counts *counts);
bool count_program(char *const argv[], struct counts *counts);

/* Programs under `polder run` against the same natively: programs.c. */
void bench_umlike(void); /* umlike.c */
void bench_uml(void);    /* uml.c */
void bench_compute(void);
void bench_start(void);
void bench_touch(void);

#endif
