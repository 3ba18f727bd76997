/* SPDX-License-Identifier: MIT */
#include "attack.h"

#if !__STDC_HOSTED__
#include <polder/resident.h>
#endif

extern const char innocent_begin[], innocent_end[], innocent_look[], innocent_look_end[], innocent_set[];

#define INNOCENT(label) (ATTACK_CODE + (uintptr_t)((label)-innocent_begin))

/* Places in the innocent context's data page, as innocent.S has them, and in an FXSAVE image (Intel SDM vol.
 * 1, 10.5.1). */
enum { DATA_RFLAGS = 16, DATA_CS, DATA_SS, DATA_FS_WORD, DATA_GS_WORD, DATA_FXSAVE = 128, DATA_FXRSTOR = 256 };
enum { FX_CONTROL = 0, FX_MXCSR = 24, FX_REGISTERS = 32, FX_X87_END = FX_REGISTERS + 128, FX_END = 416 };

#define FS_WORD 0x6673626173650000ul
#define GS_WORD 0x6773626173650000ul
#define FREE_BITS (0xcd5ul | EFLAGS_AC | EFLAGS_ID) /* of eflags, what ring 3 may have set; not TF */

static void fill_registers(struct user_regs_struct *r, uint64_t tag)
{
    unsigned long long *const all[] = {&r->rax, &r->rbx, &r->rcx, &r->rdx, &r->rsi, &r->rdi, &r->rbp, &r->r8, &r->r9,
        &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        *all[i] = tag | i << 8;
}

static void map_attack_code(struct box *box)
{
    box_map_anonymous(box, ATTACK_CODE, ATTACK_CODE_PAGES * PAGE, ALL_RWX);
}

/* The innocent context's x87 and SSE state: not what any reset gives. */
static void innocent_begin_state(struct attacker *a)
{
    struct box *box = &a->innocent;
    uint8_t *image = (uint8_t *)&box->data[DATA_FXRSTOR];

    memset(image, 0, 512);
    *(uint16_t *)(image + FX_CONTROL) = 0x027f; /* 53 bits of precision, all exceptions masked */
    image[4] = 0xff;                            /* every register in use */
    *(uint32_t *)(image + FX_MXCSR) = 0x1fa0;   /* the precision flag is up */
    for (size_t i = FX_REGISTERS; i < FX_END; i++)
        image[i] = (uint8_t)(0x5a + i * 7);
    for (size_t i = FX_REGISTERS; i < FX_X87_END; i += 16) { /* numbers of 80 bits, and six bytes of nothing */
        *(uint16_t *)(image + i + 8) = 0x4000;
        image[i + 7] |= 0x80;
        memset(image + i + 10, 0, 6);
    }
    attack_aim(a, 0); /* the attacker, so that whoever looks at it finds it usable */
    fill_registers(&box->params.regs, 0x1110000000000000);
    aim(&box->params, sn_syscall, 0, 0);
    box->params.regs.rip = INNOCENT(innocent_set);
    assert_int_equal(polder_run_sandbox(box->fd, &box->params), 0);
    assert_int_equal(box->params.reason, POLDER_SYSCALL);
    memcpy(a->fpu, (const void *)&box->data[DATA_FXSAVE], sizeof(a->fpu));
    assert_memory_equal(a->fpu + FX_REGISTERS, image + FX_REGISTERS, FX_END - FX_REGISTERS);
}

void attacker_open(struct attacker *a)
{
    memset(a, 0, sizeof(*a));
    a->name = "setting up";
    box_open(&a->box);
    map_attack_code(&a->box);
    box_open(&a->innocent);
    map_attack_code(&a->innocent);
    const ssize_t length = innocent_end - innocent_begin;
    assert_int_equal(polder_write(a->innocent.fd, innocent_begin, (size_t)length, ATTACK_CODE), length);
    a->canary = malloc(PAGE);
    assert_non_null(a->canary);
    for (size_t i = 0; i < PAGE / 8; i++)
        a->canary[i] = 0x63616e6172790000 | i;
    /* What its segment bases lead to, and a page that only it has. */
    a->innocent.data[512] = FS_WORD;
    a->innocent.data[513] = GS_WORD;
    for (size_t i = 0; i < 512; i++)
        a->innocent.data[1024 + i] = 0x696e6e6f63650000 | i;
    innocent_begin_state(a);
    innocent_check(a);
}

void attacker_close(struct attacker *a)
{
    innocent_check(a);
    free(a->canary);
    box_close(&a->box);
    box_close(&a->innocent);
}

void attack_put(struct attacker *a, uint64_t addr, const void *bytes, size_t length)
{
    assert_int_equal(polder_write(a->box.fd, bytes, length, addr), length);
}

uint64_t attack_put_code(struct attacker *a, const void *code, size_t length)
{
    uint8_t bytes[64];

    assert_true(length <= sizeof(bytes) - 2);
    memcpy(bytes, code, length);
    bytes[length] = 0x0f;
    bytes[length + 1] = 0x0b;
    attack_put(a, ATTACK_CODE, bytes, length + 2);
    return ATTACK_CODE + length;
}

void attack_code(struct attacker *a, const void *bytes, size_t length)
{
    static uint8_t page[PAGE];

    assert_true(length <= PAGE);
    /* What the last code has left is overwritten, the rest of the page has its UD2s: where ring 0 is emulated, a page
     * takes milliseconds. */
    size_t written = a->code_length ? a->code_length : PAGE;
    if (written < length)
        written = length;
    written = written > PAGE - 2 ? PAGE : written + 2;
    for (size_t i = 0; i + 1 < written; i += 2) {
        page[(length + i) % PAGE] = 0x0f;
        page[(length + i + 1) % PAGE] = 0x0b;
    }
    memcpy(page, bytes, length);
    attack_put(a, ATTACK_CODE, page, written);
    a->code_length = length ? length : 1;
}

void attack_aim(struct attacker *a, uint64_t rip)
{
    struct polder_params *p = &a->box.params;

    fill_registers(&p->regs, 0x0abc000000000000);
    p->regs.orig_rax = UINT64_MAX;
    p->regs.rip = rip;
    p->regs.rsp = BOX_STACK + PAGE;
    p->regs.eflags = EFLAGS_IF | 2;
    p->regs.cs = 0x33;
    p->regs.ss = 0x2b;
    p->regs.fs_base = p->regs.gs_base = 0;
    p->flags = 0;
    p->deadline_ns = ATTACK_DEADLINE_NS;
}

void attack_failed(const struct attacker *a, const char *format, ...)
{
    const struct polder_params *p = &a->box.params;
    char what[160];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    fail_msg(
        "%s: %s; reason %u, vector %u, error code %#lx, fault address %#lx, rip %#llx, rsp %#llx, eflags %#llx, cs "
        "%#llx, ss %#llx, bases %#llx and %#llx, orig_rax %#llx",
        a->name, what, p->reason, p->vector, p->error_code, p->fault_addr, p->regs.rip, p->regs.rsp, p->regs.eflags,
        p->regs.cs, p->regs.ss, p->regs.fs_base, p->regs.gs_base, p->regs.orig_rax);
    __builtin_unreachable();
}

const char *report_fault(const struct polder_params *p)
{
    static const uint64_t forbidden = EFLAGS_IOPL | EFLAGS_VM | EFLAGS_VIF | EFLAGS_VIP; /* POPF sets NT */
    /* #DE #DB #BP #OF #BR #UD #NM #TS #NP #SS #GP #MF #AC #XM #CP: what ring 3 can raise. */
    static const uint32_t vectors = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 11 |
                                    1 << 12 | 1 << 13 | 1 << 16 | 1 << 17 | 1 << 19 | 1 << 21;

    if (p->reason < POLDER_SYSCALL || p->reason > POLDER_BUS)
        return "the reason is none";
    if (p->reason != POLDER_SYSCALL && p->regs.orig_rax != UINT64_MAX)
        return "orig_rax is not -1";
    if (p->reason == POLDER_SYSCALL && p->regs.rax != (uint64_t)-ENOSYS)
        return "rax is not -ENOSYS at a system call";
    /* What ended before ring 3 was entered has the registers as they were given. */
    const bool entered = p->reason <= POLDER_STEP || p->reason == POLDER_BUS;
    /* On QEMU's emulation IRET loads flags that ring 3 cannot have, and in code of 32 bits enters virtual-8086 mode. */
    if (entered && !processor_is_tcg() && (p->regs.eflags & forbidden || !(p->regs.eflags & EFLAGS_IF)))
        return "eflags are not what ring 3 can have";
    if (p->regs.cs != 0x33 && p->regs.cs != 0x23 && !processor_is_tcg())
        return "cs is not what ring 3 can have";
    if (p->reason == POLDER_PAGE_FAULT) {
        if (p->vector != 14)
            return "a page fault's vector is not 14";
        /* QEMU's emulation makes the stack accesses of ring 3's far calls and returns as ring 0. */
        if ((p->error_code & ~(uint64_t)(PF_P | PF_W | PF_I)) != PF_U && !processor_is_tcg())
            return "a page fault's error code is not one of ring 3";
        return NULL;
    }
    if (p->fault_addr && p->reason != POLDER_BUS)
        return "there is a fault address without a fault";
    if (p->reason == POLDER_STEP)
        return p->vector == 1 ? NULL : "a step's vector is not 1";
    if (p->reason == POLDER_EXCEPTION) {
        if (p->vector > 31 || !(vectors >> p->vector & 1))
            return "the vector is none that ring 3 can raise";
        bool has_code = p->vector == 17 || p->vector == 21 || (p->vector >= 10 && p->vector <= 13);
        return p->error_code && !has_code ? "there is an error code where the vector has none" : NULL;
    }
    return p->vector || p->error_code ? "there is a vector or an error code without an exception" : NULL;
}

void attack_run_only(struct attacker *a, const char *name)
{
    struct polder_params *p = &a->box.params;

    a->name = name;
    if (polder_run_sandbox(a->box.fd, p) < 0)
        attack_failed(a, "polder_run_sandbox: %s", strerror(errno));
    const char *fault = report_fault(p);
    if (fault)
        attack_failed(a, "%s", fault);
    p->regs.ss = 0x2b; /* ring 3 may have loaded another one that it can have */
}

void attack_run(struct attacker *a, const char *name)
{
    attack_run_only(a, name);
    innocent_check(a);
}

void expect_reason(const struct attacker *a, enum polder_reason reason)
{
    if (a->box.params.reason != reason)
        attack_failed(a, "wanted reason %d", reason);
}

void expect_syscall(const struct attacker *a, uint64_t rip)
{
    const struct polder_params *p = &a->box.params;

    if (p->reason != POLDER_SYSCALL || p->regs.rip != rip)
        attack_failed(a, "wanted the system call that ends at %#lx", rip);
}

void expect_fault(const struct attacker *a, uint64_t addr, uint64_t error_code, uint64_t rip)
{
    const struct polder_params *p = &a->box.params;

    if (p->reason != POLDER_PAGE_FAULT || p->fault_addr != addr || p->error_code != error_code || p->regs.rip != rip)
        attack_failed(a, "wanted a page fault at %#lx, error code %#lx, rip %#lx", addr, error_code, rip);
}

void expect_exception(const struct attacker *a, uint32_t vector, uint64_t error_code, uint64_t rip)
{
    const struct polder_params *p = &a->box.params;

    if (p->reason != POLDER_EXCEPTION || p->vector != vector || p->error_code != error_code || p->regs.rip != rip)
        attack_failed(a, "wanted exception %u, error code %#lx, rip %#lx", vector, error_code, rip);
}

void innocent_check(struct attacker *a)
{
    struct box *box = &a->innocent;
    struct polder_params *p = &box->params;
    const uint64_t round = a->innocent_runs++;

    memset((void *)box->data, 0, 1536);
    fill_registers(&p->regs, 0x1110000000000000 | round << 16);
    p->regs.rip = INNOCENT(innocent_look);
    p->regs.rsp = BOX_STACK + PAGE - 16 * (round % 8);
    p->regs.eflags = EFLAGS_IF | 2 | (round * 0x9e3779b97f4a7c15 >> 40 & FREE_BITS & ~EFLAGS_AC);
    p->regs.fs_base = BOX_DATA + PAGE;
    p->regs.gs_base = BOX_DATA + PAGE;
    struct user_regs_struct wanted = p->regs;
    if (polder_run_sandbox(box->fd, p) < 0)
        fail_msg("%s: the innocent run after it: %s", a->name, strerror(errno));
    if (p->reason != POLDER_SYSCALL || p->regs.rip != INNOCENT(innocent_look_end))
        fail_msg(
            "%s: the innocent run after it has reason %u, vector %u, error code %#lx, fault address %#lx, rip %#llx",
            a->name, p->reason, p->vector, p->error_code, p->fault_addr, p->regs.rip);
    /* As seen from inside. */
    const uint64_t seen[] = {wanted.rax, wanted.rbx, wanted.rcx, wanted.rdx, wanted.rsi, wanted.rdi, wanted.rbp,
        wanted.rsp, wanted.r8, wanted.r9, wanted.r10, wanted.r11, wanted.r12, wanted.r13, wanted.r14, wanted.r15,
        wanted.eflags, 0x33, 0x2b, FS_WORD, GS_WORD};
    for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++)
        if (box->data[i] != seen[i])
            fail_msg("%s: word %zu that the innocent run saw is %#lx, not %#lx", a->name, i, box->data[i], seen[i]);
    const uint8_t *fpu = (const uint8_t *)&box->data[DATA_FXSAVE];
    if (memcmp(fpu, a->fpu, 5) != 0 || memcmp(fpu + FX_MXCSR, a->fpu + FX_MXCSR, 4) != 0)
        fail_msg("%s: the innocent run saw x87 and SSE control words of another's", a->name);
    for (size_t i = FX_REGISTERS; i < FX_END; i++)
        if (fpu[i] != a->fpu[i])
            fail_msg("%s: byte %zu of the innocent context's x87 and SSE registers is %#x, not %#x", a->name, i, fpu[i],
                a->fpu[i]);
    /* As reported. */
    wanted.orig_rax = wanted.rax;
    wanted.rax = (uint64_t)-ENOSYS;
    wanted.rbx = FS_WORD;
    wanted.r12 = GS_WORD;
    wanted.rip = wanted.rcx = INNOCENT(innocent_look_end);
    wanted.r11 = wanted.eflags;
    const unsigned long long *got = (const void *)&p->regs, *want = (const void *)&wanted;
    for (size_t i = 0; i < sizeof(wanted) / 8; i++)
        if (got[i] != want[i])
            fail_msg("%s: word %zu of the innocent run's report is %#llx, not %#llx", a->name, i, got[i], want[i]);
    /* Memory: what only it has, and what no sandbox has. */
    for (size_t i = 0; i < 512; i++)
        if (box->data[1024 + i] != (0x696e6e6f63650000 | i) || a->canary[i] != (0x63616e6172790000 | i))
            fail_msg("%s: somebody wrote to word %zu of a page that is not the attacker's", a->name, i);
}

