/* SPDX-License-Identifier: MIT */
/*
 * "/proc/self/mm": the sandbox is in the test's own memory, at the test's own addresses. The snippets run where the
 * linker put them. And "/proc/<pid>/mm" of a foreign process, which is a snapshot.
 */
#include "sandbox.h"

#include <pthread.h>
#if __STDC_HOSTED__
#include <elf.h>
#include <link.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#endif

#define RW (PROT_READ | PROT_WRITE)

struct self {
    int fd;
    char *stack; /* 16 pages */
    char *code;  /* the snippets: ring 3 can execute them where they are, but not if the program is a kernel */
    struct polder_params params;
};

static void self_open(struct self *self)
{
    self->fd = polder_open("/proc/self/mm");
    if (self->fd < 0)
        fail_msg("polder_open: %s", strerror(errno));
    self->stack = mmap(NULL, 16 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(self->stack, MAP_FAILED);
    self->code = (char *)snippets_begin;
#if !__STDC_HOSTED__
    self->code = mmap(NULL, PAGE, ALL_RWX, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(self->code, MAP_FAILED);
    memcpy(self->code, snippets_begin, (size_t)(snippets_end - snippets_begin));
#endif
    polder_params_init(&self->params);
}

static void self_close(struct self *self)
{
    polder_params_fini(&self->params);
    assert_int_equal(close(self->fd), 0);
    assert_int_equal(munmap(self->stack, 16 * PAGE), 0);
#if !__STDC_HOSTED__
    assert_int_equal(munmap(self->code, PAGE), 0);
#endif
}

static uint32_t self_run(struct self *self, const void *code, uint64_t rdi, uint64_t rsi)
{
    self->params.regs.rip = (uint64_t)self->code + ((uint64_t)code - (uint64_t)snippets_begin);
    self->params.regs.rsp = (uint64_t)self->stack + 16 * PAGE;
    self->params.regs.rdi = rdi;
    self->params.regs.rsi = rsi;
    self->params.regs.eflags = EFLAGS_IF | 2;
    if (polder_run_sandbox(self->fd, &self->params) < 0)
        fail_msg("polder_run_sandbox: %s", strerror(errno));
    return self->params.reason;
}

static uint64_t self_load(struct self *self, const volatile void *at)
{
    uint32_t reason = self_run(self, sn_load, (uint64_t)at, 0);

    if (reason != POLDER_SYSCALL)
        fail_msg("load from %p: reason %u, fault address %#lx, error code %#lx", (const void *)at, reason,
            self->params.fault_addr, self->params.error_code);
    return self->params.regs.rbx;
}

static void self_store(struct self *self, volatile void *at, uint64_t value)
{
    uint32_t reason = self_run(self, sn_store, (uint64_t)at, value);

    if (reason != POLDER_SYSCALL)
        fail_msg("store to %p: reason %u, fault address %#lx, error code %#lx", (void *)at, reason,
            self->params.fault_addr, self->params.error_code);
}

static void self_fault(struct self *self, const char *snippet, const volatile void *at, uint64_t error_code)
{
    uint32_t reason = self_run(self, snippet, (uint64_t)at, 0);

    if (reason != POLDER_PAGE_FAULT || self->params.fault_addr != (uint64_t)at || self->params.error_code != error_code)
        fail_msg("%p: reason %u, fault address %#lx, error code %#lx, not %#lx", (const void *)at, reason,
            self->params.fault_addr, self->params.error_code, error_code);
}

#if __STDC_HOSTED__ /* a kernel's image is hidden from ring 3, and nothing is mapped behind the library's back */
static volatile uint64_t in_data = 1111, in_bss;
static const uint64_t in_rodata = 2222; /* not volatile: the compiler would make it writable */

static void the_callers_memory(void **state)
{
    (void)state;
    struct self self;
    volatile uint64_t on_stack = 3333;

    self_open(&self);
    assert_int_equal(self_load(&self, &in_data), 1111);
    assert_int_equal(self_load(&self, &in_rodata), 2222);
    assert_int_equal(self_load(&self, &on_stack), 3333);
    assert_int_equal(self_load(&self, &in_bss), 0);
    self_store(&self, &in_data, 4);
    self_store(&self, &in_bss, 5);
    self_store(&self, &on_stack, 6);
    assert_int_equal(in_data, 4);
    assert_int_equal(in_bss, 5);
    assert_int_equal(on_stack, 6);
    in_data = 7;
    assert_int_equal(self_load(&self, &in_data), 7);
    /* With the protections that it has. */
    self_fault(&self, sn_store, &in_rodata, PF_P | PF_U | PF_W);
    self_fault(&self, sn_store, sn_load, PF_P | PF_U | PF_W);
    self_fault(&self, sn_jump, &in_data, PF_P | PF_U | PF_I);
    self_fault(&self, sn_jump, &on_stack, PF_P | PF_U | PF_I);
    self_fault(&self, sn_load, NULL, PF_U);
    self_fault(&self, sn_load, (void *)0xffff800000000000, PF_U);
    in_data = 1111;
    in_bss = 0;
    self_close(&self);
}

/* malloc and mmap know nothing of polder; what they map is there at the next fault. */
static void memory_mapped_behind_its_back(void **state)
{
    (void)state;
    struct self self;

    self_open(&self);
    for (size_t size = 64; size < 8ul << 20; size *= 4) {
        volatile uint64_t *memory = malloc(size);
        assert_non_null((void *)memory);
        memory[0] = size;
        memory[size / 8 - 1] = size + 1;
        assert_int_equal(self_load(&self, memory), size);
        assert_int_equal(self_load(&self, &memory[size / 8 - 1]), size + 1);
        self_store(&self, memory, 5);
        assert_int_equal(memory[0], 5);
        free((void *)memory);
    }
    /* Never touched by the host: the sandbox is the first. */
    volatile uint64_t *fresh = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(fresh, MAP_FAILED);
    assert_int_equal(self_load(&self, fresh), 0);
    self_store(&self, fresh + PAGE / 8, 9);
    assert_int_equal(fresh[PAGE / 8], 9);
    /* Gone behind its back: a fault, with bit 0 clear, and the next run is none the worse. */
    assert_int_equal(munmap((void *)fresh, 4 * PAGE), 0);
    self_fault(&self, sn_load, fresh, PF_U);
    self_fault(&self, sn_store, fresh + PAGE / 8, PF_U | PF_W);
    (void)self_load(&self, &in_data);
    /* Something else at the same address: that is what is seen, not what was there. */
    int file = make_file(1, 66);
    assert_ptr_equal(mmap((void *)fresh, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0), (void *)fresh);
    assert_int_equal(self_load(&self, fresh), 66);
    assert_ptr_equal(mmap((void *)fresh, PAGE, RW, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0), (void *)fresh);
    assert_int_equal(self_load(&self, fresh), 0);
    munmap((void *)fresh, PAGE);
    close(file);
    self_close(&self);
}
#endif

static void calls_on_the_callers_own_space(void **state)
{
    (void)state;
    struct self self;
    int file = make_file(4, 10);

    self_open(&self);
    volatile uint64_t *at = polder_mmap(NULL, 4 * PAGE, RW, MAP_SHARED, file, 0, -1);
    assert_ptr_not_equal(at, MAP_FAILED);
    assert_int_equal(at[PAGE / 8], 11); /* the host's own mapping */
    assert_int_equal(self_load(&self, at + PAGE / 8), 11);
    self_store(&self, at, 12);
    assert_int_equal(at[0], 12);
    assert_int_equal(file_word(file, 0), 12);

    assert_int_equal(polder_mprotect((void *)at, PAGE, PROT_READ, -1), 0);
    self_fault(&self, sn_store, at, PF_P | PF_U | PF_W);
    assert_int_equal(self_load(&self, at), 12);
    assert_int_equal(polder_mprotect((void *)at, PAGE, PROT_NONE, -1), 0);
    self_fault(&self, sn_load, at, PF_P | PF_U);
    assert_int_equal(polder_mprotect((void *)at, PAGE, RW, -1), 0);
    self_store(&self, at, 13);
    assert_int_equal(polder_munmap((void *)at, PAGE, -1), 0);
    self_fault(&self, sn_load, at, PF_U);
    assert_int_equal(self_load(&self, at + PAGE / 8), 11);
    void *again = polder_mmap((void *)at, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, file, 3 * PAGE, -1);
    assert_ptr_equal(again, (void *)at);
    assert_int_equal(self_load(&self, at), 13);
    /* Linux's own answers to mistakes. */
    assert_ptr_equal(
        polder_mmap((void *)at, PAGE, RW, MAP_PRIVATE | MAP_FIXED_NOREPLACE | MAP_ANONYMOUS, -1, 0, -1), MAP_FAILED);
    assert_int_equal(errno, EEXIST);
    assert_errno(polder_mmap(NULL, PAGE, RW, MAP_SHARED, -1, 0, -1), EBADF);
    assert_errno(polder_munmap((void *)((uint64_t)at + 1), PAGE, -1), EINVAL);
    assert_errno(polder_mprotect((void *)((uint64_t)at + 1), PAGE, RW, -1), EINVAL);
    /* The same through polder_apply. */
    struct polder_op ops[] = {
        {.code = POLDER_OP_MMAP,
            .prot = RW,
            .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
            .src_fd = -1,
            .start = (void *)at,
            .length = 2 * PAGE},
        {.code = POLDER_OP_MPROTECT, .prot = PROT_READ, .start = (void *)(at + PAGE / 8), .length = PAGE},
        {.code = POLDER_OP_MUNMAP, .start = (void *)(at + 2 * PAGE / 8), .length = PAGE},
    };
    assert_int_equal(polder_apply(-1, ops, 3), 0);
    self_store(&self, at, 14);
    assert_int_equal(at[0], 14);
    self_fault(&self, sn_store, at + PAGE / 8, PF_P | PF_U | PF_W);
    self_fault(&self, sn_load, at + 2 * PAGE / 8, PF_U);
    assert_int_equal(self_load(&self, at + 3 * PAGE / 8), 13);
    assert_int_equal(polder_munmap((void *)at, 4 * PAGE, -1), 0);
    close(file);
    self_close(&self);
}

static void privileged_ranges(void **state)
{
    (void)state;
    struct self self;

    self_open(&self);
#if __STDC_HOSTED__
    volatile uint64_t *at = polder_mmap(NULL, 3 * PAGE, RW | POLDER_PRIVILEGED, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, -1);
#else /* there without an address it would be memory that cannot be shown */
    volatile uint64_t *at = polder_mmap(
        (void *)0x5000000, 3 * PAGE, RW | POLDER_PRIVILEGED, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, -1);
#endif
    assert_ptr_not_equal(at, MAP_FAILED);
    at[0] = 1; /* the caller is privileged */
    at[PAGE / 8] = 2;
    self_fault(&self, sn_load, at, PF_P | PF_U);
    self_fault(&self, sn_store, at + PAGE / 8, PF_P | PF_U | PF_W);
    self_fault(&self, sn_jump, at, PF_P | PF_U | PF_I);
    /* Shown without touching the host's protection... */
    assert_int_equal(polder_mprotect((void *)at, PAGE, RW, -1), 0);
    assert_int_equal(self_load(&self, at), 1);
    self_fault(&self, sn_load, at + PAGE / 8, PF_P | PF_U);
    /* ... and hidden again, a page that the sandbox has already used. */
    self_store(&self, at, 3);
    assert_int_equal(polder_mprotect((void *)at, PAGE, POLDER_PRIVILEGED, -1), 0);
    self_fault(&self, sn_load, at, PF_P | PF_U);
    self_fault(&self, sn_store, at, PF_P | PF_U | PF_W);
    assert_int_equal(at[0], 3);
    at[0] = 4;
    /* What has been mapped with plain mmap can be declared as well, mapped or not. */
    volatile uint64_t *plain = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(plain, MAP_FAILED);
    self_store(&self, plain, 5);
    assert_int_equal(polder_mprotect((void *)plain, 2 * PAGE, POLDER_PRIVILEGED, -1), 0);
    self_fault(&self, sn_load, plain, PF_P | PF_U);
    plain[0] = 6;
    assert_int_equal(munmap((void *)(plain + PAGE / 8), PAGE), 0);
    self_fault(&self, sn_load, plain + PAGE / 8, PF_U);
    assert_int_equal(polder_mprotect((void *)(plain + PAGE / 8), PAGE, POLDER_PRIVILEGED, -1), 0);
    assert_ptr_equal(mmap((void *)(plain + PAGE / 8), PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
        (void *)(plain + PAGE / 8));
    if (__STDC_HOSTED__) /* in a kernel all mappings are polder_mmap's, which shows it */
        self_fault(&self, sn_load, plain + PAGE / 8, PF_P | PF_U); /* still declared */
    assert_ptr_equal(
        polder_mmap((void *)plain, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, -1), (void *)plain);
    assert_int_equal(self_load(&self, plain + PAGE / 8), 0); /* shown by polder_mmap */
    /* Unmapping more than was declared does not take the declaration away. */
    volatile uint64_t *both = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(both, MAP_FAILED);
    assert_int_equal(polder_mprotect((void *)(both + PAGE / 8), PAGE, POLDER_PRIVILEGED, -1), 0);
    assert_int_equal(polder_munmap((void *)both, 2 * PAGE, -1), 0);
    assert_ptr_equal(mmap((void *)both, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), (void *)both);
    assert_int_equal(self_load(&self, both), 0);
    if (__STDC_HOSTED__)
        self_fault(&self, sn_load, both + PAGE / 8, PF_P | PF_U);
    /* A second descriptor is of the same process, with the same privileged ranges. */
    int second = polder_open("/proc/self/mm");
    assert_true(second >= 0);
    int first = self.fd;
    self.fd = second;
    self_fault(&self, sn_load, at, PF_P | PF_U);
    assert_int_equal(self_load(&self, plain), 0);
    self.fd = first;
    close(second);
#if __STDC_HOSTED__ /* which has no number */
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/mm", getpid());
    second = polder_open(path);
    assert_true(second >= 0);
    self.fd = second;
    self_fault(&self, sn_load, at, PF_P | PF_U);
    self_store(&self, plain, 77);
    assert_int_equal(plain[0], 77);
    self.fd = first;
    close(second);
#endif
    /* Shown before it goes, or the address would stay hidden for whatever comes there. */
    assert_int_equal(polder_mprotect((void *)at, PAGE, RW, -1), 0);
    assert_int_equal(polder_mprotect((void *)both, 2 * PAGE, RW, -1), 0);
    polder_munmap((void *)at, 3 * PAGE, -1);
    polder_munmap((void *)plain, 2 * PAGE, -1);
    polder_munmap((void *)both, 2 * PAGE, -1);
    self_close(&self);
}

#if __STDC_HOSTED__ /* the same, and no fork, no vDSO */
/* Whatever a mapping of this process is, the sandbox reads it as the process does; the library's own it cannot read. */
static void every_mapping(void **state)
{
    (void)state;
    struct self self;
    char line[512], perms[8], name[256];
    unsigned long from, to;
    unsigned seen = 0, hidden = 0, vcpus = 0;

    self_open(&self);
    (void)self_load(&self, &in_data); /* now there is a processor */
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        name[0] = 0;
        if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %255[^\n]", &from, &to, perms, name) < 3)
            fail_msg("maps: %s", line);
        if (from >= 0x800000000000)
            continue;
        uint32_t reason = self_run(&self, sn_load_byte, from, 0);
        if (strstr(name, "kvm-vcpu") || strstr(name, "kvm-vm")) {
            if (reason == POLDER_SYSCALL)
                fail_msg("the sandbox can read %s", line);
            vcpus++;
        } else if (reason == POLDER_SYSCALL) {
            assert_int_equal(perms[0], 'r');
            seen++;
        } else {
            assert_int_equal(reason, POLDER_PAGE_FAULT);
            hidden++;
            /* The program, libc and the stack are the caller's own. */
            if (perms[0] == 'r' && (strstr(name, "libc") || strcmp(name, "[stack]") == 0 ||
                                       strcmp(name, "[heap]") == 0 || strcmp(name, "[vdso]") == 0))
                fail_msg("the sandbox cannot read %s", line);
        }
        if (perms[1] == '-' && reason == POLDER_SYSCALL) {
            reason = self_run(&self, sn_store_byte, from, 0);
            if (reason != POLDER_PAGE_FAULT)
                fail_msg("reason %u for a write to %s", reason, line);
        }
    }
    fclose(maps);
    assert_true(vcpus > 0);
    assert_true(seen > 8);
    print_message("%u mappings seen, %u not\n", seen, hidden + vcpus);
    self_close(&self);
}

/* Code of the caller's, as the compiler made it: it calls other functions and uses the stack that it is given. */
static uint64_t fibonacci(uint64_t n, uint64_t unused)
{
    return n < 2 ? n : fibonacci(n - 1, unused) + fibonacci(n - 2, unused);
}

static void the_callers_code(void **state)
{
    (void)state;
    struct self self;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_UNDEFINED__)
    print_message("needs code without sanitizers\n");
    skip();
#endif
    self_open(&self);
    self.params.regs.rdx = 0;
    assert_int_equal(self_run(&self, sn_call_aligned, (uint64_t)fibonacci, 22), POLDER_SYSCALL);
    assert_int_equal(self.params.regs.rbx, 17711);
    self_close(&self);
}

/* The vDSO tells the sandbox the same time as the caller. */
static void *vdso_symbol(const char *wanted)
{
    const char *base = (const char *)getauxval(AT_SYSINFO_EHDR);
    if (!base)
        return NULL;
    const Elf64_Ehdr *header = (const void *)base;
    const Elf64_Phdr *segments = (const void *)(base + header->e_phoff);
    const Elf64_Dyn *dynamic = NULL;
    uint64_t bias = 0;
    const Elf64_Sym *symbols = NULL;
    const char *strings = NULL;
    const uint32_t *hash = NULL;

    for (int i = 0; i < header->e_phnum; i++) {
        if (segments[i].p_type == PT_LOAD)
            bias = (uint64_t)base + segments[i].p_offset - segments[i].p_vaddr;
        if (segments[i].p_type == PT_DYNAMIC)
            dynamic = (const void *)(base + segments[i].p_offset);
    }
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
        const void *at = (const void *)(dynamic->d_un.d_ptr + bias);
        if (dynamic->d_tag == DT_SYMTAB)
            symbols = at;
        if (dynamic->d_tag == DT_STRTAB)
            strings = at;
        if (dynamic->d_tag == DT_HASH)
            hash = at;
    }
    if (!symbols || !strings || !hash)
        return NULL;
    for (uint32_t i = 0; i < hash[1]; i++)
        if (strcmp(strings + symbols[i].st_name, wanted) == 0)
            return (void *)(symbols[i].st_value + bias);
    return NULL;
}

