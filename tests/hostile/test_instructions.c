/* SPDX-License-Identifier: MIT */
/*
 * Instructions that are not ring 3's, that are nobody's, or that reach for what ring 0 has: one table of what each must
 * come to. The registers and memory that a fault leaves behind are those from before it.
 */
#include "attack.h"

#define EFLAGS_OF 0x800ul

/*
 * What may come of an instruction. Where more than one is listed, the processor may have the feature or not (then #UD),
 * or the manuals of AMD and of Intel differ.
 */
enum {
    UD = 1,      /* #UD at the instruction */
    GP = 2,      /* #GP(0) at the instruction */
    RUNS = 4,    /* it is done: the UD2 behind it is reported */
    DB = 8,      /* #DB behind it */
    BP = 16,     /* #BP behind it */
    BR = 32,     /* #BR at the instruction */
    DE = 64,     /* #DE at the instruction */
    GP_OF = 128, /* #GP with vector 4's gate in its error code */
    DB_AT = 256  /* #DB at the instruction */
};

enum {
    NARROW = 1,   /* code of 32 bits */
    NOT_TCG = 2,  /* QEMU's emulation dies of it, or takes it for another instruction */
    OVERFLOW = 4, /* with OF set */
    LOSES = 8,    /* RCX and R11 are gone */
    SECRET = 16,  /* it must not run where the processor has UMIP */
};

struct instruction {
    const char *name, *bytes;
    uint8_t length;
    uint16_t may; /* on a processor */
    uint16_t pvm; /* where PVM differs: it interprets code of 32 bits, and what its emulator lacks is #UD; ring 3 of 64
                   * bits has the CR4 of the host */
    uint16_t tcg; /* where QEMU's emulation differs: it looks at few of the prefixes that must not be */
    uint8_t how;
    uint8_t at; /* where the instruction begins, behind what makes it ready */
    uint32_t rcx;
};

#define I(n, b, m, ...)                                                                                                \
    {                                                                                                                  \
        .name = (n), .bytes = (b), .length = sizeof(b) - 1, .may = (m), __VA_ARGS__                                    \
    }