uint64_t odd_value(uint64_t *seed)
{
    static const uint64_t list[] = {0, 1, 7, 8, 0xfff, 0x1000, UINT32_MAX, UINT64_MAX, 0x8000000000000000,
        0x7fffffffefff, 0x7ffffffff000, 0x7fffffffffff, 0x800000000000, 0xffff7fffffffffff, 0xffff800000000000,
        0xffffc80000000000, 0xfffffe0000000000, 0xfffffe0000001000, 0xfffffe4000000000, 0xffffffff80000000, BOX_DATA,
        BOX_CODE, BOX_STACK, BOX_STACK + PAGE, BOX_DATA + PAGE - 1, ATTACK_CODE, ATTACK_CODE_END - 1};
    uint64_t n = random_next(seed);

    return n % 3 ? n : list[n / 3 % (sizeof(list) / sizeof(list[0]))];
}

#if __STDC_HOSTED__
bool ring0_is_emulated(void)
{
    return access("/sys/module/kvm_pvm", F_OK) == 0;
}

bool processor_is_tcg(void)
{
    static int answer = -1;

    if (answer < 0) {
        char line[256];
        FILE *f = fopen("/proc/cpuinfo", "re");

        answer = 0;
        while (f && fgets(line, sizeof(line), f))
            answer |= strstr(line, "QEMU") != NULL;
        if (f)
            fclose(f);
    }
    return answer;
}

int times(int native, int emulated)
{
    return scaled(ring0_is_emulated() ? emulated : native);
}
#else
bool ring0_is_emulated(void)
{
    return shim_ring0_is_emulated();
}

bool processor_is_tcg(void)
{
    return shim_processor_is_tcg();
}

int times(int native, int emulated)
{
    int n = ring0_is_emulated() ? emulated : processor_is_tcg() ? native / 4 : native;

    return n > 0 ? n : 1;
}
#endif