static int64_t ns(const struct timespec *t)
{
    return t->tv_sec * 1000000000 + t->tv_nsec;
}

static void the_time(void **state)
{
    (void)state;
    struct self self;
    void *function = vdso_symbol("__vdso_clock_gettime");

    if (!function) {
        print_message("needs a kernel with a vDSO\n");
        skip();
    }
    self_open(&self);
    static struct timespec before, inside, after;
    for (int i = 0; i < 20; i++) {
        clock_gettime(CLOCK_MONOTONIC, &before);
        self.params.regs.rdx = (uint64_t)&inside;
        uint32_t reason = self_run(&self, sn_call_aligned, (uint64_t)function, CLOCK_MONOTONIC);
        if (reason == POLDER_SYSCALL && self.params.regs.rip != (uint64_t)sn_call_aligned_end) {
            print_message("this kernel's vDSO makes the system call\n");
            break;
        }
        if (reason != POLDER_SYSCALL)
            fail_msg("reason %u, fault address %#lx, error code %#lx", reason, self.params.fault_addr,
                self.params.error_code);
        clock_gettime(CLOCK_MONOTONIC, &after);
        assert_int_equal(self.params.regs.rbx, 0);
        if (ns(&inside) < ns(&before) || ns(&inside) > ns(&after))
            fail_msg("before %ld, inside %ld, after %ld", ns(&before), ns(&inside), ns(&after));
    }
    self_close(&self);
}

