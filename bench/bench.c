/* SPDX-License-Identifier: MIT */
/* bench: one run, one table. */
#include "bench.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int bench_rounds = 15;
double bench_round_ns = 20e6;
double bench_program_ns = 3e9;
const char *bench_unit = "ns";

static unsigned goals, missed;

double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ---- Processes. What a child says to its parent. */
struct answer {
    double ns;
    char fault[96];
};

static int answer_fd = -1;

static void give_answer(double ns, const char *fault)
{
    struct answer answer = {.ns = ns};

    if (fault)
        snprintf(answer.fault, sizeof(answer.fault), "%s", fault);
    if (write(answer_fd, &answer, sizeof(answer)) != sizeof(answer))
        _exit(1);
}

void bench_give_up(const char *format, ...)
{
    char fault[96];
    va_list args;

    va_start(args, format);
    vsnprintf(fault, sizeof(fault), format, args);
    va_end(args);
    if (answer_fd < 0) {
        fprintf(stderr, "bench: %s\n", fault);
        exit(1);
    }
    give_answer(NAN, fault);
    _exit(1);
}

static void on_one_cpu(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(0, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

/* The child of a case: each byte that it reads is a round. */
static void serve_case(const struct bench_case *c, int commands, int answers)
{
    char byte;

    answer_fd = answers;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    on_one_cpu();
    void *state = c->setup ? c->setup() : NULL;

    long n = c->most > 0 && c->most < 16 ? c->most : 16;
    for (;;) {
        double took = c->round(state, n);
        if (took > bench_round_ns / 4 || n == c->most) {
            double better = (double)n * bench_round_ns / (took > 1 ? took : 1);
            n = c->most > 0 && better > (double)c->most ? c->most : (long)better;
            n = n > 0 ? n : 1;
            break;
        }
        n = c->most > 0 && 4 * n > c->most ? c->most : 4 * n;
    }
    give_answer(0, NULL); /* ready */
    while (read(commands, &byte, 1) == 1)
        give_answer(c->round(state, n) / (double)n, NULL);
    /* Everything that this process has started dies with it. */
    _exit(0);
}

static bool hear(int fd, struct answer *answer)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    memset(answer, 0, sizeof(*answer));
    if (poll(&poll_fd, 1, 300000) != 1) {
        snprintf(answer->fault, sizeof(answer->fault), "took longer than five minutes");
        return false;
    }
    if (read(fd, answer, sizeof(*answer)) != sizeof(*answer)) {
        snprintf(answer->fault, sizeof(answer->fault), "the process died");
        return false;
    }
    return answer->fault[0] == 0;
}

void bench_group(const struct bench_case *cases, size_t count, struct figure *figures)
{
    struct {
        pid_t pid;
        int commands, answers;
    } children[MOST_CASES];

    fflush(stdout);
    for (size_t i = 0; i < count; i++) {
        int commands[2], answers[2];
        struct answer answer;
        memset(&figures[i], 0, sizeof(figures[i]));
        if (pipe(commands) != 0 || pipe(answers) != 0)
            bench_give_up("pipe: %s", strerror(errno));
        children[i].pid = fork();
        if (children[i].pid == 0) {
            for (size_t j = 0; j < i; j++) {
                close(children[j].commands);
                close(children[j].answers);
            }
            close(commands[1]);
            close(answers[0]);
            serve_case(&cases[i], commands[0], answers[1]);
        }
        close(commands[0]);
        close(answers[1]);
        children[i].commands = commands[1];
        children[i].answers = answers[0];
        if (!hear(answers[0], &answer))
            memcpy(figures[i].fault, answer.fault, sizeof(answer.fault));
    }
    for (int round = 0; round < bench_rounds; round++) {
        for (size_t i = 0; i < count; i++) {
            struct answer answer;
            if (figures[i].fault[0])
                continue;
            if (write(children[i].commands, "r", 1) != 1 || !hear(children[i].answers, &answer))
                memcpy(figures[i].fault, answer.fault, sizeof(answer.fault));
            else
                figures[i].rounds[figures[i].count++] = answer.ns;
        }
    }
    for (size_t i = 0; i < count; i++) {
        close(children[i].commands);
        close(children[i].answers);
        if (figures[i].fault[0])
            kill(children[i].pid, SIGKILL);
        waitpid(children[i].pid, NULL, 0);
        figure_finish(&figures[i]);
    }
}

double in_a_process(double (*find)(void), char *fault, size_t size)
{
    int answers[2];
    struct answer answer;

    fflush(stdout);
    if (pipe(answers) != 0)
        bench_give_up("pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        answer_fd = answers[1];
        close(answers[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        give_answer(find(), NULL);
        _exit(0);
    }
    close(answers[1]);
    bool heard = hear(answers[0], &answer);
    close(answers[0]);
    if (!heard)
        kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    snprintf(fault, size, "%s", answer.fault);
    return heard ? answer.ns : NAN;
}

/* ---- Figures. */
static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median_of(const double *values, int count)
{
    double sorted[MOST_ROUNDS];

    memcpy(sorted, values, sizeof(double) * (size_t)count);
    qsort(sorted, (size_t)count, sizeof(double), ascending);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

void figure_finish(struct figure *f)
{
    if (f->count == 0) {
        f->median = f->low = f->high = NAN;
        return;
    }
    double sorted[MOST_ROUNDS];
    memcpy(sorted, f->rounds, sizeof(double) * (size_t)f->count);
    qsort(sorted, (size_t)f->count, sizeof(double), ascending);
    f->median = median_of(f->rounds, f->count);
    f->low = sorted[f->count / 4]; /* the quarters: what half of the rounds are within */
    f->high = sorted[f->count - 1 - f->count / 4];
}

double figure_ratio(const struct figure *f, const struct figure *base)
{
    double ratios[MOST_ROUNDS];
    int count = f->count < base->count ? f->count : base->count;

    if (count == 0)
        return NAN;
    for (int i = 0; i < count; i++)
        ratios[i] = f->rounds[i] / base->rounds[i];
    return median_of(ratios, count);
}

/* ---- The table. */
void table_title(const char *title)
{
    printf("\n%s\n", title);
}

static void print_value(double value)
{
    if (strcmp(bench_unit, "ns") != 0)
        printf("%14.0f %s", value, bench_unit);
    else if (value < 10e3)
        printf("%14.1f ns", value);
    else if (value < 10e6)
        printf("%14.2f us", value / 1e3);
    else if (value < 10e9)
        printf("%14.2f ms", value / 1e6);
    else
        printf("%14.2f s ", value / 1e9);
}

void table_fault(const char *name, const char *fault)
{
    printf("  %-58s %14s  %s\n", name, "-", fault);
}

void table_figure(const char *name, const struct figure *f)
{
    if (f->count == 0) {
        table_fault(name, f->fault);
        return;
    }
    printf("  %-58s ", name);
    print_value(f->median);
    printf("   half within -%.0f%% +%.0f%%\n", 100 * (1 - f->low / f->median), 100 * (f->high / f->median - 1));
}

static void verdict(bool met, const char *word, double limit, const char *unit)
{
    goals++;
    missed += !met;
    printf("   goal: %s %g%s%s: %s", word, limit, *unit ? " " : "", unit, met ? "met" : "MISSED");
}

void table_ratio(const char *name, const struct figure *f, const struct figure *base, double most)
{
    if (f->count == 0 || base->count == 0) {
        table_fault(name, f->count ? base->fault : f->fault);
        return;
    }
    double ratio = figure_ratio(f, base);
    printf("  %-58s %14.3f times", name, ratio);
    if (most > 0)
        verdict(ratio <= most, "at most", most, "");
    printf("\n");
}

void table_at_least(const char *name, double value, double least, const char *unit)
{
    printf("  %-58s %14.2f %s", name, value, unit);
    if (least > 0)
        verdict(value >= least, "at least", least, unit);
    printf("\n");
}

void table_at_most(const char *name, double value, double most, const char *unit)
{
    printf("  %-58s %14.2f %s", name, value, unit);
    if (most > 0)
        verdict(value <= most, "at most", most, unit);
    printf("\n");
}

static void from_process(const char *name, double (*find)(void), double most, const char *unit)
{
    char fault[96];
    double value = in_a_process(find, fault, sizeof(fault));

    if (isnan(value))
        table_fault(name, fault);
    else
        table_at_most(name, value, most, unit);
}

/* ---- The groups. */
static void group_trips(void)
{
    const struct bench_case cases[] = {native_call, bare_out, bare_out_registers, bare_trap, bare_trap_registers,
        hosted_call, hosted_call_xstate, hosted_exception, hosted_fault, hosted_two_contexts, hosted_two_spaces,
        ptrace_sysemu, ptrace_sysemu_xstate, seccomp_notification};
    enum {
        NATIVE,
        OUT,
        OUT_REGS,
        TRAP,
        TRAP_REGS,
        CALL,
        XSTATE,
        EXCEPTION,
        FAULT,
        CONTEXTS,
        SPACES,
        PTRACE,
        PTRACE_X,
        SECCOMP
    };
    struct figure f[sizeof(cases) / sizeof(cases[0])];

    table_title("One round trip");
    bench_group(cases, sizeof(cases) / sizeof(cases[0]), f);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        table_figure(cases[i].name, &f[i]);
    table_ratio("null system call, hosted : the bare trap", &f[CALL], &f[TRAP], 1.25);
    table_ratio("null system call, hosted : the bare trap with registers", &f[CALL], &f[TRAP_REGS], 0);
    table_ratio("null system call, hosted : bare out loop in ring 0", &f[CALL], &f[OUT], 0);
    table_ratio("null system call, hosted : ptrace SYSEMU, GET and SETREGS", &f[CALL], &f[PTRACE], 0);
    table_ratio("the same with FPU state on both sides", &f[XSTATE], &f[PTRACE_X], 0);
    table_ratio("null system call, hosted : seccomp user notification", &f[CALL], &f[SECCOMP], 0);
    if (strcmp(bench_unit, "ns") != 0 && f[CALL].count > 0)
        table_at_most("null system call, hosted", f[CALL].median, 3900, bench_unit);
}

static void group_exits(void)
{
    struct counts counts;
    const long n = 1000;

    table_title("Exits of a trap");
    if (count_between_marks(traps_to_be_counted, n, &counts)) {
        table_at_most("calls of KVM_RUN for a null system call", (double)counts.runs / (double)n, 1, "each");
        table_at_most("other calls of the host for it", (double)counts.other_calls / (double)n, 0, "each");
    } else {
        table_fault("calls of KVM_RUN for a null system call", strerror(errno));
    }
    from_process("exits that KVM counts (its own included)", exits_of_a_trap, 0, "each");
}

static void group_resident(void)
{
    static const struct {
        const struct bench_case *measured;
        double (*exits)(void);
        double most; /* instructions */
    } list[] = {
        {&resident_null, exits_of_resident_null, 100},
        {&resident_two_contexts, exits_of_resident_two_contexts, 0},
        {&resident_fault_map, exits_of_resident_fault_map, 500},
        {&resident_fault_demand, exits_of_resident_fault_demand, 500},
        {&resident_space, exits_of_resident_space, 0},
        {&resident_copy, exits_of_resident_copy, 0},
    };
    enum { COUNT = sizeof(list) / sizeof(list[0]), PTRACE = COUNT, ALL };
    struct bench_case cases[ALL];
    struct figure f[ALL];

    table_title("Inside the guest: a resident kernel");
    for (size_t i = 0; i < COUNT; i++)
        cases[i] = *list[i].measured;
    cases[PTRACE] = ptrace_sysemu_xstate;
    bench_group(cases, ALL, f);
    for (size_t i = 0; i < ALL; i++)
        table_figure(cases[i].name, &f[i]);
    for (size_t i = 0; i < COUNT; i++) {
        if (strcmp(bench_unit, "ns") != 0 && list[i].most > 0 && f[i].count > 0)
            table_at_most(cases[i].name, f[i].median, list[i].most, bench_unit);
    }
    table_ratio("null run_sandbox, resident : ptrace as UML uses it", &f[0], &f[PTRACE], 0);
    for (size_t i = 0; i < COUNT; i++) {
        char line[96];
        snprintf(line, sizeof(line), "exits: %s", cases[i].name);
        from_process(line, list[i].exits, i == 0 || list[i].most > 0 ? 0.01 : 0, "each");
    }
}

static void group_maps(void)
{
    const struct bench_case cases[] = {
        map_one_by_one, map_batch, replace_one_by_one, replace_batch, unmap_one_by_one, mmap_native};
    struct figure f[6];

    table_title("Mapping single pages of a file");
    bench_group(cases, 6, f);
    for (size_t i = 0; i < 6; i++)
        table_figure(cases[i].name, &f[i]);
    if (strcmp(bench_unit, "ns") == 0) {
        if (f[0].count)
            table_at_least("pages mapped in a second, one by one", 1e9 / f[0].median, 0, "");
        if (f[1].count)
            table_at_least("pages mapped in a second, by polder_apply", 1e9 / f[1].median, 0, "");
    }
    table_ratio("polder_mmap : mmap of one's own", &f[0], &f[5], 0);
    table_ratio("polder_apply : mmap of one's own", &f[1], &f[5], 0);
}

static void group_spaces(void)
{
    const struct bench_case cases[] = {space_made, space_used, space_copied, fork_exit};
    struct figure f[4];

    table_title("Spaces that come and go");
    bench_group(cases, 4, f);
    for (size_t i = 0; i < 4; i++)
        table_figure(cases[i].name, &f[i]);
    if (strcmp(bench_unit, "ns") == 0 && f[0].count)
        table_at_least("spaces made and dropped in a second", 1e9 / f[0].median, 0, "");
    if (f[0].count && f[3].count)
        table_at_least("fork, exit, wait : a space made and dropped", figure_ratio(&f[3], &f[0]), 20, "times");
    from_process("memory of a space with one page mapped", memory_of_a_space, 24, "KiB");
    from_process("memory of a space that has been run in, page and all", memory_of_a_used_space, 0, "KiB");
}

static const struct {
    const char *name;
    void (*run)(void);
} groups[] = {
    {"trips", group_trips},
    {"exits", group_exits},
    {"resident", group_resident},
    {"umlike", bench_umlike},
    {"uml", bench_uml},
    {"maps", group_maps},
    {"spaces", group_spaces},
    {"touch", bench_touch},
    {"start", bench_start},
    {"compute", bench_compute},
};

static void usage(void)
{
    fprintf(stderr, "usage: bench [-i] [-r ROUNDS] [-m MS] [-c SECONDS] [GROUP...]\n"
                    "  -i  the clock of this machine counts instructions (QEMU -icount)\n"
                    "  -r  rounds of each case (15)\n"
                    "  -m  ms that a round should take (20)\n"
                    "  -c  seconds that a compute loop should take (3)\n"
                    "  groups: trips exits resident umlike uml maps spaces touch start compute; all without any\n");
    exit(2);
}

int main(int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "ir:m:c:")) != -1) {
        if (option == 'i')
            bench_unit = "instructions";
        else if (option == 'r')
            bench_rounds = atoi(optarg);
        else if (option == 'm')
            bench_round_ns = atof(optarg) * 1e6;
        else if (option == 'c')
            bench_program_ns = atof(optarg) * 1e9;
        else
            usage();
    }
    if (bench_rounds < 1 || bench_rounds > MOST_ROUNDS || bench_round_ns <= 0 || bench_program_ns <= 0)
        usage();
    signal(SIGPIPE, SIG_IGN);
    struct utsname name;
    uname(&name);
    double load[1] = {0};
    if (getloadavg(load, 1) != 1)
        load[0] = NAN;
    printf("%s %s, %ld processors, load %.2f; medians of %d rounds\n", name.sysname, name.release,
        sysconf(_SC_NPROCESSORS_ONLN), load[0], bench_rounds);
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        bool wanted = optind == argc;
        for (int j = optind; j < argc; j++)
            wanted = wanted || strcmp(argv[j], groups[i].name) == 0;
        if (wanted)
            groups[i].run();
        fflush(stdout);
    }
    printf("\n%u goals, %u missed\n", goals, missed);
    return 0;
}
