/* SPDX-License-Identifier: MIT */
/*
 * What the attacks have in common. An attack is code of ring 3 in a space of its own and the report that the caller
 * must get of it. After each one an innocent context runs in another space, on the same vCPU, and everything that it
 * can see must be as it was left: its registers, its x87 and SSE state, its memory, and a page of the caller's own.
 *
 * The same source is compiled for the hosted library and into a kernel (tests/resident/shim).
 */
#ifndef TESTS_HOSTILE_ATTACK_H
#define TESTS_HOSTILE_ATTACK_H

#include "../kvm/sandbox.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)

/* Where an attack's code lies, all rights, with nothing mapped behind it: code can end at the end of a page. */
#define ATTACK_CODE 0x12000000ul
#define ATTACK_CODE_PAGES 4
#define ATTACK_CODE_END (ATTACK_CODE + ATTACK_CODE_PAGES * PAGE)

/* Nothing of an attack takes longer; a run that does has reason POLDER_DEADLINE. */
#define ATTACK_DEADLINE_NS 2000000000ul

struct attacker {
    struct box box; /* the attacker: box.params are its registers and its last report */
    struct box innocent;
    uint64_t *canary; /* a page of the caller's */
    const char *name; /* of the attack, for messages */
    uint64_t innocent_runs;
    size_t code_length; /* of what attack_code has put there; 0: the page is new */
    uint8_t fpu[512];   /* what FXSAVE stored in the innocent context when it had set its state */
};

void attacker_open(struct attacker *a);
void attacker_close(struct attacker *a);

/* Puts code somewhere in the attacker's space; attack_code fills the rest of the first page with UD2. */
void attack_put(struct attacker *a, uint64_t addr, const void *bytes, size_t length);
void attack_code(struct attacker *a, const void *bytes, size_t length);

/* The first bytes of the page only, at most 62, and one UD2 behind them; returns where that is. */
uint64_t attack_put_code(struct attacker *a, const void *code, size_t length);

/* Makes box.params's registers those of a new context: rip as given, rsp the stack's end, every other register a value
 * that nothing else has, eflags 0x202, fs_base and gs_base 0, no flags, the deadline above. */
void attack_aim(struct attacker *a, uint64_t rip);

/*
 * Runs the attacker as box.params say, and checks that the report is a documented one (report_check) and then the
 * innocent context (innocent_check). `name` says in a failure which attack it was.
 */
void attack_run(struct attacker *a, const char *name);
/* The same without the innocent context: for storms, which look now and then. */
void attack_run_only(struct attacker *a, const char *name);

/* What the last run must have reported. An exception's rip is that of the report. */
void expect_syscall(const struct attacker *a, uint64_t rip);
void expect_fault(const struct attacker *a, uint64_t addr, uint64_t error_code, uint64_t rip);
void expect_exception(const struct attacker *a, uint32_t vector, uint64_t error_code, uint64_t rip);
void expect_reason(const struct attacker *a, enum polder_reason reason);
/* Ends the test with the attack's name and the whole report. */
void attack_failed(const struct attacker *a, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

/* Is this report one that polder.h allows? NULL, or what is wrong with it. */
const char *report_fault(const struct polder_params *p);

void innocent_check(struct attacker *a);

/* A value that an attack likes: the edges of every range, canonical or not, ring 0's addresses; else a random one. */
uint64_t odd_value(uint64_t *seed);

/* PVM: ring 0 is emulated. */
bool ring0_is_emulated(void);
/* QEMU's emulation of a processor: it lacks SSE exceptions, and takes #GP for #SS. */
bool processor_is_tcg(void);
/* How often: on a processor; where everything is emulated a fourth (resident) or by POLDER_TEST_SCALE (hosted); and
 * where ring 0 is. */
int times(int native, int emulated);

#endif