static const struct instruction table[] = {
    /* Interrupts. */
    I("int3", "\xcc", BP),
    I("int1", "\xf1", DB, .pvm = DB_AT | DB, .tcg = UD),
    I("into in code of 64 bits", "\xce", UD),
    I("into", "\xce", GP_OF, .how = NARROW | OVERFLOW),
    I("into without OF", "\xce", RUNS, .how = NARROW),
    I("mov $0xcd, al; into", "\xb0\xcd\xce", GP_OF, .at = 2, .how = NARROW | OVERFLOW),
    I("mov $5, al; bound", "\xb0\x05\x62\x07", BR, .pvm = UD, .at = 2, .how = NARROW),
    I("ud0", "\x0f\xff\xc0", UD),
    I("ud1", "\x0f\xb9\xc0", UD),
    I("ud2", "\x0f\x0b", UD),
    /* Ways to ring 0 and back. */
    I("sysenter", "\x0f\x34", UD | GP),
    I("sysenter in code of 32 bits", "\x0f\x34", UD | GP, .how = NARROW),
    I("sysexit", "\x0f\x35", UD | GP),
    I("sysexitq", "\x48\x0f\x35", UD | GP),
    I("sysret", "\x0f\x07", GP),
    I("sysretq", "\x48\x0f\x07", GP),
    I("sysret in code of 32 bits", "\x0f\x07", UD | GP, .how = NARROW),
    I("syscall in code of 32 bits", "\x0f\x05", UD, .how = NARROW | LOSES),
    I("rsm", "\x0f\xaa", UD | GP),
    I("getsec", "\x0f\x37", UD | GP),
    I("swapgs", "\x0f\x01\xf8", GP),
    I("uiret", "\xf3\x0f\x01\xec", UD),
    I("senduipi", "\xf3\x0f\xc7\xf0", UD),
    I("eretu", "\xf3\x0f\x01\xca", UD),
    I("erets", "\xf2\x0f\x01\xca", UD),
    I("lkgs", "\xf2\x0f\x00\xf0", UD),
    /* Interrupt flag, halting, ports. */
    I("hlt", "\xf4", GP),
    I("cli", "\xfa", GP),
    I("sti", "\xfb", GP),
    I("cli in code of 32 bits", "\xfa", GP, .how = NARROW),
    I("hlt in code of 32 bits", "\xf4", GP, .how = NARROW),
    I("in $0x60, al", "\xe4\x60", GP),
    I("in $0, eax", "\xe5\x00", GP),
    I("in $0xe0, ax", "\x66\xe5\xe0", GP),
    I("out al, $0xe0", "\xe6\xe0", GP),
    I("out eax, $0", "\xe7\x00", GP),
    I("out ax, $2", "\x66\xe7\x02", GP),
    I("in dx, al", "\xec", GP),
    I("in dx, eax", "\xed", GP),
    I("in dx, ax", "\x66\xed", GP),
    I("out al, dx", "\xee", GP),
    I("out eax, dx", "\xef", GP),
    I("out ax, dx", "\x66\xef", GP),
    I("insb", "\x6c", GP),
    I("insl", "\x6d", GP),
    I("insw", "\x66\x6d", GP),
    I("rep insb", "\xf3\x6c", GP, .rcx = 3),
    I("outsb", "\x6e", GP),
    I("outsl", "\x6f", GP),
    I("rep outsw", "\x66\xf3\x6f", GP, .rcx = 3),
    I("rep outsb of nothing", "\xf3\x6e", GP | RUNS),
    I("in in code of 32 bits", "\xec", GP, .how = NARROW),
    I("outsl in code of 32 bits", "\x6f", GP, .how = NARROW),
    /* Model-specific registers. */
    I("rdmsr EFER", "\x0f\x32", GP, .rcx = 0xc0000080),
    I("rdmsr LSTAR", "\x0f\x32", GP, .rcx = 0xc0000082),
    I("rdmsr FS_BASE", "\x0f\x32", GP, .rcx = 0xc0000100),
    I("rdmsr TSC", "\x0f\x32", GP, .rcx = 0x10),
    I("rdmsr of none", "\x0f\x32", GP, .rcx = 0x12345678),
    I("wrmsr EFER", "\x0f\x30", GP, .rcx = 0xc0000080),
    I("wrmsr STAR", "\x0f\x30", GP, .rcx = 0xc0000081),
    I("wrmsr LSTAR", "\x0f\x30", GP, .rcx = 0xc0000082),
    I("wrmsr CSTAR", "\x0f\x30", GP, .rcx = 0xc0000083),
    I("wrmsr SFMASK", "\x0f\x30", GP, .rcx = 0xc0000084),
    I("wrmsr FS_BASE", "\x0f\x30", GP, .rcx = 0xc0000100),
    I("wrmsr KERNEL_GS_BASE", "\x0f\x30", GP, .rcx = 0xc0000102),
    I("wrmsr SYSENTER_EIP", "\x0f\x30", GP, .rcx = 0x176),
    I("wrmsr APIC_BASE", "\x0f\x30", GP, .rcx = 0x1b),
    I("wrmsr x2APIC's ICR", "\x0f\x30", GP, .rcx = 0x830),
    I("wrmsr TSC_DEADLINE", "\x0f\x30", GP, .rcx = 0x6e0),
    I("wrmsr of KVM's clock", "\x0f\x30", GP, .rcx = 0x4b564d01),
    I("wrmsrns", "\x0f\x01\xc6", UD | GP),
    I("rdmsrlist", "\xf2\x0f\x01\xc6", UD | GP),
    I("wrmsr in code of 32 bits", "\x0f\x30", GP, .how = NARROW, .rcx = 0xc0000080),
    /* Control and debug registers; those that there are not are #UD. */
    I("mov cr0, rax", "\x0f\x20\xc0", GP),
    I("mov cr1, rax", "\x0f\x20\xc8", UD | GP),
    I("mov cr2, rax", "\x0f\x20\xd0", GP),
    I("mov cr3, rax", "\x0f\x20\xd8", GP),
    I("mov cr4, rax", "\x0f\x20\xe0", GP),
    I("mov cr5, rax", "\x0f\x20\xe8", UD | GP),
    I("mov cr8, rax", "\x44\x0f\x20\xc0", GP),
    I("mov cr15, rax", "\x44\x0f\x20\xf8", UD | GP),
    I("mov rax, cr0", "\x0f\x22\xc0", GP),
    I("mov rax, cr1", "\x0f\x22\xc8", UD | GP),
    I("mov rax, cr2", "\x0f\x22\xd0", GP),
    I("mov rax, cr3", "\x0f\x22\xd8", GP),
    I("mov rax, cr4", "\x0f\x22\xe0", GP),
    I("mov rax, cr7", "\x0f\x22\xf8", UD | GP),
    I("mov rax, cr8", "\x44\x0f\x22\xc0", GP),
    I("mov rax, cr9", "\x44\x0f\x22\xc8", UD | GP),
    I("mov eax, cr3 in code of 32 bits", "\x0f\x22\xd8", GP, .how = NARROW),
    I("lock mov cr0, eax in code of 32 bits", "\xf0\x0f\x20\xc0", GP | UD, .how = NARROW), /* AMD: it is CR8 */
    I("mov dr0, rax", "\x0f\x21\xc0", GP),
    I("mov dr1, rax", "\x0f\x21\xc8", GP),
    I("mov dr2, rax", "\x0f\x21\xd0", GP),
    I("mov dr3, rax", "\x0f\x21\xd8", GP),
    I("mov dr4, rax", "\x0f\x21\xe0", GP | UD),
    I("mov dr5, rax", "\x0f\x21\xe8", GP | UD),
    I("mov dr6, rax", "\x0f\x21\xf0", GP),
    I("mov dr7, rax", "\x0f\x21\xf8", GP),
    I("mov dr8, rax", "\x44\x0f\x21\xc0", GP | UD),
    I("mov rax, dr0", "\x0f\x23\xc0", GP),
    I("mov rax, dr3", "\x0f\x23\xd8", GP),
    I("mov rax, dr4", "\x0f\x23\xe0", GP | UD),
    I("mov rax, dr6", "\x0f\x23\xf0", GP),
    I("mov rax, dr7", "\x0f\x23\xf8", GP),
    I("mov rax, dr15", "\x44\x0f\x23\xf8", GP | UD),
    I("clts", "\x0f\x06", GP),
    I("lmsw eax", "\x0f\x01\xf0", GP),
    I("lmsw (rdi)", "\x0f\x01\x37", GP),
    I("xsetbv", "\x0f\x01\xd1", GP | UD),
    /* Descriptor tables. Where UMIP is, nobody sees where they are; where it is not, it is an answer. */
    I("lgdt", "\x0f\x01\x17", GP),
    I("lidt", "\x0f\x01\x1f", GP),
    I("lldt ax", "\x0f\x00\xd0", GP),
    I("lldt (rdi)", "\x0f\x00\x17", GP),
    I("ltr ax", "\x0f\x00\xd8", GP),
    I("lgdt in code of 32 bits", "\x0f\x01\x17", GP, .how = NARROW),
    I("sgdt", "\x0f\x01\x07", GP | RUNS, .how = SECRET),
    I("sidt", "\x0f\x01\x0f", GP | RUNS, .how = SECRET),
    I("sldt eax", "\x0f\x00\xc0", GP | RUNS, .how = SECRET),
    I("sldt (rdi)", "\x0f\x00\x07", GP | RUNS, .how = SECRET),
    I("str eax", "\x0f\x00\xc8", GP | RUNS, .how = SECRET),
    I("smsw eax", "\x0f\x01\xe0", GP | RUNS, .how = SECRET),
    I("smsw (rdi)", "\x0f\x01\x27", GP | RUNS, .how = SECRET),
    I("sgdt in code of 32 bits", "\x0f\x01\x07", GP | RUNS, .how = NARROW | SECRET),
    /* Caches and translations. */
    I("invlpg", "\x0f\x01\x3f", GP),
    I("invlpga", "\x0f\x01\xdf", GP | UD),
    I("invlpgb", "\x0f\x01\xfe", GP | UD),
    I("tlbsync", "\x0f\x01\xff", GP | UD),
    I("invpcid", "\x66\x0f\x38\x82\x07", GP | UD),
    I("invd", "\x0f\x08", GP),
    I("wbinvd", "\x0f\x09", GP),
    I("wbnoinvd", "\xf3\x0f\x09", GP),
    /* Virtual machines. KVM gives VMMCALL of ring 3 -EPERM in rax, and emulates VMCALL on AMD. */
    I("vmcall", "\x0f\x01\xc1", UD | GP),
    I("vmmcall", "\x0f\x01\xd9", UD | RUNS),
    I("vmgexit", "\xf3\x0f\x01\xd9", UD | RUNS),
    I("vmrun", "\x0f\x01\xd8", UD | GP),
    I("vmload", "\x0f\x01\xda", UD | GP),
    I("vmsave", "\x0f\x01\xdb", UD | GP),
    I("stgi", "\x0f\x01\xdc", UD | GP),
    I("clgi", "\x0f\x01\xdd", UD | GP),
    I("skinit", "\x0f\x01\xde", UD | GP),
    I("vmlaunch", "\x0f\x01\xc2", UD | GP),
    I("vmresume", "\x0f\x01\xc3", UD | GP),
    I("vmxoff", "\x0f\x01\xc4", UD | GP),
    I("vmfunc", "\x0f\x01\xd4", UD),
    I("vmxon", "\xf3\x0f\xc7\x37", UD | GP),
    I("vmclear", "\x66\x0f\xc7\x37", UD | GP),
    I("vmptrld", "\x0f\xc7\x37", UD | GP),
    I("vmptrst", "\x0f\xc7\x3f", UD | GP),
    I("vmread", "\x0f\x78\xc0", UD | GP),
    I("vmwrite", "\x0f\x79\xc0", UD | GP),
    I("invept", "\x66\x0f\x38\x80\x07", UD | GP),
    I("invvpid", "\x66\x0f\x38\x81\x07", UD | GP),
    I("tdcall", "\x66\x0f\x01\xcc", UD | GP),
    I("seamcall", "\x66\x0f\x01\xcf", UD | GP),
    I("pvalidate", "\xf2\x0f\x01\xff", UD | GP),
    I("rmpupdate", "\xf2\x0f\x01\xfe", UD | GP),
    /* Time, waiting, counters: CR4.TSD and CR4.PCE are 0. */
    I("rdtsc", "\x0f\x31", RUNS),
    I("rdtscp", "\x0f\x01\xf9", RUNS | UD),
    I("rdpid", "\xf3\x0f\xc7\xf8", RUNS | UD),
    I("rdpmc", "\x0f\x33", GP),
    I("rdpmc of none", "\x0f\x33", GP, .rcx = 0x7fffffff),
    I("rdpru", "\x0f\x01\xfd", RUNS | UD | GP),
    I("monitor", "\x0f\x01\xc8", UD | GP),
    I("mwait", "\x0f\x01\xc9", UD | GP),
    I("monitorx", "\x0f\x01\xfa", RUNS | UD),
    I("mwaitx", "\x0f\x01\xfb", RUNS | UD),
    I("umonitor", "\xf3\x0f\xae\xf7", RUNS | UD),
    I("tpause", "\x66\x0f\xae\xf2", RUNS | UD),
    I("umwait", "\xf2\x0f\xae\xf2", RUNS | UD),
    /* Segment bases: rax is not canonical. */
    I("wrfsbase of what is not canonical", "\x48\xb8\0\0\0\0\0\x80\0\0\xf3\x48\x0f\xae\xd0", GP | UD, .tcg = RUNS,
        .at = 10),
    I("wrgsbase of what is not canonical", "\x48\xb8\0\0\0\0\0\x80\0\0\xf3\x48\x0f\xae\xd8", GP | UD, .tcg = RUNS,
        .at = 10),
    I("rdfsbase", "\xf3\x48\x0f\xae\xc0", RUNS | UD),
    I("rdgsbase in code of 32 bits", "\xf3\x0f\xae\xc8", UD, .how = NARROW),
    /* Protection keys, extended states. */
    I("rdpkru", "\x0f\x01\xee", UD | RUNS),
    I("wrpkru", "\x0f\x01\xef", UD | RUNS),
    I("xsaves", "\x0f\xc7\x2f", GP | UD),
    I("xrstors", "\x0f\xc7\x1f", GP | UD),
    I("xgetbv of none", "\x0f\x01\xd0", GP | UD, .rcx = 7),
    I("encls", "\x0f\x01\xcf", UD | GP),
    I("enclu", "\x0f\x01\xd7", UD | GP),
    I("enclv", "\x0f\x01\xc0", UD | GP),
    I("stac", "\x0f\x01\xcb", UD),
    I("clac", "\x0f\x01\xca", UD),
    I("incsspq", "\xf3\x48\x0f\xae\xe8", UD, .tcg = RUNS),
    I("setssbsy", "\xf3\x0f\x01\xe8", UD, .pvm = UD | RUNS),
    I("clrssbsy", "\xf3\x0f\xae\x37", UD),
    I("saveprevssp", "\xf3\x0f\x01\xea", UD),
    I("wrssq", "\x48\x0f\x38\xf6\x07", UD),
    I("wrussq", "\x66\x48\x0f\x38\xf5\x07", UD | GP),
    I("serialize", "\x0f\x01\xe8", RUNS | UD),
    I("hreset", "\xf3\x0f\x3a\xf0\xc0\0", UD | GP),
    I("pconfig", "\x0f\x01\xc5", UD | GP),
    I("xbegin over nothing", "\xc7\xf8\0\0\0\0", RUNS | UD),
    I("xend", "\x0f\x01\xd5", UD | GP),
    I("xtest", "\x0f\x01\xd6", UD | RUNS),
    I("llwpcb rax", "\x8f\xe9\x78\x12\xc0", UD, .how = NOT_TCG),
    /* LOCK, where nothing can be locked. */
    I("lock nop", "\xf0\x90", UD),
    I("lock mov rax, (rdi)", "\xf0\x48\x89\x07", UD, .tcg = RUNS),
    I("lock add eax, ecx", "\xf0\x01\xc1", UD),
    I("lock add (rdi), ecx", "\xf0\x03\x0f", UD),
    I("lock cmp ecx, (rdi)", "\xf0\x39\x0f", UD),
    I("lock lea", "\xf0\x48\x8d\x07", UD, .tcg = RUNS),
    I("lock int 0x80", "\xf0\xcd\x80", UD, .how = NOT_TCG),
    I("lock hlt", "\xf0\xf4", UD, .how = NOT_TCG),
    I("lock syscall", "\xf0\x0f\x05", UD, .how = NOT_TCG),
    I("lock btc ecx, eax", "\xf0\x0f\xbb\xc8", UD, .how = NOT_TCG),
    I("lock movs", "\xf0\xa4", UD, .tcg = RUNS),
    I("lock cmpxchg8b eax", "\xf0\x0f\xc7\xc8", UD),
    I("lock cmpxchg8b eax, by another way", "\xf0\x0f\xc7\xcf", UD),
    I("lock ud2", "\xf0\x0f\x0b", UD),
    /* Too long. */
    I("16 bytes", "\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x90", GP),
    I("15 bytes", "\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x90", RUNS),
    I("17 bytes", "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x0f\x05", GP),
    I("16 bytes in code of 32 bits", "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90", GP,
        .how = NARROW),
    /* What is no instruction in code of 64 bits, or none at all. */
    I("push es", "\x06", UD),
    I("pop es", "\x07", UD),
    I("push cs", "\x0e", UD),
    I("pop ss", "\x17", UD),
    I("pop ds", "\x1f", UD),
    I("daa", "\x27", UD),
    I("das", "\x2f", UD),
    I("aaa", "\x37", UD),
    I("aas", "\x3f", UD),
    I("pusha", "\x60", UD),
    I("popa", "\x61", UD),
    I("82 /0", "\x82\xc0\0", UD),
    I("lcall $imm", "\x9a\0\0\0\0\x33\0", UD),
    I("ljmp $imm", "\xea\0\0\0\0\x33\0", UD),
    I("aam", "\xd4\x0a", UD),
    I("aam of nothing", "\xd4\0", DE, .how = NARROW),
    I("aad", "\xd5\x0a", UD),
    I("salc", "\xd6", UD),
    I("les", "\xc4\x07", UD),
    I("8e /1: mov ax, cs", "\x8e\xc8", UD),
    I("8e /6", "\x8e\xf0", UD),
    I("c6 /1", "\xc6\xc8\0", UD, .tcg = RUNS),
    I("fe /2", "\xfe\xd0", UD),
    I("ff /7", "\xff\xf8", UD),
    I("8f /1 of memory", "\x8f\x0f", UD, .how = NOT_TCG),
    I("lcall of a register", "\xff\xd8", UD, .how = NOT_TCG),
    I("ljmp of a register", "\xff\xe8", UD, .how = NOT_TCG),
    I("lea of a register", "\x8d\xc0", UD),
    I("bound of a register", "\x62\xc0", UD, .how = NARROW),
    I("0f 04", "\x0f\x04", UD),
    I("0f 0a", "\x0f\x0a", UD),
    I("0f 0c", "\x0f\x0c", UD),
    I("0f 24", "\x0f\x24\xc0", UD),
    I("0f 26", "\x0f\x26\xc0", UD),
    I("0f 36", "\x0f\x36", UD),
    I("0f 39", "\x0f\x39", UD),
    I("0f 3c", "\x0f\x3c", UD),
    I("0f 7a", "\x0f\x7a", UD),
    I("0f a6", "\x0f\xa6", UD),
    I("0f a7", "\x0f\xa7", UD),
    I("0f b8", "\x0f\xb8\xc0", UD),
    I("0f ba /0", "\x0f\xba\xc0\0", UD),
    I("0f c7 /0", "\x0f\xc7\xc0", UD),
    I("0f 00 /7", "\x0f\x00\xf8", UD),
    I("clzero", "\x48\x89\xf8\x0f\x01\xfc", RUNS | UD, .at = 3),
    I("0f 38 0c", "\x0f\x38\x0c\xc0", UD, .how = NOT_TCG),
    I("0f 38 ff", "\x0f\x38\xff\xc0", UD, .how = NOT_TCG),
    I("0f 3a 00", "\x0f\x3a\x00\xc0\0", UD, .how = NOT_TCG),
    I("0f 3a ff", "\x0f\x3a\xff\xc0\0", UD, .how = NOT_TCG),
    I("0f 71 /0", "\x0f\x71\xc0\0", UD),
    I("0f ae /5 of a high register", "\x0f\xae\xc0", UD),
    /* VEX and EVEX: maps that there are not, prefixes that cannot be, fields that must be 1. */
    I("vex of map 0", "\xc4\xe0\x78\x10\xc0", UD, .how = NOT_TCG),
    I("vex of map 31", "\xc4\xff\x78\x10\xc0", UD, .how = NOT_TCG),
    I("66 vex", "\x66\xc5\xf8\x10\xc0", UD),
    I("rex vex", "\x48\xc5\xf8\x10\xc0", UD),
    I("f3 vex", "\xf3\xc5\xf8\x10\xc0", UD),
    I("lock vex", "\xf0\xc5\xf8\x10\xc0", UD),
    I("vex of ud2", "\xc5\xf8\x0b", UD),
    I("vex of syscall", "\xc5\xf8\x05", UD),
    I("vex of mov cr0", "\xc5\xf8\x20\xc0", UD),
    I("vmovups with vvvv", "\xc5\xf0\x10\xc0", UD),
    I("vaddss of 256 bits", "\xc5\xfe\x58\xc0", RUNS | UD),
    I("evex of map 0", "\x62\xf0\x7c\x48\x10\xc0", UD),
    I("evex with a reserved bit", "\x62\xf9\x7c\x48\x10\xc0", UD),
    I("evex without its fixed bit", "\x62\xf1\x78\x48\x10\xc0", UD),
    I("evex with L'L 3", "\x62\xf1\x7c\x68\x10\xc0", UD),
    I("66 evex", "\x66\x62\xf1\x7c\x48\x10\xc0", UD),
    I("xop of map 0", "\x8f\xe0\x78\x10\xc0", UD, .how = NOT_TCG),
    I("xop", "\x8f\xe8\x78\x10\xc0", UD, .how = NOT_TCG),
};

