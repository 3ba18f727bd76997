/* SPDX-License-Identifier: MIT */
/*
 * Many threads in one space and in many. Above all: when polder_munmap, polder_mprotect or a replacing polder_mmap has
 * returned, no processor may use the old translation. Every such test counts the accesses that do, and waits for one
 * of two things, a stale access or the sandbox's fault; it never waits for a time.
 *
 * Assertions of CMocka are for the main thread. Runners count what is wrong.
 */
#include "sandbox.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define RW (PROT_READ | PROT_WRITE)

/* A thread that runs one context for ever. After a fault it waits until it is told to go on. */
struct runner {
    pthread_t thread;
    struct polder_params params;
    int fd;
    atomic_bool stop;
    atomic_bool faulted;     /* waiting, after a page fault */
    atomic_ulong faults;     /* how many so far */
    atomic_ulong unexpected; /* what should not have come */
    atomic_ulong fault_addr, error_code;
    bool go_on_at_once; /* faults are only counted */
};

static void *runner_main(void *arg)
{
    struct runner *r = arg;

    while (!atomic_load(&r->stop)) {
        if (polder_run_sandbox(r->fd, &r->params) < 0) {
            atomic_fetch_add(&r->unexpected, 1);
            fprintf(stderr, "polder_run_sandbox: %s\n", strerror(errno));
            break;
        }
        switch (r->params.reason) {
        case POLDER_SYSCALL:
        case POLDER_KICK:
            break;
        case POLDER_PAGE_FAULT:
            atomic_store(&r->fault_addr, r->params.fault_addr);
            atomic_store(&r->error_code, r->params.error_code);
            atomic_fetch_add(&r->faults, 1);
            if (r->go_on_at_once) {
                sched_yield();
                break;
            }
            atomic_store(&r->faulted, true);
            while (atomic_load(&r->faulted) && !atomic_load(&r->stop))
                sched_yield();
            break;
        default:
            fprintf(stderr, "reason %u vector %u\n", r->params.reason, r->params.vector);
            atomic_fetch_add(&r->unexpected, 1);
            return NULL;
        }
    }
    return NULL;
}

static void runner_start(struct runner *r, int fd, const char *snippet, uint64_t rdi, uint64_t rsi)
{
    polder_params_init(&r->params);
    aim(&r->params, snippet, rdi, rsi);
    r->fd = fd;
    atomic_store(&r->stop, false);
    atomic_store(&r->faulted, false);
    atomic_store(&r->faults, 0);
    atomic_store(&r->unexpected, 0);
    assert_int_equal(pthread_create(&r->thread, NULL, runner_main, r), 0);
}

static void runner_stop(struct runner *r)
{
    atomic_store(&r->stop, true);
    polder_kick(&r->params);
    assert_int_equal(pthread_join(r->thread, NULL), 0);
    polder_params_fini(&r->params);
    assert_int_equal(atomic_load(&r->unexpected), 0);
}

static void wait_for_change(const volatile uint64_t *word)
{
    for (uint64_t was = *word; *word == was;)
        sched_yield();
}

/*
 * A page of a file behind an address where sandboxes write for ever. How many of the changes to the mapping were
 * followed by a write to the old page?
 */
enum change { UNMAP, PROTECT, REPLACE, HIDE, APPLY };