/* The host's copy-on-write is the sandbox's too: after a fork the child's memory is the child's. */
static void copy_on_write_with_a_child(void **state)
{
    (void)state;
    struct self self;
    int to_child[2], from_child[2];
    volatile uint64_t *page = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t word;

    assert_ptr_not_equal(page, MAP_FAILED);
    assert_int_equal(pipe(to_child), 0);
    assert_int_equal(pipe(from_child), 0);
    self_open(&self);
    self_store(&self, page, 1);
    self_store(&self, page + PAGE / 8, 1);
    pid_t child = fork();
    if (child == 0) {
        if (read(to_child[0], &word, 1) != 1)
            _exit(1);
        word = page[0] * 100 + page[PAGE / 8];
        if (write(from_child[1], &word, sizeof(word)) != sizeof(word))
            _exit(2);
        _exit(0);
    }
    self_store(&self, page, 2); /* the sandbox breaks it */
    page[PAGE / 8] = 3;         /* the host does */
    assert_int_equal(self_load(&self, page), 2);
    assert_int_equal(self_load(&self, page + PAGE / 8), 3);
    assert_int_equal(page[0], 2);
    assert_int_equal(write(to_child[1], "x", 1), 1);
    assert_int_equal(read(from_child[0], &word, sizeof(word)), sizeof(word));
    assert_int_equal(word, 101);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(to_child[0]);
    close(to_child[1]);
    close(from_child[0]);
    close(from_child[1]);
    munmap((void *)page, 2 * PAGE);
    self_close(&self);
}
#endif