/* The code, and UD2 behind it. */
static void put_code(struct attacker *a, const void *code, size_t length)
{
    uint8_t bytes[32];

    assert_true(length <= sizeof(bytes) - 8);
    for (size_t i = 0; i < 8; i++)
        bytes[length + i] = i % 2 ? 0x0b : 0x0f;
    memcpy(bytes, code, length);
    attack_put(a, ATTACK_CODE, bytes, length + 8);
}

/* One in four where a look takes thousands of emulated instructions. */
static void check_innocent(struct attacker *a, size_t i)
{
    if (__STDC_HOSTED__ || !ring0_is_emulated() || i % 4 == 0)
        innocent_check(a);
}

static bool came_to(const struct polder_params *p, unsigned may, uint64_t at, uint64_t end)
{
    const struct {
        unsigned outcome;
        uint32_t vector;
        uint64_t error_code, rip;
    } all[] = {{UD, 6, 0, at}, {GP, 13, 0, at}, {RUNS, 6, 0, end}, {DB, 1, 0, end}, {DB_AT, 1, 0, at}, {BP, 3, 0, end},
        {BR, 5, 0, at}, {DE, 0, 0, at}, {GP_OF, 13, 4 << 3 | 2, at}};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if ((may & all[i].outcome) && p->reason == POLDER_EXCEPTION && p->vector == all[i].vector &&
            p->error_code == all[i].error_code && p->regs.rip == all[i].rip)
            return true;
    return false;
}

