/* SPDX-License-Identifier: MIT */
/*
 * What the tests of libpolder have in common: a space with code, a stack and a page that the host sees too, and short
 * ways to say "run this there and expect that". The snippets are in snippets.S.
 */
#ifndef TESTS_KVM_SANDBOX_H
#define TESTS_KVM_SANDBOX_H

/* CMocka needs these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <polder/polder.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul
#define HUGE_PAGE (512 * PAGE)
#define ALL_RWX (PROT_READ | PROT_WRITE | PROT_EXEC)

#define BOX_CODE 0x10000000ul
#define BOX_DATA 0x20000000ul /* BOX_DATA_PAGES pages that host and sandbox share */
#define BOX_DATA_PAGES 4
#define BOX_STACK 0x30000000ul /* one page; the stack starts at its end */
#define BOX_FREE 0x40000000ul  /* from here to the top nothing is mapped */

/* Page-fault error codes: SDM vol. 3A, 4.7. */
enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_I = 16 };

#define EFLAGS_CF 0x1ul
#define EFLAGS_TF 0x100ul
#define EFLAGS_IF 0x200ul
#define EFLAGS_DF 0x400ul
#define EFLAGS_IOPL 0x3000ul
#define EFLAGS_NT 0x4000ul
#define EFLAGS_RF 0x10000ul
#define EFLAGS_VM 0x20000ul
#define EFLAGS_AC 0x40000ul
#define EFLAGS_VIF 0x80000ul
#define EFLAGS_VIP 0x100000ul
#define EFLAGS_ID 0x200000ul

extern const char snippets_begin[], snippets_end[];
extern const char sn_call_aligned[], sn_call_aligned_end[], sn_cli[], sn_code32[], sn_control_load[],
    sn_control_store[], sn_count[], sn_count_syscalls[], sn_cpuid[], sn_divide[], sn_divide_insn[], sn_far_return32[],
    sn_flags[], sn_hlt[], sn_in[], sn_int3[], sn_int3_end[], sn_int42[], sn_int80[], sn_int_double_fault[],
    sn_int_page_fault[], sn_int_timer[], sn_invlpg[], sn_iret_ring0[], sn_iret_ring0_insn[], sn_jump[], sn_lgdt[],
    sn_load[], sn_load_byte[], sn_load_fs[], sn_load_rbp[], sn_lock_count[], sn_nops[], sn_nops_end[], sn_out[],
    sn_push[], sn_rdmsr[], sn_rdtsc[], sn_read_bases[], sn_read_cr3[], sn_reader[], sn_registers[], sn_selectors[],
    sn_set_selectors[], sn_spin[], sn_sse_divide[], sn_sse_divide_insn[], sn_sti[], sn_store[], sn_store_byte[],
    sn_swapgs[], sn_syscall[], sn_syscall32[], sn_syscall_end[], sn_syscalls[], sn_sysenter[], sn_sysretq[],
    sn_touch_pages[], sn_trap_flag[], sn_trap_flag_end[], sn_ud2[], sn_unaligned[], sn_write_bases[],
    sn_write_bases_fault[], sn_write_cr0[], sn_wrmsr[], sn_x87_divide[], sn_x87_divide_insn[], sn_x87_load[],
    sn_x87_store[], sn_xmm_load[], sn_xmm_store[], sn_ymm_load[], sn_ymm_store[], sn_zmm_load[], sn_zmm_store[];

/* A snippet's address in a box; in the test's own process it is simply its name. */
#define SNIPPET(name) (BOX_CODE + (uintptr_t)((name)-snippets_begin))

/* One space with one context. */
struct box {
    int fd;
    int data_fd;             /* the file behind BOX_DATA */
    volatile uint64_t *data; /* the host's view of it */
    struct polder_params params;
};

void box_open(struct box *box);
void box_close(struct box *box); /* the space, the context and the host's view */

/* Runs from a snippet and returns the reason; a run that fails ends the test. */
uint32_t box_run(struct box *box, const char *snippet, uint64_t rdi, uint64_t rsi);

/* The snippet must end in its system call. */
void box_syscall(struct box *box, const char *snippet, uint64_t rdi, uint64_t rsi);
/* The snippet must end in a page fault at addr with exactly this error code. */
void box_fault(struct box *box, const char *snippet, uint64_t rdi, uint64_t rsi, uint64_t addr, uint64_t error_code);
/* ... in another exception. rip is that of the report. */
void box_exception(
    struct box *box, const char *snippet, uint64_t rdi, uint32_t vector, uint64_t error_code, uint64_t rip);
void box_bus(struct box *box, const char *snippet, uint64_t rdi, uint64_t addr);

/* Through the sandbox: what it reads, and a write that must succeed. */
uint64_t box_load(struct box *box, uint64_t addr);
void box_store(struct box *box, uint64_t addr, uint64_t value);

/* polder_mmap at a chosen address that must succeed. */
void box_map(struct box *box, uint64_t addr, size_t length, int prot, int flags, int fd, off_t offset);
void box_map_anonymous(struct box *box, uint64_t addr, size_t length, int prot);

/* Puts code, data page and stack into a space. */
void fill_space(int fd, int data_fd);
/* Readies params for a run of snippet at its address in a box. */
void aim(struct polder_params *params, const char *snippet, uint64_t rdi, uint64_t rsi);

/* A file of `pages` pages; word 0 of page i is tag + i. */
int make_file(size_t pages, uint64_t tag);
uint64_t file_word(int fd, off_t offset);
void set_file_word(int fd, off_t offset, uint64_t value);

#define assert_errno(call, wanted)                                                                                     \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long assert_errno_result = (long)(call);                                                                       \
        int assert_errno_got = errno;                                                                                  \
        assert_int_equal(assert_errno_result, -1);                                                                     \
        assert_string_equal(strerrorname_np(assert_errno_got), strerrorname_np(wanted));                               \
    } while (0)

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        long assert_ok_result = (long)(call);                                                                          \
        if (assert_ok_result < 0)                                                                                      \
            fail_msg("%s: %s", #call, strerror(errno));                                                                \
    } while (0)

/* This process, from /proc. */
size_t own_rss(void); /* bytes */
size_t own_descriptors(void);
size_t own_mappings(void);
size_t own_threads(void); /* without KVM's own, which the kernel starts */

/* A small generator, so that a failing run can be repeated: `seed` is printed by whoever uses it. */
uint64_t random_next(uint64_t *seed);

/* Spins for a short random time; nothing depends on how long. */
void random_delay(uint64_t *seed, unsigned most);

/*
 * Runs the group. Where there is no KVM at all it says so and gives 77. Each test has a generous time limit, after
 * which the process is killed: a lost wake-up is a hang, and a hang must not look like anything else.
 */
int run_group(const char *name, const struct CMUnitTest *tests, size_t count);
#define RUN_GROUP(name, tests) run_group(name, tests, sizeof(tests) / sizeof((tests)[0]))

#define TEST_SECONDS 240

/*
 * How often to do a thing that is done n times: POLDER_TEST_SCALE in the environment divides it, for machines where
 * everything is slow. Few are left then, but some.
 */
int scaled(int n);

#endif
