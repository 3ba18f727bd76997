/* SPDX-License-Identifier: MIT */
#include "sandbox.h"

#if __STDC_HOSTED__
#include <dirent.h>
#else
#include <polder/resident.h>
#endif

/* One file for the code of all boxes: a page of a file that is known already is the common case. */
static int code_file(void)
{
    static int fd = -1;
    static pid_t owner;

    if (fd < 0 || owner != getpid()) {
        fd = memfd_create("snippets", MFD_CLOEXEC);
        assert_true(fd >= 0);
        size_t length = (size_t)(snippets_end - snippets_begin);
        assert_true(length <= PAGE);
        assert_int_equal(write(fd, snippets_begin, length), length);
        assert_int_equal(ftruncate(fd, PAGE), 0);
        owner = getpid();
    }
    return fd;
}

static void map_fixed(int space, uint64_t addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    void *got = polder_mmap((void *)addr, length, prot, flags | MAP_FIXED, fd, offset, space);
    if (got == MAP_FAILED)
        fail_msg("polder_mmap(%#lx, %#zx, %#x, %#x): %s", addr, length, prot, flags, strerror(errno));
    assert_ptr_equal(got, (void *)addr);
}

void fill_space(int fd, int data_fd)
{
    map_fixed(fd, BOX_CODE, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, code_file(), 0);
    map_fixed(fd, BOX_DATA, BOX_DATA_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, data_fd, 0);
    map_fixed(fd, BOX_STACK, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

void box_open(struct box *box)
{
    box->fd = polder_open("/proc/mm");
    if (box->fd < 0)
        fail_msg("polder_open: %s", strerror(errno));
    box->data_fd = memfd_create("data", MFD_CLOEXEC);
    assert_true(box->data_fd >= 0);
    assert_int_equal(ftruncate(box->data_fd, BOX_DATA_PAGES * PAGE), 0);
    void *view = mmap(NULL, BOX_DATA_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, box->data_fd, 0);
    assert_ptr_not_equal(view, MAP_FAILED);
    box->data = view;
    fill_space(box->fd, box->data_fd);
    polder_params_init(&box->params);
}

void box_close(struct box *box)
{
    polder_params_fini(&box->params);
    assert_int_equal(close(box->fd), 0);
    assert_int_equal(close(box->data_fd), 0);
    assert_int_equal(munmap((void *)box->data, BOX_DATA_PAGES * PAGE), 0);
}

void aim(struct polder_params *params, const char *snippet, uint64_t rdi, uint64_t rsi)
{
    params->regs.rip = SNIPPET(snippet);
    params->regs.rsp = BOX_STACK + PAGE;
    params->regs.rdi = rdi;
    params->regs.rsi = rsi;
    params->regs.eflags = EFLAGS_IF | 2;
}

uint32_t box_run(struct box *box, const char *snippet, uint64_t rdi, uint64_t rsi)
{
    aim(&box->params, snippet, rdi, rsi);
    if (polder_run_sandbox(box->fd, &box->params) < 0)
        fail_msg("polder_run_sandbox: %s", strerror(errno));
    return box->params.reason;
}

static void wrong_reason(const struct box *box, const char *wanted)
{
    const struct polder_params *p = &box->params;

    fail_msg("wanted %s, got reason %u vector %u error code %#lx fault address %#lx rip %#llx orig_rax %#llx", wanted,
        p->reason, p->vector, p->error_code, p->fault_addr, p->regs.rip, p->regs.orig_rax);
}

void box_syscall(struct box *box, const char *snippet, uint64_t rdi, uint64_t rsi)
{
    if (box_run(box, snippet, rdi, rsi) != POLDER_SYSCALL)
        wrong_reason(box, "a system call");
    assert_int_equal(box->params.vector, 0);
    assert_int_equal(box->params.fault_addr, 0);
}

void box_fault(struct box *box, const char *snippet, uint64_t rdi, uint64_t rsi, uint64_t addr, uint64_t error_code)
{
    const struct polder_params *p = &box->params;

    if (box_run(box, snippet, rdi, rsi) != POLDER_PAGE_FAULT)
        wrong_reason(box, "a page fault");
    assert_int_equal(p->vector, 14);
    if (p->fault_addr != addr || p->error_code != error_code)
        fail_msg(
            "page fault at %#lx, error code %#lx; wanted %#lx, %#lx", p->fault_addr, p->error_code, addr, error_code);
    assert_int_equal(p->regs.orig_rax, -1);
}

void box_exception(
    struct box *box, const char *snippet, uint64_t rdi, uint32_t vector, uint64_t error_code, uint64_t rip)
{
    const struct polder_params *p = &box->params;

    if (box_run(box, snippet, rdi, 0) != POLDER_EXCEPTION)
        wrong_reason(box, "an exception");
    if (p->vector != vector || p->error_code != error_code || p->regs.rip != rip)
        fail_msg("exception %u, error code %#lx, rip %#llx; wanted %u, %#lx, %#lx", p->vector, p->error_code,
            p->regs.rip, vector, error_code, rip);
    assert_int_equal(p->fault_addr, 0);
    assert_int_equal(p->regs.orig_rax, -1);
}

void box_bus(struct box *box, const char *snippet, uint64_t rdi, uint64_t addr)
{
    if (box_run(box, snippet, rdi, 0) != POLDER_BUS)
        wrong_reason(box, "BUS");
    assert_int_equal(box->params.fault_addr, addr);
    assert_int_equal(box->params.regs.orig_rax, -1);
}

uint64_t box_load(struct box *box, uint64_t addr)
{
    box_syscall(box, sn_load, addr, 0);
    return box->params.regs.rbx;
}

void box_store(struct box *box, uint64_t addr, uint64_t value)
{
    box_syscall(box, sn_store, addr, value);
}

void box_map(struct box *box, uint64_t addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    map_fixed(box->fd, addr, length, prot, flags, fd, offset);
}

void box_map_anonymous(struct box *box, uint64_t addr, size_t length, int prot)
{
    map_fixed(box->fd, addr, length, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int make_file(size_t pages, uint64_t tag)
{
    int fd = memfd_create("file", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)(pages * PAGE)), 0);
    for (size_t i = 0; i < pages; i++)
        set_file_word(fd, (off_t)(i * PAGE), tag + i);
    return fd;
}

uint64_t file_word(int fd, off_t offset)
{
    uint64_t value;

    assert_int_equal(pread(fd, &value, sizeof(value), offset), sizeof(value));
    return value;
}

void set_file_word(int fd, off_t offset, uint64_t value)
{
    assert_int_equal(pwrite(fd, &value, sizeof(value), offset), sizeof(value));
}

#if __STDC_HOSTED__
size_t own_rss(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long size, resident;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &size, &resident), 2);
    fclose(f);
    return resident * PAGE;
}