/* What a fault leaves behind is what was there before the instruction. */
static void expect_untouched(const struct attacker *a, const struct user_regs_struct *before)
{
    struct user_regs_struct wanted = *before, got = a->box.params.regs;

    wanted.orig_rax = UINT64_MAX;
    got.eflags &= ~EFLAGS_RF;
    wanted.ss = got.ss;
    if (memcmp(&wanted, &got, sizeof(wanted)) != 0)
        attack_failed(a, "the fault changed registers");
    for (size_t i = 0; i < 16; i++)
        if (a->box.data[i] != 0x6d656d6f7279 + i)
            attack_failed(a, "word %zu of memory is %#lx", i, a->box.data[i]);
}

/* Asked inside. PVM's ring 3 has it if the host uses it, whatever CPUID says. */
static bool umip_must_work(struct attacker *a)
{
    static const uint8_t code[] = {0x0f, 0xa2, 0x89, 0xcb, 0x0f, 0x05}; /* cpuid; mov %ecx, %ebx; syscall */

    put_code(a, code, sizeof(code));
    attack_aim(a, ATTACK_CODE);
    a->box.params.regs.rax = 7;
    a->box.params.regs.rcx = 0;
    attack_run_only(a, "cpuid");
    expect_syscall(a, ATTACK_CODE + sizeof(code));
    return !ring0_is_emulated() && (a->box.params.regs.rbx >> 2 & 1);
}