static void what_cannot_be_done(void **state)
{
    (void)state;
    struct self self;

    self_open(&self);
    assert_errno(polder_copy(self.fd), EINVAL);
    uint64_t word = 0;
#if __STDC_HOSTED__
    assert_int_equal(polder_read(self.fd, &word, sizeof(word), (uint64_t)&in_rodata), sizeof(word));
    assert_int_equal(word, 2222);
    word = 9;
    assert_int_equal(polder_write(self.fd, &word, sizeof(word), (uint64_t)&in_bss), sizeof(word));
    assert_int_equal(in_bss, 9);
    assert_errno(polder_write(self.fd, &word, sizeof(word), (uint64_t)&in_rodata), EFAULT);
#else /* the image is none of the space */
    assert_errno(polder_read(self.fd, &word, sizeof(word), (uint64_t)&word), EFAULT);
#endif
    assert_errno(polder_read(self.fd, &word, sizeof(word), 8), EFAULT);
    /* Reading ignores protection, here too. */
    uint64_t *none = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(none, MAP_FAILED);
    none[0] = 4444;
    assert_int_equal(mprotect(none, PAGE, PROT_NONE), 0);
    assert_int_equal(polder_read(self.fd, &word, sizeof(word), (uint64_t)none), sizeof(word));
    assert_int_equal(word, 4444);
    munmap(none, PAGE);
    self_close(&self);
}