static unsigned long stale_writes(enum change change, int writers, bool large, int rounds)
{
    struct box box;
    struct runner runners[2];
    const uint64_t at = BOX_FREE;
    const size_t length = large ? HUGE_PAGE : PAGE, pages = 2 * HUGE_PAGE / PAGE;
    unsigned long stale = 0;
    uint64_t seed = 99 + (uint64_t)change;
    int file = make_file(pages, 0);
    volatile uint64_t *view = mmap(NULL, pages * PAGE, RW, MAP_SHARED, file, 0);
    /* Two pages that take turns: words 0 and 1 of each are counted up by the writers. */
    volatile uint64_t *old = view, *new = view + HUGE_PAGE / 8;
    off_t old_offset = 0, new_offset = HUGE_PAGE;

    assert_ptr_not_equal(view, MAP_FAILED);
    memset(runners, 0, sizeof(runners));
    box_open(&box);
    box_map(&box, at, length, RW, MAP_SHARED, file, old_offset);
    /* Mapped elsewhere too, or the file's window would go with the mapping, and KVM's shadow with the window. */
    box_map(&box, BOX_FREE + 8 * HUGE_PAGE, PAGE, PROT_READ, MAP_SHARED, file, 0);
    for (int i = 0; i < writers; i++)
        runner_start(&runners[i], box.fd, sn_count, at + 8 * (uint64_t)i, 0);

    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < writers; i++)
            for (uint64_t was = old[i]; old[i] == was; sched_yield())
                atomic_store(
                    &runners[i].faulted, false); /* a kick after a stale write may have ended in a late fault */
        random_delay(&seed, 2000);
        uint64_t before[2];
        if (change == REPLACE) {
            uint64_t new_before[2] = {new[0], new[1]};
            box_map(&box, at, length, RW, MAP_SHARED, file, new_offset);
            for (int i = 0; i < writers; i++)
                before[i] = old[i];
            for (int i = 0; i < writers; i++) {
                while (new[i] == new_before[i] && old[i] == before[i])
                    sched_yield();
                stale += old[i] != before[i];
            }
            volatile uint64_t *swap = old;
            old = new;
            new = swap;
            off_t swap_offset = old_offset;
            old_offset = new_offset;
            new_offset = swap_offset;
            continue;
        }
        struct polder_op op = {.code = POLDER_OP_MUNMAP, .start = (void *)at, .length = length};
        if (change == UNMAP)
            assert_ok(polder_munmap((void *)at, length, box.fd));
        else if (change == PROTECT)
            assert_ok(polder_mprotect((void *)at, length, PROT_READ, box.fd));
        else if (change == HIDE)
            assert_ok(polder_mprotect((void *)at, length, RW | POLDER_PRIVILEGED, box.fd));
        else
            assert_ok(polder_apply(box.fd, &op, 1));
        for (int i = 0; i < writers; i++)
            before[i] = old[i];
        for (int i = 0; i < writers; i++) {
            while (!atomic_load(&runners[i].faulted) && old[i] == before[i])
                sched_yield();
            if (old[i] != before[i]) {
                stale++;
                polder_kick(&runners[i].params); /* or it would go on for ever */
            } else {
                assert_int_equal(atomic_load(&runners[i].fault_addr), at + 8 * (uint64_t)i);
                assert_int_equal(
                    atomic_load(&runners[i].error_code) & PF_P, change == UNMAP || change == APPLY ? 0 : PF_P);
            }
        }
        if (change == UNMAP || change == APPLY)
            box_map(&box, at, length, RW, MAP_SHARED, file, old_offset);
        else
            assert_ok(polder_mprotect((void *)at, length, RW, box.fd));
        for (int i = 0; i < writers; i++)
            atomic_store(&runners[i].faulted, false);
    }
    for (int i = 0; i < writers; i++)
        runner_stop(&runners[i]);
    munmap((void *)view, pages * PAGE);
    close(file);
    box_close(&box);
    return stale;
}

static void assert_not_stale(enum change change, int writers, bool large, int rounds)
{
    unsigned long stale = stale_writes(change, writers, large, rounds);

    if (stale > 0)
        fail_msg("%lu of %d changes were followed by a write through the old translation", stale, rounds * writers);
}

static void writes_after_munmap(void **state)
{
    (void)state;
    assert_not_stale(UNMAP, 1, false, scaled(300));
    assert_not_stale(UNMAP, 2, false, scaled(200));
}

static void writes_after_mprotect(void **state)
{
    (void)state;
    assert_not_stale(PROTECT, 1, false, scaled(300));
    assert_not_stale(PROTECT, 2, false, scaled(200));
}

static void writes_after_replacement(void **state)
{
    (void)state;
    assert_not_stale(REPLACE, 1, false, scaled(300));
    assert_not_stale(REPLACE, 2, false, scaled(200));
}

static void writes_after_hiding(void **state)
{
    (void)state;
    assert_not_stale(HIDE, 2, false, scaled(200));
}

static void writes_after_apply(void **state)
{
    (void)state;
    assert_not_stale(APPLY, 2, false, scaled(200));
}

static void writes_to_large_pages(void **state)
{
    (void)state;
    assert_not_stale(UNMAP, 2, true, scaled(60));
    assert_not_stale(PROTECT, 2, true, scaled(60));
    assert_not_stale(REPLACE, 2, true, scaled(60));
}

