/* SPDX-License-Identifier: MIT */
/*
 * Linux as the model: the same random mmap, munmap and mprotect calls on this process and on a space, at the same
 * addresses, and then every page is looked at from both sides: can it be read, can it be written to, what is in it.
 * The host's side asks the kernel, which answers EFAULT where the sandbox gets a page fault.
 */
#include "sandbox.h"

#define RW (PROT_READ | PROT_WRITE)

enum { PAGES = 48, FILE_PAGES = 40 };

struct world {
    struct box box;
    uint64_t arena;
    int host_file, space_file; /* the same content, but each side writes to its own */
#if __STDC_HOSTED__
    int pipes[2];
#else
    int own; /* "/proc/self/mm", where the same is done in place of Linux's own: all its pages are there from the start
              */
    uint64_t code;
    struct polder_params params;
#endif
    uint64_t seed;
    bool private_file[PAGES];
};

#if __STDC_HOSTED__
static bool host_read(struct world *w, uint64_t at, uint64_t *word)
{
    if (write(w->pipes[1], (void *)at, sizeof(*word)) != sizeof(*word)) {
        assert_int_equal(errno, EFAULT);
        return false;
    }
    assert_int_equal(read(w->pipes[0], word, sizeof(*word)), sizeof(*word));
    return true;
}

static bool host_write(struct world *w, uint64_t at, uint64_t word)
{
    assert_int_equal(write(w->pipes[1], &word, sizeof(word)), sizeof(word));
    if (read(w->pipes[0], (void *)at, sizeof(word)) == sizeof(word))
        return true;
    assert_int_equal(errno, EFAULT);
    /* What could not be delivered may be gone from the pipe or not. */
    uint64_t rest;
    fcntl(w->pipes[0], F_SETFL, O_NONBLOCK);
    while (read(w->pipes[0], &rest, sizeof(rest)) > 0)
        ;
    fcntl(w->pipes[0], F_SETFL, 0);
    return false;
}

#else
static bool own_access(struct world *w, const char *snippet, uint64_t at, uint64_t word)
{
    w->params.regs.rip = w->code + (uint64_t)(snippet - snippets_begin);
    w->params.regs.rdi = at;
    w->params.regs.rsi = word;
    assert_int_equal(polder_run_sandbox(w->own, &w->params), 0);
    assert_true(w->params.reason == POLDER_SYSCALL || w->params.fault_addr == at);
    return w->params.reason == POLDER_SYSCALL;
}

static bool host_read(struct world *w, uint64_t at, uint64_t *word)
{
    bool done = own_access(w, sn_load, at, 0);

    *word = w->params.regs.rbx;
    return done;
}

static bool host_write(struct world *w, uint64_t at, uint64_t word)
{
    return own_access(w, sn_store, at, word);
}
#endif

/* The host's answer for an address past a file's end is EFAULT too; the sandbox's is BUS. */
static bool space_access(struct world *w, const char *snippet, uint64_t at, uint64_t word, int step)
{
    uint32_t reason = box_run(&w->box, snippet, at, word);

    if (reason == POLDER_SYSCALL)
        return true;
    if ((reason != POLDER_PAGE_FAULT && reason != POLDER_BUS) || w->box.params.fault_addr != at)
        fail_msg("step %d: reason %u at %#lx", step, reason, w->box.params.fault_addr);
    return false;
}

static void compare(struct world *w, size_t page, int step)
{
    const uint64_t at = w->arena + page * PAGE + 8 * (random_next(&w->seed) % 512);
    uint64_t host_word, word = random_next(&w->seed);

    bool host = host_read(w, at, &host_word), space = space_access(w, sn_load, at, 0, step);
    if (host != space)
        fail_msg("step %d, page %zu: the host can%s read it, the sandbox can%s", step, page, host ? "" : "not",
            space ? "" : "not");
    if (host && host_word != w->box.params.regs.rbx)
        fail_msg("step %d, page %zu: %#llx, not %#lx", step, page, w->box.params.regs.rbx, host_word);
    if (random_next(&w->seed) & 1)
        return;
    host = host_write(w, at, word);
    space = space_access(w, sn_store, at, word, step);
    if (host != space)
        fail_msg("step %d, page %zu: the host can%s write to it, the sandbox can%s", step, page, host ? "" : "not",
            space ? "" : "not");
}