#if __STDC_HOSTED__ /* a kernel carries out system calls itself */
/* A system call of the sandbox's, done by the host with the sandbox's pointers; not with a privileged one. */
static void proceeding(void **state)
{
    (void)state;
    struct self self;
    int pipes[2];
    static char message[] = "through the dike";
    char got[64];

    self_open(&self);
    assert_int_equal(pipe(pipes), 0);
    self.params.regs.rax = 39;
    assert_int_equal(self_run(&self, sn_syscall, 0, 0), POLDER_SYSCALL);
    assert_int_equal(polder_proceed(self.fd, &self.params), 0);
    assert_int_equal(self.params.regs.rax, getpid());
    self.params.regs.rax = 1;
    self.params.regs.rdx = sizeof(message);
    assert_int_equal(self_run(&self, sn_syscall, (uint64_t)pipes[1], (uint64_t)message), POLDER_SYSCALL);
    assert_int_equal(polder_proceed(self.fd, &self.params), 0);
    assert_int_equal(self.params.regs.rax, sizeof(message));
    assert_int_equal(read(pipes[0], got, sizeof(got)), sizeof(message));
    assert_string_equal(got, message);

    char *secret = polder_mmap(NULL, PAGE, RW | POLDER_PRIVILEGED, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, -1);
    assert_ptr_not_equal(secret, MAP_FAILED);
    self.params.regs.rax = 1;
    self.params.regs.rdx = 8;
    assert_int_equal(self_run(&self, sn_syscall, (uint64_t)pipes[1], (uint64_t)secret), POLDER_SYSCALL);
    assert_int_equal(polder_proceed(self.fd, &self.params), 0);
    assert_int_equal(self.params.regs.rax, -EFAULT);
    /* Half in, half out. */
    self.params.regs.rax = 1;
    self.params.regs.rdx = 2 * PAGE;
    assert_int_equal(self_run(&self, sn_syscall, (uint64_t)pipes[1], (uint64_t)secret - PAGE), POLDER_SYSCALL);
    assert_int_equal(polder_proceed(self.fd, &self.params), 0);
    assert_int_equal(self.params.regs.rax, -EFAULT);
    self.params.regs.rax = 60;
    assert_int_equal(self_run(&self, sn_syscall, 0, 0), POLDER_SYSCALL);
    assert_int_equal(polder_proceed(self.fd, &self.params), 0);
    assert_int_equal(self.params.regs.rax, -ENOSYS); /* exit is the caller's to perform */
    polder_munmap(secret, PAGE, -1);
    close(pipes[0]);
    close(pipes[1]);
    self_close(&self);
}
#endif

