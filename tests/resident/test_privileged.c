/* SPDX-License-Identifier: MIT */
/*
 * What ring 3 can do to the memory of the kernel above it: nothing. Its image, its mappings, the direct map, the vCPUs'
 * areas are read, written, jumped into and prefetched. Each attempt is a page fault with exactly the error code that
 * polder.h promises, and what is there stays. tests/hostile/test_privileged.c has more ways, and the lower half.
 */
#include "kernel.h"

static const uint64_t at = BOX_FREE;

static uint64_t in_data = 0x1111;
static uint64_t in_bss[1024];
static const uint64_t in_rodata = 0x2222;

static void run(struct box *box, uint64_t rip)
{
    box->params.regs.rip = rip;
    box->params.regs.rsp = BOX_STACK + PAGE;
    if (polder_run_sandbox(box->fd, &box->params) < 0)
        fail_msg("polder_run_sandbox: %s", strerror(errno));
}

static void is_fault(const struct box *box, uint64_t address, uint64_t code, const char *what)
{
    const struct polder_params *p = &box->params;

    if (p->reason != POLDER_PAGE_FAULT || p->fault_addr != address || p->error_code != code || p->vector != 14)
        fail_msg("%s: reason %u, vector %u, address %#lx, error code %#lx; not %#lx, %#lx", what, p->reason, p->vector,
            p->fault_addr, p->error_code, address, code);
}

/* Everything that ring 3 can try with an address; present is PF_P if it is mapped in the space. */
static void try_all(struct box *box, uint64_t address, uint64_t present)
{
    struct user_regs_struct *r = &box->params.regs;

    box_fault(box, sn_load, address, 0, address, present | PF_U);
    assert_int_equal(r->rip, SNIPPET(sn_load));
    box_fault(box, sn_load_byte, address, 0, address, present | PF_U);
    box_fault(box, sn_store, address, 0xbad, address, present | PF_U | PF_W);
    assert_int_equal(r->rip, SNIPPET(sn_store));
    box_fault(box, sn_store_byte, address, 0xbad, address, present | PF_U | PF_W);
    box_fault(box, sn_lock_count, address, 0, address, present | PF_U | PF_W);
    /* What is prefetched is not touched: no fault. */
    r->rdi = address;
    run(box, CODE(code_prefetch));
    assert_int_equal(box->params.reason, POLDER_SYSCALL);
    /* String instructions, from there and to there. */
    r->rsi = address;
    r->rdi = BOX_DATA;
    r->rcx = 64;
    box->data[0] = 77;
    run(box, CODE(code_copy));
    is_fault(box, address, present | PF_U, "rep movsb from it");
    assert_int_equal(box->data[0], 77);
    assert_int_equal(r->rcx, 64);
    r->rdi = address;
    r->rcx = 64;
    run(box, CODE(code_fill));
    is_fault(box, address, present | PF_U | PF_W, "rep stosb to it");
    /* As the stack, and as a segment's base. */
    aim(&box->params, sn_push, 0, 0);
    r->rsp = address + 8;
    assert_int_equal(polder_run_sandbox(box->fd, &box->params), 0);
    is_fault(box, address, present | PF_U | PF_W, "push");
    aim(&box->params, sn_load_fs, 0, 0);
    r->fs_base = address;
    assert_int_equal(polder_run_sandbox(box->fd, &box->params), 0);
    is_fault(box, address, present | PF_U, "through fs");
    r->fs_base = 0;
}

/* To jump there, and to start a run there. */
static void try_jump(struct box *box, uint64_t address, uint64_t present)
{
    box_fault(box, sn_jump, address, 0, address, present | PF_U | PF_I);
    assert_int_equal(box->params.regs.rip, address);
    run(box, address);
    is_fault(box, address, present | PF_U | PF_I, "a run that begins there");
    assert_int_equal(box->params.regs.rip, address);
}

static void open_box(struct box *box)
{
    box_open(box);
    map_code(box->fd);
}

/* ---------------------------------------------------------------- the upper half */