static void each_of_the_table(void **state)
{
    (void)state;
    struct attacker a;
    struct polder_params *p = &a.box.params;
    const bool pvm = ring0_is_emulated(), tcg = processor_is_tcg();

    attacker_open(&a);
    const bool umip = umip_must_work(&a);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const struct instruction *t = &table[i];
        if (tcg && (t->how & NOT_TCG))
            continue;
        unsigned may = pvm && t->pvm ? t->pvm : tcg && t->tcg ? t->tcg : t->may;
        if (umip && (t->how & SECRET))
            may &= ~(unsigned)RUNS;
        for (size_t j = 0; j < 16; j++)
            a.box.data[j] = 0x6d656d6f7279 + j;
        put_code(&a, t->bytes, t->length);
        attack_aim(&a, ATTACK_CODE);
        p->regs.cs = t->how & NARROW ? 0x23 : 0x33;
        p->regs.eflags |= t->how & OVERFLOW ? EFLAGS_OF : 0;
        p->regs.rax = p->regs.rdx = p->regs.rbx = 0;
        p->regs.rcx = t->rcx;
        p->regs.rdi = BOX_DATA + 32;
        p->regs.rsi = BOX_DATA + 64;
        const struct user_regs_struct before = p->regs;
        attack_run_only(&a, t->name);
        if (!came_to(p, may, ATTACK_CODE + t->at, ATTACK_CODE + t->length))
            attack_failed(&a, "not what may come of it (%#x)", may);
        if (p->regs.rip == ATTACK_CODE && !(t->how & LOSES))
            expect_untouched(&a, &before);
        p->regs.fs_base = p->regs.gs_base = 0;
        check_innocent(&a, i);
    }
    attacker_close(&a);
}