/* When polder_munmap or polder_mprotect of the caller's own space has returned, a sandbox inside has let go too. */
struct self_writer {
    pthread_t thread;
    struct self self;
    volatile uint64_t *page;
    bool faulted, stop;
    unsigned long wrong;
};

static void *self_writer_main(void *arg)
{
    struct self_writer *w = arg;
    struct polder_params *p = &w->self.params;

    p->regs.rip = (uint64_t)w->self.code + (uint64_t)(sn_count - snippets_begin);
    p->regs.rsp = (uint64_t)w->self.stack + 16 * PAGE;
    p->regs.rdi = (uint64_t)w->page;
    while (!__atomic_load_n(&w->stop, __ATOMIC_SEQ_CST)) {
        if (polder_run_sandbox(w->self.fd, p) < 0) {
            w->wrong++;
            break;
        }
        if (p->reason == POLDER_PAGE_FAULT) {
            w->wrong += p->fault_addr != (uint64_t)w->page;
            __atomic_store_n(&w->faulted, true, __ATOMIC_SEQ_CST);
            while (__atomic_load_n(&w->faulted, __ATOMIC_SEQ_CST) && !__atomic_load_n(&w->stop, __ATOMIC_SEQ_CST))
                sched_yield();
        } else {
            w->wrong += p->reason != POLDER_KICK;
        }
    }
    return NULL;
}