struct tables {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

static void the_upper_half(void **state)
{
    (void)state;
    struct box box;
    struct tables idtr, gdtr;
    uint64_t *mapped = polder_mmap(NULL, 4 * PAGE, ALL_RWX | POLDER_PRIVILEGED, ANONYMOUS, -1, 0, -1);
    int memory = make_file(2, 0x5ec4e7);
    uint64_t *direct = polder_file_page(memory, 0), on_stack = 0x3333;

    __asm__ volatile("sidt %0" : "=m"(idtr));
    __asm__ volatile("sgdt %0" : "=m"(gdtr));
    assert_ptr_not_equal(mapped, MAP_FAILED);
    mapped[0] = 0x4444;
    const uint64_t area = idtr.base - AREA_IDT;
    const struct {
        const char *what;
        uint64_t address;
        bool watched; /* what is there must not change */
    } places[] = {
        {"text", (uint64_t)&the_upper_half, true},
        {"rodata", (uint64_t)&in_rodata, true},
        {"data", (uint64_t)&in_data, true},
        {"bss", (uint64_t)&in_bss[500], true},
        {"the stack", (uint64_t)&on_stack, true},
        {"the image's first page", BOOT_IMAGE_MIN, true},
        {"a mapping of the kernel's", (uint64_t)mapped, true},
        {"the page below it", (uint64_t)mapped - PAGE, false},
        {"the page above it", (uint64_t)mapped + 4 * PAGE, false},
        {"the direct map: a page that is mapped elsewhere", (uint64_t)direct, true},
        {"the direct map: the same block of 2 MiB", (uint64_t)direct & ~(HUGE_PAGE - 1), false},
        {"the direct map: page tables", POLDER_DIRECT_BASE + (read_cr3() & ~0xffful), true},
        {"the direct map: the device tree", (uint64_t)polder_device_tree(), true},
        {"the direct map's beginning", POLDER_DIRECT_BASE, false},
        {"the direct map of the image", POLDER_DIRECT_BASE + BOOT_RAM_BASE, false},
        {"the IDT", idtr.base + 14 * 16, true},
        {"the GDT", gdtr.base + 16, true},
        {"the TSS", area + AREA_DATA + DATA_TSS + 8, true},
        {"the data page", area + AREA_DATA, false},
        {"the stacks", area + STACK_TRAP_TOP - 8, false},
        {"the first handlers", area + AREA_EARLY, true},
        {"struct cpu", area + AREA_KERNEL, false},
        {"the entry", area + AREA_CODE, true},
        {"the next vCPU's area", area + AREA_STRIDE, false},
        {"the last page", 0xfffffffffffff000, false},
        {"the last byte but seven", 0xfffffffffffffff8, false},
        {"the beginning", 0xffff800000000000, false},
    };
    open_box(&box);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        uint64_t address = places[i].address, before = places[i].watched ? *(volatile uint64_t *)address : 0;
        try_all(&box, address, 0); /* polder.h: nothing up there is mapped in the space */
        try_jump(&box, address, 0);
        if (places[i].watched && *(volatile uint64_t *)address != before)
            fail_msg("%s has changed", places[i].what);
        assert_errno(polder_read(box.fd, &before, 8, address), EFAULT);
        assert_errno(polder_write(box.fd, &before, 8, address), EFAULT);
        assert_int_equal(mapped[0], 0x4444);
        assert_int_equal(on_stack, 0x3333);
    }
    assert_ok(polder_munmap(mapped, 4 * PAGE, -1));
    close(memory);
    box_close(&box);
}

/* ---------------------------------------------------------------- what the kernel has of it */