/* PVM has gates of its own for these: it answers and goes on behind, or gives #GP(0), before the instruction or behind.
 */
static void expect_taken_by_pvm(const struct attacker *a, unsigned n, uint64_t end)
{
    const struct polder_params *p = &a->box.params;

    if (p->reason == POLDER_EXCEPTION && p->vector == 13 && p->error_code == 0 && p->regs.rip == end)
        return;
    if (p->regs.rip == end)
        expect_exception(a, 6, 0, end);
    else
        expect_exception(a, 13, p->error_code ? n << 3 | 2 : 0, ATTACK_CODE);
}

/* Every INT n, with prefixes and without: the gate is not ring 3's, but for INT3. */
static void software_interrupts(void **state)
{
    (void)state;
    static const uint8_t prefixes[] = {0, 0x66, 0xf3, 0x2e, 0x48};
    struct attacker a;
    struct polder_params *p = &a.box.params;

    attacker_open(&a);
    for (unsigned n = 0; n < 256; n++)
        for (unsigned way = 0; way < 2 * sizeof(prefixes); way++) {
            const uint8_t prefix = prefixes[way / 2];
            const uint8_t code[] = {prefix, 0xcd, (uint8_t)n};
            const size_t skip = prefix ? 0 : 1;
            const bool wide = way % 2 == 0;
            if (prefix && (n + way) % 16 && n != 3 && n != 4) /* a sample will do */
                continue;
            if (prefix == 0x48 && !wide) /* DEC EAX */
                continue;
            put_code(&a, code + skip, sizeof(code) - skip);
            attack_aim(&a, ATTACK_CODE);
            p->regs.cs = wide ? 0x33 : 0x23;
            p->regs.eflags |= EFLAGS_OF;
            char name[40];
            snprintf(name, sizeof(name), "int %#x, prefix %#x, cs %#x", n, (unsigned)prefix, wide ? 0x33u : 0x23u);
            attack_run_only(&a, name);
            const uint64_t end = ATTACK_CODE + sizeof(code) - skip;
            if (n == 3)
                expect_exception(&a, 3, 0, end);
            else if (ring0_is_emulated() && (n == 0x17 || n == 0x19 || n == 0x1a || n == 0x1b))
                expect_taken_by_pvm(&a, n, end);
            else /* INT 4 that PVM lets through is reported behind its prefix */
                expect_exception(&a, 13, n << 3 | 2, ATTACK_CODE + (n == 4 && prefix && wide && ring0_is_emulated()));
            if (way == 0)
                check_innocent(&a, n);
        }
    attacker_close(&a);
}