/* Reads: the reader copies what it sees to the data page, and counts. */
static void reads_after_replacement(void **state)
{
    (void)state;
    struct box box;
    struct runner runner;
    const uint64_t at = BOX_FREE;
    int file = make_file(2, 1000);
    unsigned long stale = 0;

    memset(&runner, 0, sizeof(runner));
    box_open(&box);
    box_map(&box, at, PAGE, PROT_READ, MAP_SHARED, file, 0);
    runner_start(&runner, box.fd, sn_reader, at, BOX_DATA);
    for (uint64_t round = 1; round < (uint64_t)scaled(400); round++) {
        wait_for_change(&box.data[1]);
        box_map(&box, at, PAGE, PROT_READ, round & 1 ? MAP_SHARED : MAP_PRIVATE, file, (off_t)((round & 1) * PAGE));
        /* What was read before the change may still be on its way to the data page: from the second round on it is not.
         */
        for (uint64_t count = box.data[1]; box.data[1] < count + 2;)
            sched_yield();
        stale += box.data[0] != 1000 + (round & 1);
    }
    runner_stop(&runner);
    assert_int_equal(atomic_load(&runner.faults), 0); /* a replacement has no gap */
    close(file);
    box_close(&box);
    if (stale > 0)
        fail_msg("%lu reads through an old translation", stale);
}

/*
 * Memory of a space that is unmapped under a running writer, and at once given to somebody else: it must be all zero
 * there and stay so.
 */
static void freed_memory_is_not_written_to(void **state)
{
    (void)state;
    struct box box, other;
    struct runner runner;
    const uint64_t at = BOX_FREE;
    static uint64_t words[16 * PAGE / 8];
    unsigned long dirty = 0;

    memset(&runner, 0, sizeof(runner));
    box_open(&box);
    box_open(&other);
    box_map_anonymous(&box, at, PAGE, RW);
    runner_start(&runner, box.fd, sn_count, at, 0);
    for (int round = 0; round < scaled(300); round++) {
        uint64_t was, now;
        assert_int_equal(polder_read(box.fd, &was, sizeof(was), at), sizeof(was));
        do {
            assert_int_equal(polder_read(box.fd, &now, sizeof(now), at), sizeof(now));
            sched_yield();
        } while (now == was && !atomic_load(&runner.faulted));
        assert_int_equal(polder_munmap((void *)at, PAGE, box.fd), 0);
        box_map_anonymous(&other, at, 16 * PAGE, RW);
        box_syscall(&other, sn_touch_pages, at + 8, 16); /* takes the pages, but not their first words */
        bool over;
        do {
            over = atomic_load(&runner.faulted);
            assert_int_equal(polder_read(other.fd, words, sizeof(words), at), sizeof(words));
            for (size_t i = 0; i < sizeof(words) / 8; i++)
                dirty += words[i] != (i % (PAGE / 8) == 1);
            assert_int_equal(dirty, 0);
            sched_yield();
        } while (!over);
        box_map_anonymous(&box, at, PAGE, RW);
        atomic_store(&runner.faulted, false);
    }
    runner_stop(&runner);
    box_close(&box);
    box_close(&other);
}

/* Two spaces share a page; what happens to one's mapping of it is not the other's business. */
static void two_spaces_share_memory(void **state)
{
    (void)state;
    struct box one, two;
    struct runner first, second;
    const uint64_t at = BOX_FREE;
    int file = make_file(1, 0);
    volatile uint64_t *view = mmap(NULL, PAGE, RW, MAP_SHARED, file, 0);
    unsigned long stale = 0;

    memset(&first, 0, sizeof(first));
    memset(&second, 0, sizeof(second));
    box_open(&one);
    box_open(&two);
    box_map(&one, at, PAGE, RW, MAP_SHARED, file, 0);
    box_map(&two, at + PAGE, PAGE, RW, MAP_SHARED, file, 0);
    runner_start(&first, one.fd, sn_count, at, 0);
    runner_start(&second, two.fd, sn_count, at + PAGE + 8, 0);
    for (int round = 0; round < scaled(200); round++) {
        wait_for_change(&view[0]);
        wait_for_change(&view[1]);
        assert_int_equal(polder_munmap((void *)at, PAGE, one.fd), 0);
        uint64_t before = view[0];
        while (!atomic_load(&first.faulted) && view[0] == before)
            sched_yield();
        if (view[0] != before) {
            stale++;
            polder_kick(&first.params);
        }
        wait_for_change(&view[1]); /* the other one goes on */
        box_map(&one, at, PAGE, RW, MAP_SHARED, file, 0);
        atomic_store(&first.faulted, false);
    }
    runner_stop(&first);
    runner_stop(&second);
    assert_int_equal(atomic_load(&second.faults), 0);
    assert_int_equal(stale, 0);
    munmap((void *)view, PAGE);
    close(file);
    box_close(&one);
    box_close(&two);
}