static size_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    size_t n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

size_t own_descriptors(void)
{
    return count_entries("/proc/self/fd");
}

size_t own_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    size_t n = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        char path[300], name[32] = "";
        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        FILE *f = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
        if (!f)
            continue;
        if (fgets(name, sizeof(name), f))
            n += strncmp(name, "kvm", 3) != 0;
        fclose(f);
    }
    closedir(dir);
    return n;
}

size_t own_mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "re");
    size_t n = 0;
    int c;

    assert_non_null(f);
    while ((c = getc(f)) != EOF)
        n += c == '\n';
    fclose(f);
    return n;
}

#else /* a kernel: all of its memory, and its descriptors; nothing else of it can be counted */
size_t own_rss(void)
{
    return polder_memory_used();
}

size_t own_descriptors(void)
{
    size_t n = 0;

    for (int fd = 0; fd < 2048; fd++) {
        int copy = polder_dup(fd);
        if (copy >= 0) {
            polder_close(copy);
            n++;
        }
    }
    return n;
}

size_t own_threads(void)
{
    return 0;
}

size_t own_mappings(void)
{
    return 0;
}
#endif

uint64_t random_next(uint64_t *seed) /* xorshift64* */
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1dull;
}

void random_delay(uint64_t *seed, unsigned most)
{
    for (unsigned n = (unsigned)(random_next(seed) >> 33) % most; n > 0; n--)
        __asm__ volatile("pause");
}

static int scale(void)
{
    const char *value = getenv("POLDER_TEST_SCALE");
#if __STDC_HOSTED__
    int n = value ? atoi(value) : 1;
#else /* where ring 0 is emulated it is slow; where the whole machine is, not so very */
    int n = value ? atoi(value) : shim_ring0_is_emulated() ? 40 : shim_processor_is_tcg() ? 8 : 1;
#endif

    return n > 0 ? n : 1;
}

int scaled(int n)
{
    int fewer = n / scale();

    return fewer >= 8 ? fewer : n < 8 ? n : 8;
}

static int start_clock(void **state)
{
    (void)state;
    alarm(scale() > 1 ? 3 * TEST_SECONDS : TEST_SECONDS);
    return 0;
}

int run_group(const char *name, const struct CMUnitTest *tests, size_t count)
{
#if __STDC_HOSTED__
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        printf("%s: not run, /dev/kvm: %s\n", name, strerror(errno));
        return 77;
    }
    close(fd);
#endif

    struct CMUnitTest timed[count];
    memcpy(timed, tests, sizeof(timed));
    for (size_t i = 0; i < count; i++) {
        assert_null(timed[i].setup_func);
        timed[i].setup_func = start_clock;
    }
    return _cmocka_run_group_tests(name, timed, count, NULL, NULL) != 0;
}