/* Privileged memory of the kernel's own is there whatever space ran last; so is its lower half. */
static void usable_in_every_space(void **state)
{
    (void)state;
    enum { SPACES = 6 };
    struct box boxes[SPACES];
    volatile uint64_t *upper, *lower = NULL;
    uint64_t seed = 9;

    upper = polder_mmap(NULL, 8 * PAGE, RW | POLDER_PRIVILEGED, ANONYMOUS, -1, 0, -1);
    assert_ptr_not_equal(upper, MAP_FAILED);
    for (int i = 0; i < SPACES; i++) {
        box_open(&boxes[i]);
        box_map_anonymous(&boxes[i], at, PAGE, RW);
    }
    for (int with_lower = 0; with_lower < 2; with_lower++) {
        if (with_lower) { /* at the very address that the spaces use */
            lower = polder_mmap((void *)at, 8 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0, -1);
            assert_ptr_equal(lower, (void *)at);
        }
        for (int round = 0; round < times(2000, 100); round++) {
            struct box *box = &boxes[random_next(&seed) % SPACES];
            uint64_t word = random_next(&seed), page = random_next(&seed) % 8;
            upper[page * 512] = word;
            if (with_lower)
                lower[page * 512] = word + 1;
            if (round % 3 == 0)
                box_fault(box, sn_load, (uint64_t)(upper + page * 512), 0, (uint64_t)(upper + page * 512), PF_U);
            else
                box_store(box, at, word + 2);
            assert_int_equal(upper[page * 512], word);
            if (with_lower)
                assert_int_equal(lower[page * 512], word + 1);
            if (round % 3)
                assert_int_equal(box_load(box, at), word + 2);
        }
    }
    /* Mapped while another space is loaded: there at once, and gone at once for nobody but the kernel. */
    for (int i = 0; i < 20; i++) {
        box_syscall(&boxes[i % SPACES], sn_syscall, 0, 0);
        volatile uint64_t *more = polder_mmap(NULL, PAGE << i % 8, RW | POLDER_PRIVILEGED, ANONYMOUS, -1, 0, -1);
        assert_ptr_not_equal(more, MAP_FAILED);
        more[(PAGE << i % 8) / 8 - 1] = 4;
        box_fault(&boxes[i % SPACES], sn_load, (uint64_t)more, 0, (uint64_t)more, PF_U);
        assert_int_equal(more[0], 0);
        assert_ok(polder_munmap((void *)more, PAGE << i % 8, -1));
    }
    assert_ok(polder_munmap((void *)lower, 8 * PAGE, -1));
    assert_ok(polder_munmap((void *)upper, 8 * PAGE, -1));
    for (int i = 0; i < SPACES; i++)
        box_close(&boxes[i]);
}

/* Ring 3 of the kernel's own space: the lower half is the kernel's and its own, what is privileged is not there. */
static void the_kernels_own_space(void **state)
{
    (void)state;
    struct box own = {.fd = polder_open("/proc/self/mm"), .data_fd = polder_memory_create(BOX_DATA_PAGES * PAGE)};

    assert_true(own.fd >= 0);
    own.data = mmap(NULL, BOX_DATA_PAGES * PAGE, RW, MAP_SHARED, own.data_fd, 0);
    polder_params_init(&own.params);
    fill_space(own.fd, own.data_fd);
    map_code(own.fd);
    volatile uint64_t *shared = polder_mmap((void *)at, 4 * PAGE, ALL_RWX, ANONYMOUS | MAP_FIXED, -1, 0, -1);
    assert_ptr_equal(shared, (void *)at);
    /* No step between the two: what one writes the other reads. */
    for (uint64_t i = 0; i < 64; i++) {
        shared[i * 16] = i;
        assert_int_equal(box_load(&own, at + i * 128), i);
        box_store(&own, at + i * 128, i + 1000);
        assert_int_equal(shared[i * 16], i + 1000);
    }
    assert_ok(polder_mprotect((void *)(at + PAGE), PAGE, POLDER_PRIVILEGED, -1));
    assert_ok(polder_mprotect((void *)(at + 2 * PAGE), PAGE, RW | POLDER_PRIVILEGED, -1));
    for (uint64_t page = 1; page < 3; page++) {
        shared[page * 512] = 5;
        try_all(&own, at + page * PAGE, PF_P);
        try_jump(&own, at + page * PAGE, PF_P);
        assert_int_equal(shared[page * 512], 5);
    }
    uint64_t *hidden = polder_mmap(NULL, PAGE, ALL_RWX | POLDER_PRIVILEGED, ANONYMOUS, -1, 0, -1);
    hidden[0] = 6;
    try_all(&own, (uint64_t)hidden, 0);
    try_jump(&own, (uint64_t)hidden, 0);
    try_all(&own, (uint64_t)&in_data, 0);
    try_jump(&own, (uint64_t)&the_kernels_own_space, 0);
    assert_int_equal(hidden[0], 6);
    assert_int_equal(in_data, 0x1111);
    assert_ok(polder_munmap(hidden, PAGE, -1));
    assert_ok(polder_munmap((void *)shared, 4 * PAGE, -1));
    assert_ok(polder_munmap((void *)KERNEL_CODE, 2 * PAGE, -1));
    assert_ok(polder_munmap((void *)BOX_CODE, PAGE, -1));
    assert_ok(polder_munmap((void *)BOX_DATA, BOX_DATA_PAGES * PAGE, -1));
    assert_ok(polder_munmap((void *)BOX_STACK, PAGE, -1));
    box_close(&own);
}