/* No port, whatever the flags that the caller entered with, and the sandbox asked for: the stub's own are among them.
 */
static void ports(void **state)
{
    (void)state;
    /* popf, then the instruction; and the instruction alone. */
    static const uint8_t ways[][3] = {{0xec, 0x90}, {0xed, 0x90}, {0xee, 0x90}, {0xef, 0x90}, {0x66, 0xef},
        {0x66, 0xed}, {0x6c, 0x90}, {0x6e, 0x90}, {0x66, 0x6f}, {0xfa, 0x90}, {0xfb, 0x90}};
    struct attacker a;
    struct polder_params *p = &a.box.params;

    attacker_open(&a);
    for (size_t way = 0; way < sizeof(ways) / sizeof(ways[0]); way++) {
        const uint8_t code[] = {0x9d, ways[way][0], ways[way][1], 0x0f, 0x0b};
        put_code(&a, code, sizeof(code));
        const uint64_t flags = UINT64_MAX & ~(EFLAGS_TF | EFLAGS_AC);
        attack_put(&a, BOX_STACK + PAGE - 8, &flags, 8);
        for (unsigned i = 0; i < 256 + 40; i += 1 + i / 8) {
            const bool popf = i & 1;
            attack_aim(&a, popf ? ATTACK_CODE : ATTACK_CODE + 1);
            p->regs.rsp -= 8;
            p->regs.rdx = i < 256 ? i : i * 0x101;
            p->regs.rcx = 1;
            p->regs.rdi = p->regs.rsi = BOX_DATA;
            p->regs.eflags = popf ? 2 : flags & ~EFLAGS_RF;
            attack_run_only(&a, "a port, or the interrupt flag");
            expect_exception(&a, 13, 0, ATTACK_CODE + 1);
        }
        innocent_check(&a);
    }
    attacker_close(&a);
}

/* No model-specific register; only instructions that cannot tell which they are asked for have this many. */
static void model_specific_registers(void **state)
{
    (void)state;
    static const uint8_t codes[][2] = {{0x0f, 0x32}, {0x0f, 0x30}};
    static const uint32_t firsts[] = {0, 0x10, 0x3a, 0x174, 0x1d9, 0x277, 0x400, 0x6e0, 0x802, 0xda0, 0x40000000,
        0x4b564d00, 0x4b564df0, 0xc0000080, 0xc0000100, 0xc0010015, 0xc0010114, 0xffffffff};
    struct attacker a;

    attacker_open(&a);
    for (size_t way = 0; way < 2; way++) {
        put_code(&a, codes[way], 2);
        for (size_t i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++) {
            for (uint32_t j = 0; j < 4; j++) {
                attack_aim(&a, ATTACK_CODE);
                a.box.params.regs.rcx = firsts[i] + j;
                attack_run_only(&a, way ? "wrmsr" : "rdmsr");
                expect_exception(&a, 13, 0, ATTACK_CODE);
            }
        }
        innocent_check(&a);
    }
    attacker_close(&a);
}

