/* SPDX-License-Identifier: MIT */
#include "boot/report.h"

#include <inttypes.h>
#include <polder/abi.h>
#include <polder/polder.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot/symbols.h"
#include "boot/walk.h"
#include "types.h"

#define FRAMES_MAX 32
#define CR0_PG (1ull << 31)
#define VECTOR_PF 14
#define PF_PRESENT 1
#define PF_WRITE 2
#define PF_USER 4
#define PF_RESERVED 8
#define PF_FETCH 16

/* What rsp points at when a kernel writes to PORT_FAULT. */
struct fault_frame {
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/* One vCPU as it is reported: registers of where it was, not of the handler that told. */
struct view {
    FILE *out;
    const struct machine *machine;
    const struct cpu *cpu;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct fault_frame frame;
    bool has_frame;
    bool ring3;
    bool rip_is_past;
};

static const char *const exceptions[32] = {"#DE, divide error", "#DB, debug", "NMI", "#BP, breakpoint", "#OF, overflow",
    "#BR, bound range", "#UD, undefined instruction", "#NM, no FPU", "#DF, double fault", "vector 9",
    "#TS, invalid TSS", "#NP, segment not present", "#SS, stack fault", "#GP, general protection", "#PF, page fault",
    "vector 15", "#MF, x87 error", "#AC, alignment check", "#MC, machine check", "#XM, SIMD error", "vector 20",
    "#CP, control protection",
    [22 ... 27] = "reserved vector", [28] = "#HV", [29] = "#VC", [30] = "#SX", [31] = "vector 31"};

/* ---------------------------------------------------------------- pieces */

static void print_address(const struct view *v, const char *name, uint64_t address, bool after)
{
    char symbol[128];
    struct translation t;
    fprintf(v->out, "  %s %#" PRIx64 " ", name, address);
    if (symbols_name(&v->machine->image, address, after, symbol, sizeof symbol))
        fprintf(v->out, "(%s) ", symbol);
    if (!canonical(address)) {
        fprintf(v->out, "is not canonical\n");
        return;
    }
    if (!walk(&v->machine->ram, v->sregs.cr3, address, &t)) {
        fprintf(v->out, "is not mapped\n");
        return;
    }
    const struct window *window = windows_at(&v->machine->windows, t.gpa);
    fprintf(v->out, "is mapped to guest-physical %#" PRIx64 "%s%s%s by a page of %" PRIu64 " KiB: %s, %s, %s\n", t.gpa,
        window ? " of the file " : "", window ? window->name : "",
        window || ram_at(&v->machine->ram, t.gpa, 1) ? "" : ", where there is nothing,", t.size >> 10,
        t.writable ? "writable" : "read-only", t.executable ? "executable" : "not executable",
        t.user ? "for ring 3 too" : "for ring 0 only");
}

static void print_registers(const struct view *v)
{
    const struct {
        const char *name;
        uint64_t value;
    } regs[] = {
        {"rax", v->regs.rax},
        {"rbx", v->regs.rbx},
        {"rcx", v->regs.rcx},
        {"rdx", v->regs.rdx},
        {"rsi", v->regs.rsi},
        {"rdi", v->regs.rdi},
        {"rbp", v->regs.rbp},
        {"rsp", v->regs.rsp},
        {"r8", v->regs.r8},
        {"r9", v->regs.r9},
        {"r10", v->regs.r10},
        {"r11", v->regs.r11},
        {"r12", v->regs.r12},
        {"r13", v->regs.r13},
        {"r14", v->regs.r14},
        {"r15", v->regs.r15},
        {"rip", v->regs.rip},
        {"rflags", v->regs.rflags},
        {"fs_base", v->sregs.fs.base},
        {"gs_base", v->sregs.gs.base},
        {"cr0", v->sregs.cr0},
        {"cr2", v->sregs.cr2},
        {"cr3", v->sregs.cr3},
        {"cr4", v->sregs.cr4},
    };
    size_t count = sizeof regs / sizeof regs[0];
    for (size_t i = 0; i < count; i++)
        fprintf(v->out, "  %-7s %016" PRIx64 "%s", regs[i].name, regs[i].value, i % 3 == 2 ? "\n" : "");
}

static void print_frame(const struct view *v, uint64_t address, bool after)
{
    char symbol[128];
    symbols_name(&v->machine->image, address, after, symbol, sizeof symbol);
    fprintf(v->out, "    %#018" PRIx64 " %s\n", address, symbol);
}

static bool read_word(const struct view *v, uint64_t gva, uint64_t *word)
{
    return walk_read(&v->machine->ram, v->sregs.cr3, gva, word, sizeof *word);
}

/* By frame pointers: each frame is above the one before, or the chain is none. */
static void print_backtrace(const struct view *v)
{
    uint64_t rbp = v->regs.rbp, next, address;
    struct translation t;
    fprintf(v->out, "  backtrace:\n");
    print_frame(v, v->regs.rip, v->rip_is_past);
    if (v->ring3)
        return; /* the frames are not the kernel's */
    /* Who jumped to where there is no code did so by a call, more often than not. */
    bool code = walk(&v->machine->ram, v->sregs.cr3, v->regs.rip, &t) && t.executable;
    if (!code && read_word(v, v->regs.rsp, &address) && address >= v->machine->image.low &&
        address < v->machine->image.high)
        print_frame(v, address, true);
    for (unsigned i = 0; i < FRAMES_MAX && rbp && rbp % 8 == 0; i++, rbp = next) {
        if (!read_word(v, rbp, &next) || !read_word(v, rbp + 8, &address) || !address)
            return;
        print_frame(v, address, true);
        if (next <= rbp)
            return;
    }
}

static const char *reason_name(uint32_t reason)
{
    switch (reason) {
    case POLDER_SYSCALL:
        return "a system call";
    case POLDER_PAGE_FAULT:
        return "a page fault";
    case POLDER_EXCEPTION:
        return "an exception";
    case POLDER_STEP:
        return "a single step";
    case POLDER_SIGNAL:
        return "an interrupt";
    case POLDER_KICK:
        return "a kick";
    case POLDER_DEADLINE:
        return "the deadline";
    case POLDER_BUS:
        return "a page beyond the end of a file";
    default:
        return "none that polder.h knows";
    }
}

static void print_last_run(const struct view *v)
{
    uint64_t at = *(volatile uint64_t *)(v->cpu->data + DATA_PARAMS);
    struct polder_params params;
    if (!at) {
        fprintf(v->out, "  ring 3 has not run on this vCPU\n");
        return;
    }
    if (!walk_read(&v->machine->ram, v->sregs.cr3, at, &params, sizeof params)) {
        fprintf(v->out, "  the last run of ring 3: its parameters, at %#" PRIx64 ", cannot be read\n", at);
        return;
    }
    fprintf(v->out,
        "  the last run of ring 3 ended with %s: vector %" PRIu32 ", error code %#" PRIx64 ", address %#" PRIx64 "\n"
        "  rip     %016llx  rsp     %016llx  rflags  %016llx\n"
        "  orig_ax %016llx  rax     %016llx  rdi     %016llx\n"
        "  rsi     %016llx  rdx     %016llx  rcx     %016llx\n",
        reason_name(params.reason), params.vector, params.error_code, params.fault_addr, params.regs.rip,
        params.regs.rsp, params.regs.eflags, params.regs.orig_rax, params.regs.rax, params.regs.rdi, params.regs.rsi,
        params.regs.rdx, params.regs.rcx);
}

static void print_trap(const struct view *v)
{
    uint64_t vector = v->frame.vector, error = v->frame.error;
    const char *ring = v->ring3 ? "ring 3" : "ring 0";
    if (!v->has_frame) {
        fprintf(v->out, "a trap, of which rsp, %#llx, does not say more", v->regs.rsp);
        return;
    }
    if (vector < sizeof exceptions / sizeof exceptions[0])
        fprintf(v->out, "%s in %s", exceptions[vector], ring);
    else
        fprintf(v->out, "interrupt %#" PRIx64 " in %s", vector, ring);
    fprintf(v->out, ", error code %#" PRIx64, error);
    if (vector == VECTOR_PF)
        fprintf(v->out, " (%s by %s, %s)",
            error & PF_FETCH   ? "execution"
            : error & PF_WRITE ? "a write"
                               : "a read",
            error & PF_USER ? "ring 3" : "ring 0",
            error & PF_RESERVED  ? "a reserved bit is set in a page table"
            : error & PF_PRESENT ? "which its mapping forbids"
                                 : "where nothing is mapped");
}

/* ---------------------------------------------------------------- all of it */

static bool look(struct view *v, FILE *out, struct machine *machine, uint32_t number, bool trapped)
{
    *v = (struct view){.out = out, .machine = machine, .cpu = &machine->cpus[number]};
    if (kvm_get_regs(&machine->cpus[number].kvm, &v->regs) < 0 ||
        kvm_get_sregs(&machine->cpus[number].kvm, &v->sregs) < 0)
        return false;
    v->ring3 = v->sregs.cs.selector & 3;
    v->rip_is_past = number == machine->ending.cpu && machine->ending.rip_is_past;
    if (!trapped || !walk_read(&machine->ram, v->sregs.cr3, v->regs.rsp, &v->frame, sizeof v->frame))
        return true;
    v->has_frame = true;
    v->ring3 = v->frame.cs & 3;
    v->regs.rip = v->frame.rip;
    v->regs.rsp = v->frame.rsp;
    v->regs.rflags = v->frame.rflags;
    return true;
}

static void print_cpu(const struct view *v)
{
    fprintf(v->out, "vCPU %" PRIu32 ", in ring %d:\n", v->cpu->number, v->ring3 ? 3 : 0);
    if (!(v->sregs.cr0 & CR0_PG)) {
        fprintf(v->out, "  KVM has reset it: where it was is lost\n");
        return;
    }
    print_address(v, "rip", v->regs.rip, v->rip_is_past);
    if (v->has_frame && v->frame.vector == VECTOR_PF)
        print_address(v, "cr2", v->sregs.cr2, false);
    print_registers(v);
    print_backtrace(v);
    print_last_run(v);
}

static void print_title(const struct view *v)
{
    const struct machine *machine = v->machine;
    fprintf(v->out, "polder boot: %s: ", machine->options->kernel);
    switch (machine->ending.kind) {
    case ENDING_TRAP:
        print_trap(v);
        break;
    case ENDING_TIMEOUT:
        fprintf(v->out, "it did not end within %" PRIu64 " s", machine->options->timeout);
        break;
    default:
        fprintf(v->out, "%s", machine->ending.text);
    }
    fprintf(v->out, "\n");
}

void report(struct machine *machine)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    uint32_t first = machine->ending.cpu;
    struct view v;
    if (!out)
        return;
    bool seen = look(&v, out, machine, first, machine->ending.kind == ENDING_TRAP);
    print_title(&v);
    if (seen)
        print_cpu(&v);
    for (uint32_t i = 0; i < machine->cpu_count; i++)
        if (i != first && machine->cpus[i].started && look(&v, out, machine, i, false))
            print_cpu(&v);
    if (fclose(out) == 0)
        fwrite(text, size, 1, stderr);
    free(text);
}