static void change(struct world *w, int step)
{
    const size_t page = random_next(&w->seed) % PAGES, pages = 1 + random_next(&w->seed) % (PAGES - page) % 12;
    void *at = (void *)(w->arena + page * PAGE);
    /* An executable or write-only page is readable on x86, but Linux may think otherwise: leave those out. */
    static const int prots[] = {PROT_NONE, PROT_READ, RW, PROT_READ | PROT_EXEC, RW};
    const int prot = prots[random_next(&w->seed) % 5];
    const off_t offset = (off_t)(random_next(&w->seed) % FILE_PAGES * PAGE);
    static const int kinds[] = {MAP_PRIVATE | MAP_ANONYMOUS, MAP_SHARED | MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED};
    const int kind = kinds[random_next(&w->seed) >> 62];
    const int fixed = random_next(&w->seed) % 4 ? MAP_FIXED : MAP_FIXED_NOREPLACE;
    int host, space, host_errno;
    off_t length;

    errno = 0;
    switch (random_next(&w->seed) % 10) {
    case 0:
    case 1:
    case 2:
    case 3:
        host = mmap(at, pages * PAGE, prot, kind | fixed, kind & MAP_ANONYMOUS ? -1 : w->host_file, offset) == at;
        host_errno = errno;
        space = polder_mmap(at, pages * PAGE, prot, kind | fixed, kind & MAP_ANONYMOUS ? -1 : w->space_file, offset,
                    w->box.fd) == at;
        for (size_t i = page; space && i < page + pages; i++)
            w->private_file[i] = kind == MAP_PRIVATE;
        break;
    case 4:
    case 5:
        host = munmap(at, pages * PAGE) == 0;
        host_errno = errno;
        space = polder_munmap(at, pages * PAGE, w->box.fd) == 0;
        break;
    case 6: /* the files become shorter, or longer, now and then */
        if (random_next(&w->seed) % 4)
            return;
        /*
         * Linux also takes the private copies of pages that a file no longer has. polder keeps what is the space's own
         * already, so those mappings are not compared.
         */
        for (size_t i = 0; i < PAGES; i++) {
            if (!w->private_file[i])
                continue;
            assert_int_equal(munmap((void *)(w->arena + i * PAGE), PAGE), 0);
            assert_int_equal(polder_munmap((void *)(w->arena + i * PAGE), PAGE, w->box.fd), 0);
            w->private_file[i] = false;
        }
        length = (off_t)((FILE_PAGES / 2 + random_next(&w->seed) % FILE_PAGES) * PAGE);
        assert_int_equal(ftruncate(w->host_file, length), 0);
        assert_int_equal(ftruncate(w->space_file, length), 0);
        return;
    default: /* one page at a time: where there is a hole, Linux has changed the pages before it, and polder has not */
        host = mprotect(at, PAGE, prot) == 0;
        host_errno = errno;
        space = polder_mprotect(at, PAGE, prot, w->box.fd) == 0;
    }
    if (host != space || (!host && host_errno != errno))
        fail_msg("step %d: the host says %s, polder %s", step, host ? "yes" : strerrorname_np(host_errno),
            space ? "yes" : strerrorname_np(errno));
}

static void against_linux(uint64_t seed, int steps)
{
    struct world w = {.seed = seed};

    print_message("seed %lu\n", seed);
    box_open(&w.box);
    void *arena = mmap(NULL, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(arena, MAP_FAILED);
    w.arena = (uint64_t)arena;
    assert_ptr_equal(
        polder_mmap(arena, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, w.box.fd), arena);
    w.host_file = make_file(FILE_PAGES, 1000);
    w.space_file = make_file(FILE_PAGES, 1000);
#if __STDC_HOSTED__
    assert_int_equal(pipe(w.pipes), 0);
#else
    polder_params_init(&w.params);
    w.own = polder_open("/proc/self/mm");
    w.code = (uint64_t)mmap(NULL, PAGE, ALL_RWX, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_int_equal(polder_write(w.own, snippets_begin, (size_t)(snippets_end - snippets_begin), w.code),
        snippets_end - snippets_begin);
#endif
    for (int step = 0; step < steps; step++) {
        change(&w, step);
        for (int i = 0; i < 4; i++)
            compare(&w, random_next(&w.seed) % PAGES, step);
        if (step % 100 == 99)
            for (size_t page = 0; page < PAGES; page++)
                compare(&w, page, step);
    }
    /* The files have been written to by the same stores. */
    for (off_t offset = 0; offset < FILE_PAGES / 2 * (off_t)PAGE; offset += __STDC_HOSTED__ ? 8 : 64)
        assert_int_equal(file_word(w.host_file, offset), file_word(w.space_file, offset));
    munmap(arena, PAGES * PAGE);
    close(w.host_file);
    close(w.space_file);
#if __STDC_HOSTED__
    close(w.pipes[0]);
    close(w.pipes[1]);
#else
    polder_params_fini(&w.params);
    munmap((void *)w.code, PAGE);
    close(w.own);
#endif
    box_close(&w.box);
}

static void first_seed(void **state)
{
    (void)state;
    against_linux(1, scaled(1500));
}

static void second_seed(void **state)
{
    (void)state;
    against_linux(20020120, scaled(1500));
}

/* POLDER_SEED=n repeats, or explores. */
static void seed_of_choice(void **state)
{
    (void)state;
    const char *choice = getenv("POLDER_SEED");

    against_linux(choice ? strtoull(choice, NULL, 0) | 1 : 4711, scaled(1500));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_seed),
        cmocka_unit_test(second_seed),
        cmocka_unit_test(seed_of_choice),
    };
    return RUN_GROUP("random", tests);
}