/* A copy made while the original runs: what is in it stays as it is. */
static void copied_while_it_runs(void **state)
{
    (void)state;
    struct box box;
    struct runner runner;
    unsigned long moved = 0;

    memset(&runner, 0, sizeof(runner));
    box_open(&box);
    box_map_anonymous(&box, BOX_FREE, 2 * PAGE, RW);
    runner_start(&runner, box.fd, sn_count, BOX_FREE, 0);
    uint64_t last = 0;
    for (int round = 0; round < scaled(200); round++) {
        int copy = polder_copy(box.fd);
        assert_true(copy >= 0);
        uint64_t first, now, again, word = 1;
        assert_int_equal(polder_read(copy, &first, sizeof(first), BOX_FREE), sizeof(first));
        do {
            assert_int_equal(polder_read(box.fd, &now, sizeof(now), BOX_FREE), sizeof(now));
            sched_yield();
        } while (now < first + 100);
        assert_int_equal(polder_read(copy, &again, sizeof(again), BOX_FREE), sizeof(again));
        moved += first != again;
        assert_true(first >= last);
        last = first;
        /* Nor does the copy's write reach the original. */
        assert_int_equal(polder_write(copy, &word, sizeof(word), BOX_FREE), sizeof(word));
        assert_int_equal(polder_read(box.fd, &now, sizeof(now), BOX_FREE), sizeof(now));
        moved += now < again;
        assert_int_equal(close(copy), 0);
    }
    runner_stop(&runner);
    assert_int_equal(atomic_load(&runner.faults), 0);
    box_close(&box);
    assert_int_equal(moved, 0);
}

/* Threads that run, each in its own space and context, far more than there are processors. */
struct worker {
    pthread_t thread;
    int rounds;
    uint64_t tag;
    unsigned long wrong;
    struct box *shared; /* a space that all of them are in, or NULL */
};

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct polder_params params;

    polder_params_init(&params);
    for (int i = 0; i < w->rounds; i++) {
        aim(&params, sn_store, BOX_FREE + 8 * w->tag, w->tag * 1000 + (uint64_t)i);
        params.regs.rax = w->tag;
        w->wrong += polder_run_sandbox(w->shared->fd, &params) != 0 || params.reason != POLDER_SYSCALL ||
                    params.regs.orig_rax != w->tag;
        aim(&params, sn_load, BOX_FREE + 8 * w->tag, 0);
        w->wrong += polder_run_sandbox(w->shared->fd, &params) != 0 || params.reason != POLDER_SYSCALL ||
                    params.regs.rbx != w->tag * 1000 + (uint64_t)i;
    }
    polder_params_fini(&params);
    return NULL;
}

static void many_threads_in_one_space(void **state)
{
    (void)state;
    enum { THREADS = 24 };
    struct worker workers[THREADS];
    struct box box;

    box_open(&box);
    box_map_anonymous(&box, BOX_FREE, PAGE, RW);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.rounds = scaled(200), .tag = (uint64_t)i, .shared = &box};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_equal(workers[i].wrong, 0);
    }
    box_close(&box);
}

/* Threads that come and go leave no processor, descriptor or mapping behind. */
static void threads_come_and_go(void **state)
{
    (void)state;
    struct box box;
    size_t descriptors = 0, mappings = 0;

    box_open(&box);
    box_map_anonymous(&box, BOX_FREE, PAGE, RW);
    for (int i = 0; i < scaled(400) + 21; i++) {
        struct worker worker = {.rounds = 1, .tag = 3, .shared = &box};
        assert_int_equal(pthread_create(&worker.thread, NULL, worker_main, &worker), 0);
        assert_int_equal(pthread_join(worker.thread, NULL), 0);
        assert_int_equal(worker.wrong, 0);
        if (i == 20) {
            descriptors = own_descriptors();
            mappings = own_mappings();
        }
    }
    assert_true(own_descriptors() <= descriptors + 2);
    assert_true(own_mappings() <= mappings + 4);
    box_close(&box);
}

