/* SPDX-License-Identifier: MIT */
/*
 * Nothing is left over. One context fills all the state that ring 3 has with secrets and leaves in every way there is;
 * another one, new or old, in another space sees exactly what it would have seen alone.
 */
#include "attack.h"

#if __STDC_HOSTED__
#include <pthread.h>
#endif

extern const char hygiene_begin[], hygiene_end[], hygiene_look[], hygiene_fill[], hygiene_spin[], hygiene_nop[],
    hygiene_x87[], hygiene_zero[], hygiene_write[], hygiene_components[];
#define HYGIENE(label) (ATTACK_CODE + (uintptr_t)((label)-hygiene_begin))

/* Places in the data pages, as code_hygiene.S has them: words, and bytes of the two images. */
enum {
    WORD_COMPONENTS = 511,
    WORD_IMAGE = 512,
    WORD_X87 = 26,
    WORDS_SEEN = 768 / 8 + 2752 / 8,
    WORD_HEADER = (768 + 512) / 8
};
enum { IMAGE_MXCSR = 24, IMAGE_REGISTERS = 32, IMAGE_LEGACY_END = 416, IMAGE_HEADER = 512, IMAGE_EXTENDED = 576 };

#define SECRET 0x5ec2e75ec2e75e00ul

enum way { BY_SYSCALL, BY_FAULT, BY_EXCEPTION, BY_STEP, BY_DEADLINE, BY_KICK, WAYS };
static const uint32_t reasons[WAYS] = {
    POLDER_SYSCALL, POLDER_PAGE_FAULT, POLDER_EXCEPTION, POLDER_STEP, POLDER_DEADLINE, POLDER_KICK};

/* Two of these: who has the secrets, and who must not see them. */
struct context {
    struct box box;
    uint64_t alone[WORDS_SEEN]; /* what it saw before there were any secrets */
};

static uint8_t xstate[16384] __attribute__((aligned(64)));

#if __STDC_HOSTED__
static bool elsewhere; /* the next run is on another vCPU */

struct entry {
    struct polder_params *params;
    int fd, error;
};

static void *enter_there(void *arg)
{
    struct entry *e = arg;

    e->error = polder_run_sandbox(e->fd, e->params) < 0 ? errno : 0;
    return NULL;
}