static void changes_under_a_running_sandbox(void **state)
{
    (void)state;
    struct self_writer w = {.faulted = false};
    int file = make_file(1, 0);
    volatile uint64_t *view = mmap(NULL, PAGE, RW, MAP_SHARED, file, 0); /* the same page by another address */
    unsigned long stale = 0;

    self_open(&w.self);
    w.page = polder_mmap(NULL, PAGE, RW, MAP_SHARED, file, 0, -1);
    assert_ptr_not_equal(w.page, MAP_FAILED);
    assert_int_equal(pthread_create(&w.thread, NULL, self_writer_main, &w), 0);
    for (int round = 0; round < scaled(200); round++) {
        for (uint64_t was = *view; *view == was; sched_yield())
            __atomic_store_n(&w.faulted, false, __ATOMIC_SEQ_CST);
        if (round % 3 == 0)
            assert_int_equal(polder_munmap((void *)w.page, PAGE, -1), 0);
        else if (round % 3 == 1)
            assert_int_equal(polder_mprotect((void *)w.page, PAGE, PROT_READ, -1), 0);
        else
            assert_int_equal(polder_mprotect((void *)w.page, PAGE, POLDER_PRIVILEGED, -1), 0);
        uint64_t before = *view;
        while (!__atomic_load_n(&w.faulted, __ATOMIC_SEQ_CST) && *view == before)
            sched_yield();
        if (*view != before) {
            stale++;
            polder_kick(&w.self.params);
        }
        if (round % 3 == 0)
            assert_ptr_equal(
                polder_mmap((void *)w.page, PAGE, RW, MAP_SHARED | MAP_FIXED, file, 0, -1), (void *)w.page);
        else
            assert_int_equal(polder_mprotect((void *)w.page, PAGE, RW, -1), 0);
        __atomic_store_n(&w.faulted, false, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&w.stop, true, __ATOMIC_SEQ_CST);
    polder_kick(&w.self.params);
    assert_int_equal(pthread_join(w.thread, NULL), 0);
    polder_munmap((void *)w.page, PAGE, -1);
    munmap((void *)view, PAGE);
    close(file);
    self_close(&w.self);
    assert_int_equal(w.wrong, 0);
    assert_int_equal(stale, 0);
}

#if __STDC_HOSTED__ /* no other processes */
/* A child that waits to be looked at; the parent writes to its standard input to let it go on. */
static pid_t start_child(int pipes[4], void (*in_child)(void))
{
    int to[2], from[2];

    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        in_child();
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            if (write(from[1], "x", 1) != 1 || read(to[0], &byte, 1) != 1 || byte == 'q')
                _exit(0);
            in_data++;
        }
    }
    char byte;
    assert_int_equal(read(from[0], &byte, 1), 1);
    memcpy(pipes, to, sizeof(to));
    memcpy(pipes + 2, from, sizeof(from));
    return child;
}