/* What the kernel maps for itself: which calls are mistakes. */
static void mistakes_with_the_upper_half(void **state)
{
    (void)state;
    int memory = make_file(2, 7), space = polder_open("/proc/mm");
    void *p = (void *)0xfffffe6000000000;

    assert_errno(polder_mmap(p, PAGE, RW | POLDER_PRIVILEGED, ANONYMOUS | MAP_FIXED, -1, 0, -1), EINVAL);
    assert_errno(polder_mmap(NULL, 0, RW | POLDER_PRIVILEGED, ANONYMOUS, -1, 0, -1), EINVAL);
    assert_errno(polder_mmap(NULL, PAGE, RW | POLDER_PRIVILEGED, MAP_SHARED, 1000, 0, -1), EBADF);
    assert_errno(polder_mmap(NULL, PAGE, RW | POLDER_PRIVILEGED, MAP_SHARED, space, 0, -1), ENODEV);
    assert_errno(polder_mmap(NULL, PAGE, RW | POLDER_PRIVILEGED, MAP_SHARED, memory, 1, -1), EINVAL);
    assert_errno(polder_mmap(NULL, 3 * PAGE, RW | POLDER_PRIVILEGED, MAP_SHARED, memory, 0, -1), ENXIO);
    assert_errno(polder_mmap(NULL, SIZE_MAX, RW | POLDER_PRIVILEGED, ANONYMOUS, -1, 0, -1), ENOMEM);
    assert_errno(polder_mmap(NULL, 1ul << 46, RW | POLDER_PRIVILEGED, ANONYMOUS, -1, 0, -1), ENOMEM);
    assert_errno(polder_munmap(p, PAGE, -1), EINVAL);
    assert_errno(polder_munmap((void *)&in_bss, PAGE, -1), EINVAL);
    assert_errno(polder_munmap((void *)POLDER_DIRECT_BASE, PAGE, -1), EINVAL);
    assert_errno(polder_munmap((void *)POLDER_STUB_BASE, PAGE, -1), EINVAL);
    assert_errno(polder_mprotect((void *)BOOT_IMAGE_MIN, PAGE, RW, -1), EINVAL);
    char *good = polder_mmap(NULL, 2 * PAGE, RW | POLDER_PRIVILEGED, MAP_SHARED, memory, 0, -1);
    assert_ptr_not_equal(good, MAP_FAILED);
    assert_int_equal(*(uint64_t *)(good + PAGE), 8);
    assert_errno(polder_munmap(good + 1, PAGE, -1), EINVAL);
    assert_errno(polder_munmap(good, 3 * PAGE, -1), EINVAL);
    assert_errno(polder_munmap(good, 0, -1), EINVAL);
    assert_errno(polder_mmap(good, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0, space), ENOMEM); /* as mmap(2) up there */
    /* Half of it, and the other half is still there. */
    assert_ok(polder_munmap(good, PAGE, -1));
    assert_int_equal(*(uint64_t *)(good + PAGE), 8);
    assert_errno(polder_munmap(good, PAGE, -1), EINVAL);
    assert_ok(polder_munmap(good + PAGE, PAGE, -1));
    close(memory);
    close(space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_upper_half),
        cmocka_unit_test(usable_in_every_space),
        cmocka_unit_test(the_kernels_own_space),
        cmocka_unit_test(mistakes_with_the_upper_half),
    };
    return RUN_GROUP("privileged", tests);
}