/* POPF with each flag: what ring 3 may not have does not change, and what it may have reaches nobody else. */
static void flags_one_by_one(void **state)
{
    (void)state;
    const uint64_t may = 0xcd5 | EFLAGS_NT | EFLAGS_AC | EFLAGS_ID;
    /* popf; pushf; pop rbx; ud2, in 64 bits, 32 and 16 */
    static const uint8_t code[] = {0x9d, 0x9c, 0x5b, 0x0f, 0x0b}, code16[] = {0x66, 0x9d, 0x9c, 0x5b, 0x0f, 0x0b};
    struct attacker a;
    struct polder_params *p = &a.box.params;

    attacker_open(&a);
    for (int way = 0; way < 3; way++) {
        const size_t length = way == 2 ? sizeof(code16) : sizeof(code);
        put_code(&a, way == 2 ? code16 : code, length);
        for (unsigned bit = 0; bit < 23; bit++) {
            const uint64_t flags = 1ul << bit;
            attack_aim(&a, ATTACK_CODE);
            p->regs.cs = way == 1 ? 0x23 : 0x33;
            p->regs.rsp -= 64 + 8;
            attack_put(&a, p->regs.rsp, &flags, 8);
            char name[40];
            snprintf(name, sizeof(name), "popf of bit %u, way %d", bit, way);
            attack_run_only(&a, name);
            if (flags == EFLAGS_TF) { /* behind the instruction that follows POPF */
                expect_exception(&a, 1, 0, ATTACK_CODE + length - 3);
            } else {
                const uint64_t wanted = (flags & may & (way == 2 ? 0xffff : UINT64_MAX)) | EFLAGS_IF | 2;
                expect_exception(&a, 6, 0, ATTACK_CODE + length - 2);
                if (p->regs.rbx != wanted)
                    attack_failed(&a, "it gave %#llx, not %#lx", p->regs.rbx, wanted);
            }
            check_innocent(&a, bit);
        }
    }
    attacker_close(&a);
}

/* An instruction that is too long, or not all there, at the end of what can be executed. */
static void at_the_end_of_memory(void **state)
{
    (void)state;
    static const struct {
        const char *name, *bytes;
        size_t length;
        bool too_long;
    } all[] = {
        {"14 prefixes", "\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e", 14, false},
        {"15 prefixes", "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66", 15, true},
        {"0f", "\x0f", 1, false},
        {"cd", "\xcd", 1, false},
        {"half a mov", "\x48\xb8\0\0\0", 5, false},
        {"half a far jump's operand", "\x48\xff", 2, false},
    };
    struct attacker a;
    struct polder_params *p = &a.box.params;

    attacker_open(&a);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const uint64_t at = ATTACK_CODE_END - all[i].length;
        attack_put(&a, at, all[i].bytes, all[i].length);
        attack_aim(&a, at);
        attack_run_only(&a, all[i].name);
        /* Processors differ in whether they want a 16th byte before they say that it is too long. */
        if (!all[i].too_long || p->reason == POLDER_PAGE_FAULT)
            expect_fault(&a, ATTACK_CODE_END, PF_U | PF_I, at);
        else
            expect_exception(&a, 13, 0, at);
        innocent_check(&a);
    }
    attacker_close(&a);
}

/* KVM serves no hypercall of ring 3: where the instruction is one, the answer is -EPERM, and nothing else is changed.
 */
static void hypercalls(void **state)
{
    (void)state;
    static const uint8_t codes[][3] = {{0x0f, 0x01, 0xd9}, {0x0f, 0x01, 0xc1}};
    struct attacker a;
    struct polder_params *p = &a.box.params;

    attacker_open(&a);
    for (size_t way = 0; way < 2; way++) {
        put_code(&a, codes[way], 3);
        for (uint64_t n = 0; n < 20; n++) {
            attack_aim(&a, ATTACK_CODE);
            p->regs.rax = n < 16 ? n : odd_value(&n);
            p->regs.rbx = p->regs.rcx = p->regs.rdx = 1;
            p->regs.rsi = BOX_DATA;
            struct user_regs_struct before = p->regs;
            attack_run_only(&a, way ? "vmcall" : "vmmcall");
            p->regs.eflags &= ~EFLAGS_RF;
            if (p->regs.rip == ATTACK_CODE + 3) {
                before.rip += 3;
                before.rax = (uint64_t)-EPERM;
            }
            if (p->reason != POLDER_EXCEPTION || (p->vector != 6 && p->vector != 13))
                attack_failed(&a, "neither refused nor answered");
            before.orig_rax = p->regs.orig_rax;
            if (memcmp(&before, &p->regs, sizeof(before)) != 0)
                attack_failed(&a, "it changed registers");
        }
        innocent_check(&a);
    }
    attacker_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_of_the_table),
        cmocka_unit_test(software_interrupts),
        cmocka_unit_test(ports),
        cmocka_unit_test(model_specific_registers),
        cmocka_unit_test(flags_one_by_one),
        cmocka_unit_test(at_the_end_of_memory),
        cmocka_unit_test(hypercalls),
    };
    return RUN_GROUP("hostile: instructions", tests);
}