/*
 * Changers map, protect and unmap pages while sandboxes touch them all. Address i only ever shows page i of the file,
 * which holds the number i and nobody writes, and the pages past it hold other numbers.
 */
enum { CHAOS_PAGES = 64 };

struct changer {
    pthread_t thread;
    int fd, file;
    uint64_t seed;
    int rounds;
    size_t first, count; /* the pages that are this one's */
    unsigned long failed;
};

static void *changer_main(void *arg)
{
    struct changer *c = arg;

    for (int i = 0; i < c->rounds; i++) {
        size_t page = c->first + random_next(&c->seed) % c->count;
        size_t pages = 1 + random_next(&c->seed) % (c->first + c->count - page);
        void *at = (void *)(BOX_FREE + page * PAGE);
        struct polder_op ops[3];
        switch (random_next(&c->seed) >> 62) {
        case 0:
            c->failed += polder_munmap(at, pages * PAGE, c->fd) != 0;
            break;
        case 1:
            c->failed += polder_mmap(at, pages * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, c->file, (off_t)(page * PAGE),
                             c->fd) != at;
            break;
        case 2: /* fails where something is unmapped */
            polder_mprotect(at, pages * PAGE, random_next(&c->seed) & 1 ? PROT_NONE : PROT_READ, c->fd);
            break;
        default:
            ops[0] = (struct polder_op){.code = POLDER_OP_MUNMAP, .start = at, .length = pages * PAGE};
            ops[1] = (struct polder_op){.code = POLDER_OP_MMAP,
                .start = at,
                .length = pages * PAGE,
                .prot = PROT_READ,
                .flags = MAP_PRIVATE | MAP_FIXED,
                .src_fd = c->file,
                .offset = (off_t)(page * PAGE)};
            ops[2] =
                (struct polder_op){.code = POLDER_OP_MPROTECT, .start = at, .length = pages * PAGE, .prot = PROT_READ};
            c->failed += polder_apply(c->fd, ops, 3) != 0;
        }
    }
    return NULL;
}

static void everything_at_once(void **state)
{
    (void)state;
    struct box box;
    struct changer changers[3];
    int file = make_file(2 * CHAOS_PAGES, 0);
    uint64_t seed = 1234567;
    unsigned long loads = 0, faults = 0, wrong = 0;

    box_open(&box);
    for (int i = 0; i < 3; i++) {
        changers[i] = (struct changer){.fd = box.fd,
            .file = file,
            .seed = 55 + (uint64_t)i,
            .rounds = scaled(2500),
            .first = (size_t)i * 20,
            .count = 20};
        assert_int_equal(pthread_create(&changers[i].thread, NULL, changer_main, &changers[i]), 0);
    }
    for (int i = 0; i < scaled(8000); i++) {
        size_t page = random_next(&seed) % 60;
        const uint64_t at = BOX_FREE + page * PAGE;
        switch (box_run(&box, sn_load, at, 0)) {
        case POLDER_SYSCALL:
            loads++;
            wrong += box.params.regs.rbx != page;
            break;
        case POLDER_PAGE_FAULT:
            faults++;
            wrong += box.params.fault_addr != at;
            break;
        default:
            wrong++;
        }
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(changers[i].thread, NULL), 0);
        assert_int_equal(changers[i].failed, 0);
    }
    assert_int_equal(wrong, 0);
    assert_true(loads > 0 && faults > 0);
    /* And when it is over, the space is in order. */
    box_map(&box, BOX_FREE, CHAOS_PAGES * PAGE, PROT_READ, MAP_SHARED, file, 0);
    for (size_t page = 0; page < CHAOS_PAGES; page++)
        assert_int_equal(box_load(&box, BOX_FREE + page * PAGE), page);
    close(file);
    box_close(&box);
}

/* Spaces opened, copied, run in and closed by many threads at once. */
struct opener {
    pthread_t thread;
    struct box *box;
    int rounds;
    unsigned long wrong;
};