static void end_child(pid_t child, int pipes[4])
{
    int status;

    assert_int_equal(write(pipes[1], "q", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    for (int i = 0; i < 4; i++)
        close(pipes[i]);
}

static void change_some_memory(void)
{
    in_data = 987654;
}

static void a_foreign_process(void **state)
{
    (void)state;
    struct self self;
    int pipes[4];
    char path[64], byte;
    uint64_t word;

    pid_t child = start_child(pipes, change_some_memory);
    self_open(&self);
    const int own = self.fd;
    snprintf(path, sizeof(path), "/proc/%d/mm", child);
    int snapshot = polder_open(path);
    if (snapshot < 0)
        fail_msg("polder_open(%s): %s", path, strerror(errno));
    assert_int_equal(polder_read(snapshot, &word, sizeof(word), (uint64_t)&in_data), sizeof(word));
    assert_int_equal(word, 987654);
    assert_int_equal(in_data, 1111);
    /* The child goes on; the snapshot does not. */
    assert_int_equal(write(pipes[1], "g", 1), 1);
    assert_int_equal(read(pipes[2], &byte, 1), 1);
    assert_int_equal(polder_read(snapshot, &word, sizeof(word), (uint64_t)&in_data), sizeof(word));
    assert_int_equal(word, 987654);
    int second = polder_open(path);
    assert_true(second >= 0);
    assert_int_equal(polder_read(second, &word, sizeof(word), (uint64_t)&in_data), sizeof(word));
    assert_int_equal(word, 987655);
    /* It can be run in, and then outlives the process. */
    char *stack = polder_mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, snapshot);
    if (stack == MAP_FAILED)
        fail_msg("polder_mmap of a stack: %s", strerror(errno));
    end_child(child, pipes);
    char *real_stack = self.stack;
    self.stack = stack + PAGE - 16 * PAGE;
    self.fd = snapshot;
    assert_int_equal(self_load(&self, &in_data), 987654);
    assert_int_equal(self_load(&self, &in_rodata), 2222);
    self_store(&self, &in_data, 5);
    assert_int_equal(self_load(&self, &in_data), 5);
    assert_int_equal(in_data, 1111);
    self_fault(&self, sn_store, &in_rodata, PF_P | PF_U | PF_W);
    self_fault(&self, sn_jump, &in_data, PF_P | PF_U | PF_I);
    self.fd = second;
    assert_int_equal(polder_read(second, &word, sizeof(word), (uint64_t)&in_data), sizeof(word));
    assert_int_equal(word, 987655);
    /* It is a space like any other. */
    int copy = polder_copy(snapshot);
    assert_true(copy >= 0);
    assert_int_equal(polder_read(copy, &word, sizeof(word), (uint64_t)&in_data), sizeof(word));
    assert_int_equal(word, 5);
    close(copy);
    close(snapshot);
    close(second);
    self.fd = own;
    self.stack = real_stack;
    assert_errno(polder_open(path), ENOENT); /* it is no more */
    self_close(&self);
}

static void a_foreign_process_that_is_none_of_ours(void **state)
{
    (void)state;

    if (geteuid() != 0) {
        print_message("needs root, to become somebody else\n");
        skip();
    }
    pid_t child = fork();
    if (child == 0) {
        int own = polder_open("/proc/mm"); /* opens /dev/kvm while this is allowed */
        if (own < 0)
            _exit(1);
        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(2);
        int got = polder_open("/proc/1/mm");
        if (got >= 0)
            _exit(3);
        _exit(errno == EPERM || errno == EACCES ? 0 : 4);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#if __STDC_HOSTED__
        cmocka_unit_test(the_callers_memory),
        cmocka_unit_test(memory_mapped_behind_its_back),
#endif
        cmocka_unit_test(calls_on_the_callers_own_space),
        cmocka_unit_test(privileged_ranges),
#if __STDC_HOSTED__
        cmocka_unit_test(every_mapping),
        cmocka_unit_test(the_callers_code),
        cmocka_unit_test(the_time),
        cmocka_unit_test(copy_on_write_with_a_child),
#endif
        cmocka_unit_test(what_cannot_be_done),
#if __STDC_HOSTED__
        cmocka_unit_test(proceeding),
#endif
        cmocka_unit_test(changes_under_a_running_sandbox),
#if __STDC_HOSTED__
        cmocka_unit_test(a_foreign_process),
        cmocka_unit_test(a_foreign_process_that_is_none_of_ours),
#endif
    };
    return RUN_GROUP("self", tests);
}