static int enter(int fd, struct polder_params *p)
{
    struct entry e = {p, fd, 0};
    pthread_t thread;

    if (!elsewhere)
        return polder_run_sandbox(fd, p);
    assert_int_equal(pthread_create(&thread, NULL, enter_there, &e), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    errno = e.error;
    return e.error ? -1 : 0;
}
#else
#define enter polder_run_sandbox
#endif

static void run(struct polder_params *p, int fd, uint32_t reason, const char *what)
{
    p->reason = p->vector = 0x9015;
    p->error_code = p->fault_addr = SECRET;
    if (enter(fd, p) < 0)
        fail_msg("%s: polder_run_sandbox: %s", what, strerror(errno));
    const char *fault = report_fault(p);
    if (fault || p->reason != reason)
        fail_msg("%s: %s; reason %u, vector %u, rip %#llx", what, fault ? fault : "another reason was wanted",
            p->reason, p->vector, p->regs.rip);
}

/* Every register that the caller gives; tag 0: those of polder_params_init. */
static void set_registers(struct polder_params *p, uint64_t tag, const char *label)
{
    struct user_regs_struct *r = &p->regs;

    memset(r, 0, sizeof(*r));
    unsigned long long *const all[] = {&r->rax, &r->rbx, &r->rcx, &r->rdx, &r->rsi, &r->rdi, &r->rbp, &r->rsp, &r->r8,
        &r->r9, &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        *all[i] = tag ? tag + i : 0;
    r->fs_base = tag ? tag >> 17 : 0;
    r->gs_base = tag ? tag >> 18 : 0;
    r->rsp = tag ? tag >> 19 : 0; /* PVM has #UD for x87 instructions while it is not canonical */
    r->cs = 0x33;
    r->ss = 0x2b;
    r->eflags = tag ? 0x202 | 0xcd5 | EFLAGS_ID : 0x202;
    r->rip = HYGIENE(label);
    p->deadline_ns = ATTACK_DEADLINE_NS;
}

/* Takes out what may differ. */
static void look_done(struct context *c)
{
    c->box.data[WORD_HEADER] = 0; /* which components are not as reset sets them: they may be, and be stored */
    if (ring0_is_emulated()) {    /* PVM leaves ds, es, fs and gs alone */
        c->box.data[17] &= UINT32_MAX;
        c->box.data[18] = 0;
    }
}

static void look(struct context *c, struct polder_params *p, const char *what)
{
    memset((void *)c->box.data, 0, sizeof(c->alone));
    set_registers(p, 0, hygiene_look);
    run(p, c->box.fd, POLDER_SYSCALL, what);
    look_done(c);
}

static void looked_alone(struct context *c, const char *what)
{
    /* Where the processor does not load the x87 instruction's and operand's addresses (AMD without XSaveErPtr), and in
     * QEMU's emulation, they are those of a kernel's, to hide the last user's. */
    const uint32_t *x87 = (const uint32_t *)&c->box.data[WORD_X87];
    if (x87[0] == (uint32_t)HYGIENE(hygiene_x87) || x87[2] == (uint32_t)BOX_DATA + PAGE + 64)
        fail_msg("%s: the other context sees where the last x87 instruction was, and its operand", what);
    c->box.data[WORD_X87] = c->box.data[WORD_X87 + 1] = 0;
    for (size_t i = 0; i < WORDS_SEEN; i++)
        if (c->box.data[i] != c->alone[i])
            fail_msg(
                "%s: word %zu of what the other context sees is %#lx, not %#lx", what, i, c->box.data[i], c->alone[i]);
}

static void context_open(struct context *c)
{
    box_open(&c->box);
    box_map_anonymous(&c->box, ATTACK_CODE, PAGE, ALL_RWX);
    assert_int_equal(polder_write(c->box.fd, hygiene_begin, (size_t)(hygiene_end - hygiene_begin), ATTACK_CODE),
        hygiene_end - hygiene_begin);
    set_registers(&c->box.params, 0, hygiene_components);
    run(&c->box.params, c->box.fd, POLDER_SYSCALL, "which components there are");
    c->box.data[WORD_COMPONENTS] = c->box.params.regs.rbx & 0x2e7; /* no tiles: they are nobody's */
    struct polder_params p;
    polder_params_init(&p);
    look(c, &p, "alone");
    c->box.data[WORD_X87] = c->box.data[WORD_X87 + 1] = 0; /* see looked_alone */
    memcpy(c->alone, (const void *)c->box.data, sizeof(c->alone));
    polder_params_fini(&p);
}

/* All that there is: x87, SSE and every component of XSAVE but the protection keys. */
static void make_secrets(struct context *c)
{
    uint8_t *image = (uint8_t *)&c->box.data[WORD_IMAGE];

    for (size_t i = 0; i < PAGE; i++)
        image[i] = (uint8_t)(SECRET >> (i % 7 + 1) * 8);
    *(uint16_t *)image = 0x027f;
    *(uint16_t *)(image + 2) = 0x3800;
    image[4] = 0xff;
    *(uint32_t *)(image + IMAGE_MXCSR) = 0x7fbf;
    memset(image + IMAGE_HEADER, 0, IMAGE_EXTENDED - IMAGE_HEADER);
    *(uint64_t *)(image + IMAGE_HEADER) = c->box.data[WORD_COMPONENTS] & 0xe7;
}

static void fill_with_secrets(struct context *c)
{
    set_registers(&c->box.params, SECRET, hygiene_fill);
    run(&c->box.params, c->box.fd, POLDER_SYSCALL, "filling");
}

static void leave(struct context *c, enum way way, uint32_t flags)
{
    static const char *const labels[WAYS] = {NULL, NULL, NULL, hygiene_nop, hygiene_spin, hygiene_spin};
    struct polder_params *p = &c->box.params;

    set_registers(p, SECRET, hygiene_nop);
    p->regs.rip = way == BY_SYSCALL     ? SNIPPET(sn_syscall)
                  : way == BY_FAULT     ? SNIPPET(sn_load)
                  : way == BY_EXCEPTION ? SNIPPET(sn_ud2)
                                        : HYGIENE(labels[way]);
    if (way == BY_FAULT)
        p->regs.rdi = BOX_FREE;
    if (way == BY_DEADLINE)
        p->deadline_ns = 200000;
    if (way == BY_KICK)
        assert_int_equal(polder_kick(p), 0);
    p->flags = flags | (way == BY_STEP ? POLDER_SINGLE_STEP : 0);
    run(p, c->box.fd, reasons[way], "leaving");
    p->flags = 0;
}

/* What there is to find: all of it is in the registers. */
static void secrets_are_there(struct context *c)
{
    size_t found = 0;

    memset((void *)c->box.data, 0, sizeof(c->alone));
    set_registers(&c->box.params, SECRET, hygiene_look);
    run(&c->box.params, c->box.fd, POLDER_SYSCALL, "its own");
    const uint8_t *seen = (const uint8_t *)c->box.data, *extended = seen + 768 + IMAGE_EXTENDED;
    assert_memory_equal(seen + 256 + IMAGE_REGISTERS + 128, (uint8_t *)&c->box.data[WORD_IMAGE] + IMAGE_REGISTERS + 128,
        IMAGE_LEGACY_END - IMAGE_REGISTERS - 128);
    for (size_t i = 0; i < 2752 - IMAGE_EXTENDED; i++)
        found += extended[i] != 0;
    assert_true(found >= (c->box.data[WORD_COMPONENTS] & 4 ? 256 : 0));
    assert_true(found >= (c->box.data[WORD_COMPONENTS] & 0x80 ? 256 + 64 + 512 + 1024 : 0));
}

static void registers_of_another(void **state)
{
    (void)state;
    struct context secret, other;
    struct polder_params fresh;
    char what[64];

    context_open(&secret);
    context_open(&other);
    make_secrets(&secret);
    fill_with_secrets(&secret);
    secrets_are_there(&secret);
    look(&other, &other.box.params, "the old context, alone");
    looked_alone(&other, "the old context, alone");
    assert_true(polder_xstate_size() <= sizeof(xstate));
    secret.box.params.xstate = xstate;
    secret.box.params.xstate_size = sizeof(xstate);
    for (int i = 0; i < times(10, 2) * 4 * WAYS; i++) {
        const enum way way = (enum way)(i % WAYS);
        const uint32_t flags = (uint32_t)(i / WAYS % 4) * POLDER_XSTATE_LOAD;
        snprintf(what, sizeof(what), "round %d, reason %u, flags %#x", i, reasons[way], flags);
        fill_with_secrets(&secret);
        if (flags & POLDER_XSTATE_LOAD) /* the same through the caller's memory */
            leave(&secret, BY_SYSCALL, POLDER_XSTATE_STORE);
        leave(&secret, way, flags);
        if (i / 2 % 2) {
            look(&other, &other.box.params, what);
            looked_alone(&other, what);
            leave(&secret, way, 0);
        }
        polder_params_init(&fresh);
        look(&other, &fresh, what);
        looked_alone(&other, what);
        polder_params_fini(&fresh);
    }
    box_close(&secret.box);
    box_close(&other.box);
}

/* A state of the caller's that says of every component that it is as reset: nothing takes its place. */
static void states_with_nothing_in_them(void **state)
{
    (void)state;
    struct context secret, other;
    struct polder_params fresh;

    context_open(&secret);
    context_open(&other);
    make_secrets(&secret);
    memset(xstate, 0xa5, sizeof(xstate));
    memset(xstate + IMAGE_HEADER, 0, IMAGE_EXTENDED - IMAGE_HEADER);
    *(uint16_t *)xstate = 0x37f;
    *(uint32_t *)(xstate + IMAGE_MXCSR) = 0x1f80;
    for (int i = 0; i < times(20, 4); i++) {
        struct polder_params *p = i & 1 ? &fresh : &other.box.params;
        polder_params_init(&fresh);
        fill_with_secrets(&secret);
        p->xstate = xstate;
        p->xstate_size = sizeof(xstate);
        p->flags = POLDER_XSTATE_LOAD;
        look(&other, p, "a state with nothing in it");
        looked_alone(&other, "a state with nothing in it");
        polder_params_fini(&fresh);
    }
    box_close(&secret.box);
    box_close(&other.box);
}

#if __STDC_HOSTED__
/* The same where each run is on one or the other of two vCPUs, so that state moves between them. */
static void on_two_vcpus(void **state)
{
    (void)state;
    struct context secret, other;
    struct polder_params fresh;
    uint64_t seed = 1 << 17;

    context_open(&secret);
    context_open(&other);
    make_secrets(&secret);
    for (int i = 0; i < scaled(400); i++) {
        elsewhere = random_next(&seed) % 2;
        fill_with_secrets(&secret);
        if (random_next(&seed) % 2) {
            elsewhere = random_next(&seed) % 2;
            leave(&secret, random_next(&seed) % WAYS, 0);
        }
        elsewhere = random_next(&seed) % 2;
        secrets_are_there(&secret);
        polder_params_init(&fresh);
        struct polder_params *p = random_next(&seed) % 2 ? &fresh : &other.box.params;
        elsewhere = random_next(&seed) % 2;
        look(&other, p, "one of two vCPUs");
        looked_alone(&other, "one of two vCPUs");
        elsewhere = !elsewhere;
        look(&other, p, "the other of two vCPUs");
        looked_alone(&other, "the other of two vCPUs");
        polder_params_fini(&fresh);
    }
    elsewhere = false;
    box_close(&secret.box);
    box_close(&other.box);
}

/* What the calling thread has in its registers, which a kernel has none of. */
static void registers_of_the_caller(void **state)
{
    (void)state;
    static uint8_t mine[PAGE] __attribute__((aligned(64))), image[PAGE] __attribute__((aligned(64)));
    struct context other;
    struct polder_params fresh;

    context_open(&other);
    make_secrets(&other);
    memcpy(image, (const void *)&other.box.data[WORD_IMAGE], PAGE);
    *(uint32_t *)(image + IMAGE_MXCSR) = 0x1f80;
    const uint32_t components = (uint32_t)other.box.data[WORD_COMPONENTS] & 0xe7;
    if (!components) {
        print_message("needs a processor with XSAVE\n");
        skip();
    }
    for (int i = 0; i < times(200, 200); i++) {
        struct polder_params *p = i & 1 ? &fresh : &other.box.params;
        polder_params_init(&fresh);
        memset((void *)other.box.data, 0, sizeof(other.alone));
        set_registers(p, 0, hygiene_look);
        __asm__ volatile("xsave64 %0\n\txrstor64 %1" : "+m"(mine) : "m"(image), "a"(components), "d"(0));
        const int result = polder_run_sandbox(other.box.fd, p);
        __asm__ volatile("xrstor64 %0" : : "m"(mine), "a"(components), "d"(0));
        assert_int_equal(result, 0);
        look_done(&other);
        looked_alone(&other, "after the caller has filled its own registers");
        polder_params_fini(&fresh);
    }
    box_close(&other.box);
}
#endif

static void run_words(struct context *c, const char *label, uint64_t at, size_t length, const char *what)
{
    struct polder_params *p = &c->box.params;

    set_registers(p, SECRET, label);
    p->regs.eflags = 0x202;
    p->regs.rdi = at;
    p->regs.rcx = length / 8;
    p->deadline_ns = 0; /* a thousand faults take long where ring 0 is emulated */
    p->reason = 0;
    assert_int_equal(polder_run_sandbox(c->box.fd, p), 0);
    if (p->reason == POLDER_EXCEPTION && p->vector == 6)
        fail_msg("%s: the word at %#llx of a new page is not zero", what, p->regs.rdi - 8);
    if (p->reason != POLDER_SYSCALL)
        fail_msg("%s: reason %u, vector %u, address %#lx", what, p->reason, p->vector, p->fault_addr);
}

enum page_kind { OF_ONE, SHARED, OF_A_FILE, PAGE_KINDS };
enum page_end { UNMAPPED, MAPPED_OVER, IN_ONE_GO, SPACE_CLOSED, COPIED_FIRST, PAGE_ENDS };

static int flags_of(enum page_kind kind)
{
    return MAP_FIXED | (kind == OF_ONE ? ANONYMOUS : kind == SHARED ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED);
}

static int file_of(enum page_kind kind, size_t length)
{
    int fd = -1;

    if (kind == OF_A_FILE) {
        fd = memfd_create("pages", MFD_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, (off_t)length), 0);
    }
    return fd;
}

static void close_file(int fd)
{
    if (fd >= 0)
        assert_int_equal(close(fd), 0);
}

static void unmap(struct context *c, size_t length)
{
    assert_int_equal(polder_munmap((void *)BOX_FREE, length, c->box.fd), 0);
}

static void one_after_the_other(struct box *box, size_t length, int flags, int fd)
{
    const struct polder_op ops[] = {
        {.code = POLDER_OP_MUNMAP, .start = (void *)BOX_FREE, .length = length},
        {.code = POLDER_OP_MMAP, .prot = RW, .flags = flags, .src_fd = fd, .start = (void *)BOX_FREE, .length = length},
    };

    assert_int_equal(polder_apply(box->fd, ops, 2), 0);
}

/* Pages that were another's, or one's own in another mapping, come without what was in them. */
static void pages_of_another(void **state)
{
    (void)state;
    static const size_t lengths[] = {PAGE, 16 * PAGE, HUGE_PAGE + PAGE, 2 * HUGE_PAGE};
    struct context before, after;
    uint64_t seed = 2002;

    context_open(&after);
    context_open(&before);
    for (int i = 0; i < times(400, __STDC_HOSTED__ ? 400 : 20); i++) {
        const enum page_end end = (enum page_end)(random_next(&seed) % PAGE_ENDS);
        const enum page_kind old = random_next(&seed) % PAGE_KINDS, new = random_next(&seed) % PAGE_KINDS;
        const size_t length = lengths[i % 20 == 7 ? 2 : i % 20 == 17 ? 3 : random_next(&seed) % 2];
        struct context *c = random_next(&seed) % 2 || end == IN_ONE_GO ? &before : &after;
        char what[64];
        snprintf(what, sizeof(what), "round %d, way %d, %d to %d, %zu pages", i, end, old, new, length / PAGE);
        int file = file_of(old, length);
        box_map(&before.box, BOX_FREE, length, RW, flags_of(old), file, 0);
        run_words(&before, hygiene_write, BOX_FREE, length, what);
        close_file(file);
        if (end == COPIED_FIRST) {
            int copy = polder_copy(before.box.fd);
            assert_true(copy >= 0);
            run_words(&before, hygiene_write, BOX_FREE, length / 2, what);
            close(copy);
        }
        if (end == SPACE_CLOSED) {
            box_close(&before.box);
            context_open(&before);
        } else if (end == UNMAPPED || end == COPIED_FIRST) {
            unmap(&before, length);
        }
        file = file_of(new, length);
        if (end == IN_ONE_GO)
            one_after_the_other(&c->box, length, flags_of(new), file);
        else
            box_map(&c->box, BOX_FREE, length, RW, flags_of(new), file, 0);
        close_file(file);
        run_words(c, hygiene_zero, BOX_FREE, length, what);
        unmap(c, length);
        if (end == MAPPED_OVER && c == &after)
            unmap(&before, length);
    }
    box_close(&before.box);
    box_close(&after.box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers_of_another),
        cmocka_unit_test(states_with_nothing_in_them),
#if __STDC_HOSTED__
        cmocka_unit_test(on_two_vcpus),
        cmocka_unit_test(registers_of_the_caller),
#endif
        cmocka_unit_test(pages_of_another),
    };
    return RUN_GROUP("hostile: hygiene", tests);
}