static void *opener_main(void *arg)
{
    struct opener *o = arg;
    struct polder_params params;

    polder_params_init(&params);
    for (int i = 0; i < o->rounds; i++) {
        int fd = i % 2 ? polder_copy(o->box->fd) : polder_open("/proc/mm");
        if (fd < 0) {
            o->wrong++;
            continue;
        }
        aim(&params, sn_store, BOX_FREE, (uint64_t)i);
        if (polder_run_sandbox(fd, &params) < 0)
            o->wrong++;
        else
            o->wrong += params.reason != (i % 2 ? POLDER_SYSCALL : POLDER_PAGE_FAULT);
        close(fd);
    }
    polder_params_fini(&params);
    return NULL;
}

static void spaces_opened_by_many_threads(void **state)
{
    (void)state;
    struct box box;
    struct opener openers[6];

    box_open(&box);
    box_map_anonymous(&box, BOX_FREE, PAGE, RW);
    box_store(&box, BOX_FREE, 4242);
    for (int i = 0; i < 6; i++) {
        openers[i] = (struct opener){.box = &box, .rounds = scaled(200)};
        assert_int_equal(pthread_create(&openers[i].thread, NULL, opener_main, &openers[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        assert_int_equal(pthread_join(openers[i].thread, NULL), 0);
        assert_int_equal(openers[i].wrong, 0);
    }
    assert_int_equal(box_load(&box, BOX_FREE), 4242);
    box_close(&box);
}

/*
 * Each thread replaces a page of its own, in a space that all of them run in, and must at once see what it has put
 * there. So vCPUs enter one after the other with edits that none of them made alone, and no two may carry them out at a
 * time.
 */
struct replacer {
    pthread_t thread;
    struct polder_params params;
    int fd, file;
    uint64_t at;
    off_t offsets[2];
    int rounds;
    unsigned long wrong;
};

static void *replacer_main(void *arg)
{
    struct replacer *r = arg;

    polder_params_init(&r->params);
    for (int i = 0; i < r->rounds; i++) {
        off_t offset = r->offsets[i % 2];
        void *got = polder_mmap((void *)r->at, PAGE, RW, MAP_SHARED | MAP_FIXED, r->file, offset, r->fd);
        aim(&r->params, sn_load, r->at, 0);
        if (got == MAP_FAILED || polder_run_sandbox(r->fd, &r->params) < 0 || r->params.reason != POLDER_SYSCALL ||
            r->params.regs.rbx != 1000 + (uint64_t)offset / PAGE)
            r->wrong++;
    }
    polder_params_fini(&r->params);
    return NULL;
}

static void each_sees_its_own_change(void **state)
{
    (void)state;
    struct box box;
    struct replacer replacers[6];
    int file = make_file(12, 1000);

    box_open(&box);
    for (int i = 0; i < 6; i++) {
        replacers[i] = (struct replacer){.fd = box.fd,
            .file = file,
            .at = BOX_FREE + (uint64_t)i * PAGE,
            .offsets = {(off_t)(2 * (unsigned)i * PAGE), (off_t)((2 * (unsigned)i + 1) * PAGE)},
            .rounds = scaled(4000)};
        assert_int_equal(pthread_create(&replacers[i].thread, NULL, replacer_main, &replacers[i]), 0);
    }
    unsigned long wrong = 0;
    for (int i = 0; i < 6; i++) {
        assert_int_equal(pthread_join(replacers[i].thread, NULL), 0);
        wrong += replacers[i].wrong;
    }
    assert_int_equal(wrong, 0);
    close(file);
    box_close(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_after_munmap),
        cmocka_unit_test(writes_after_mprotect),
        cmocka_unit_test(writes_after_replacement),
        cmocka_unit_test(writes_after_hiding),
        cmocka_unit_test(writes_after_apply),
        cmocka_unit_test(writes_to_large_pages),
        cmocka_unit_test(each_sees_its_own_change),
        cmocka_unit_test(reads_after_replacement),
        cmocka_unit_test(freed_memory_is_not_written_to),
        cmocka_unit_test(two_spaces_share_memory),
        cmocka_unit_test(copied_while_it_runs),
        cmocka_unit_test(many_threads_in_one_space),
        cmocka_unit_test(threads_come_and_go),
        cmocka_unit_test(everything_at_once),
        cmocka_unit_test(spaces_opened_by_many_threads),
    };
    return RUN_GROUP("threads", tests);
}
