/* SPDX-License-Identifier: MIT */
/*
 * Several vCPUs: translations that must be gone everywhere, roots that must be left, kicks that come at any moment, and
 * contexts that wander. tests/kvm's test_threads runs here as well; this is what it does not reach.
 */
#include "kernel.h"

#include <stdatomic.h>

static const uint64_t at = BOX_FREE;

/* ---------------------------------------------------------------- kicks */

struct kicked {
    pthread_t thread;
    struct box box;
    atomic_int kicks;
    atomic_bool stop;
    unsigned wrong;
};

static void *kicked_main(void *argument)
{
    struct kicked *k = argument;

    aim(&k->box.params, sn_spin, BOX_DATA, 0);
    while (!atomic_load(&k->stop)) {
        if (polder_run_sandbox(k->box.fd, &k->box.params) < 0 || k->box.params.reason != POLDER_KICK) {
            k->wrong++;
            break;
        }
        atomic_fetch_add(&k->kicks, 1);
    }
    return NULL;
}

/* A kick must not be lost between the last look at it and ring 3: nothing else would end the loop there. */
static void kicks_on_the_way_in(void **state)
{
    (void)state;
    struct kicked k = {.wrong = 0};
    const int rounds = times(8000, 600);
    uint64_t seed = 31;
    int lost = 0;

    box_open(&k.box);
    assert_int_equal(pthread_create(&k.thread, NULL, kicked_main, &k), 0);
    for (int i = 0; i < rounds && !k.wrong && lost < 4; i++) {
        random_delay(&seed, shim_ring0_is_emulated() ? 120 : 400);
        polder_kick(&k.box.params);
        uint64_t began = polder_clock(0);
        for (unsigned n = 0; atomic_load(&k.kicks) <= i && !k.wrong; n++) {
            sched_yield();
            if (n % 1024 == 1023 && polder_clock(0) - began > 3000000000) {
                lost++;
                polder_kick(&k.box.params);
                began = polder_clock(0);
            }
        }
    }
    atomic_store(&k.stop, true);
    polder_kick(&k.box.params);
    assert_int_equal(pthread_join(k.thread, NULL), 0);
    assert_int_equal(k.wrong, 0);
    if (lost)
        fail_msg("%d of %d kicks were lost", lost, rounds);
    box_close(&k.box);
}

/* A vCPU whose run was ended by a kick, and that stays in the kernel, takes part in what follows. */
static void after_a_kick(void **state)
{
    (void)state;
    struct kicked k = {.wrong = 0};

    for (int i = 0; i < times(200, 20); i++) {
        memset(&k, 0, sizeof(k));
        box_open(&k.box);
        assert_int_equal(pthread_create(&k.thread, NULL, kicked_main, &k), 0);
        while (!k.box.data[0])
            sched_yield();
        atomic_store(&k.stop, true);
        polder_kick(&k.box.params);
        /* That vCPU is in the kernel now, or about to be, and every other one must hear of what is unmapped here. */
        for (int j = 0; j < 3; j++) {
            void *page = polder_mmap(NULL, PAGE, RW | POLDER_PRIVILEGED, ANONYMOUS, -1, 0, -1);
            assert_ptr_not_equal(page, MAP_FAILED);
            assert_ok(polder_munmap(page, PAGE, -1));
        }
        assert_int_equal(pthread_join(k.thread, NULL), 0);
        assert_int_equal(k.wrong, 0);
        box_close(&k.box);
    }
}

/* ---------------------------------------------------------------- translations */

/* Writers in one space, for ever; after a fault they wait until they are let go. */
struct writer {
    pthread_t thread;
    struct polder_params params;
    int fd;
    atomic_bool stop, waiting;
    atomic_uint reason, wrong;
};

static void *writer_main(void *argument)
{
    struct writer *w = argument;

    while (!atomic_load(&w->stop)) {
        if (polder_run_sandbox(w->fd, &w->params) < 0) {
            atomic_fetch_add(&w->wrong, 1);
            break;
        }
        atomic_store(&w->reason, w->params.reason);
        if (w->params.reason == POLDER_KICK)
            continue;
        if (w->params.reason != POLDER_PAGE_FAULT && w->params.reason != POLDER_BUS)
            atomic_fetch_add(&w->wrong, 1);
        atomic_store(&w->waiting, true);
        while (atomic_load(&w->waiting) && !atomic_load(&w->stop))
            sched_yield();
    }
    return NULL;
}

static void writer_start(struct writer *w, int fd, uint64_t address)
{
    memset(w, 0, sizeof(*w));
    polder_params_init(&w->params);
    aim(&w->params, sn_count, address, 0);
    w->fd = fd;
    assert_int_equal(pthread_create(&w->thread, NULL, writer_main, w), 0);
}

static void writer_stop(struct writer *w)
{
    atomic_store(&w->stop, true);
    polder_kick(&w->params);
    assert_int_equal(pthread_join(w->thread, NULL), 0);
    polder_params_fini(&w->params);
    assert_int_equal(atomic_load(&w->wrong), 0);
}

/* The old page is looked at at once and again, for it is still there: the memory object has it. */
static void take_pages_away(int count, int rounds)
{
    struct box box;
    struct writer writers[2];
    int memory = make_file(2, 0);
    volatile uint64_t *old = polder_file_page(memory, 0), *other = polder_file_page(memory, PAGE);
    uint64_t seed = 17;
    unsigned stale = 0;

    box_open(&box);
    box_map(&box, at, PAGE, RW, MAP_SHARED, memory, 0);
    for (uint64_t i = 0; i < (uint64_t)count; i++)
        writer_start(&writers[i], box.fd, at + 8 * i);
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < count; i++)
            for (uint64_t was = old[i]; old[i] == was; sched_yield())
                atomic_store(&writers[i].waiting, false);
        random_delay(&seed, shim_ring0_is_emulated() ? 50 : 500);
        switch (round % 4) {
        case 0:
            assert_ok(polder_munmap((void *)at, PAGE, box.fd));
            break;
        case 1:
            assert_ok(polder_mprotect((void *)at, PAGE, PROT_READ, box.fd));
            break;
        case 2:
            assert_ok(polder_mprotect((void *)at, PAGE, RW | POLDER_PRIVILEGED, box.fd));
            break;
        default:
            box_map(&box, at, PAGE, RW, MAP_SHARED, memory, PAGE);
        }
        const uint64_t before[] = {old[0], old[1]};
        random_delay(&seed, shim_ring0_is_emulated() ? 50 : 500);
        stale += (old[0] != before[0]) + (old[1] != before[1]);
        if (round % 4 == 3) { /* both go on in the other page */
            for (int i = 0; i < count; i++)
                for (uint64_t was = other[i]; other[i] == was;)
                    sched_yield();
            stale += (old[0] != before[0]) + (old[1] != before[1]);
            box_map(&box, at, PAGE, RW, MAP_SHARED, memory, 0);
            continue;
        }
        for (int i = 0; i < count; i++) {
            while (!atomic_load(&writers[i].waiting) && old[i] == before[i])
                sched_yield();
            stale += old[i] != before[i];
        }
        if (round % 4 == 0)
            box_map(&box, at, PAGE, RW, MAP_SHARED, memory, 0);
        else
            assert_ok(polder_mprotect((void *)at, PAGE, RW, box.fd));
    }
    for (int i = 0; i < count; i++)
        writer_stop(&writers[i]);
    if (stale)
        fail_msg("%u writes through an old translation in %d rounds", stale, rounds);
    close(memory);
    box_close(&box);
}

static void pages_that_were_taken_away(void **state)
{
    (void)state;
    take_pages_away(1, times(1500, 100));
    take_pages_away(2, times(60, 8)); /* more vCPUs than processors, it may be: their turns are long */
}

/* Memory that is cut under a writer: it gets BUS, and whoever has the page next has it alone. */
static void memory_that_is_cut(void **state)
{
    (void)state;
    struct box box;
    struct writer writer;
    int memory = make_file(1, 0);
    unsigned dirty = 0;
    const int rounds = times(1000, 60);

    box_open(&box);
    box_map(&box, at, PAGE, RW, MAP_SHARED, memory, 0);
    writer_start(&writer, box.fd, at);
    for (int round = 0; round < rounds; round++) {
        volatile uint64_t *page = polder_file_page(memory, 0);
        for (uint64_t was = *page; *page == was; sched_yield())
            atomic_store(&writer.waiting, false);
        assert_ok(polder_memory_resize(memory, 0));
        int next = polder_memory_create(8 * PAGE);
        volatile uint64_t *words[8];
        for (size_t i = 0; i < 8; i++)
            words[i] = polder_file_page(next, i * PAGE);
        do {
            for (size_t i = 0; i < 8; i++)
                dirty += words[i][0] != 0;
        } while (!dirty && !atomic_load(&writer.waiting));
        if (dirty)
            break;
        assert_int_equal(atomic_load(&writer.reason), POLDER_BUS);
        assert_ok(polder_memory_resize(memory, PAGE));
        close(next);
    }
    writer_stop(&writer);
    assert_int_equal(dirty, 0);
    close(memory);
    box_close(&box);
}

/* ---------------------------------------------------------------- the kernel's own translations */

struct reader {
    pthread_t thread;
    volatile uint64_t *volatile where;
    atomic_int asked, answered;
    uint64_t answer;
    atomic_bool stop;
};

static void *reader_main(void *argument)
{
    struct reader *r = argument;

    while (!atomic_load(&r->stop)) {
        if (atomic_load(&r->asked) == atomic_load(&r->answered)) {
            sched_yield();
            continue;
        }
        r->answer = *r->where;
        atomic_fetch_add(&r->answered, 1);
    }
    return NULL;
}

static uint64_t ask(struct reader *r, volatile uint64_t *where)
{
    r->where = where;
    int asked = atomic_fetch_add(&r->asked, 1) + 1;
    while (atomic_load(&r->answered) != asked)
        sched_yield();
    return r->answer;
}

static void the_kernels_own_mappings(void **state)
{
    (void)state;
    struct reader r = {.answer = 0};
    int memory = make_file(64, 9000);
    uint64_t same = 0;
    uint64_t *last = NULL;
    const int rounds = times(1000, 60);

    assert_int_equal(pthread_create(&r.thread, NULL, reader_main, &r), 0);
    for (int round = 0; round < rounds; round++) {
        uint64_t page = (uint64_t)round % 64;
        /* The upper half by turns with the lower one. */
        uint64_t *view = round & 1 ? polder_mmap((void *)0x7000000, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, memory,
                                         (off_t)(page * PAGE), -1)
                                   : polder_mmap(NULL, PAGE, PROT_READ | POLDER_PRIVILEGED, MAP_SHARED, memory,
                                         (off_t)(page * PAGE), -1);
        assert_ptr_not_equal(view, MAP_FAILED);
        same += !(round & 1) && view == last;
        assert_int_equal(ask(&r, view), 9000 + page);
        if (!(round & 1))
            last = view;
        assert_ok(polder_munmap(view, PAGE, -1));
    }
    atomic_store(&r.stop, true);
    assert_int_equal(pthread_join(r.thread, NULL), 0);
    assert_true(same > 0); /* or nothing was tested */
    close(memory);
}

/* ---------------------------------------------------------------- roots */

struct visitor {
    pthread_t thread;
    struct polder_params params;
    atomic_int fd; /* where to go next; -1: nowhere, -2: home */
    uint64_t cr3;
    atomic_bool look; /* CR3, please */
    unsigned wrong;
};

static void *visitor_main(void *argument)
{
    struct visitor *v = argument;
    int fd;

    polder_params_init(&v->params);
    while ((fd = atomic_load(&v->fd)) != -2) {
        if (fd >= 0) {
            aim(&v->params, sn_syscall, 0, 0);
            v->wrong += polder_run_sandbox(fd, &v->params) < 0 || v->params.reason != POLDER_SYSCALL;
            v->cr3 = read_cr3();
            atomic_store(&v->fd, -1);
        } else if (atomic_load(&v->look)) {
            v->cr3 = read_cr3();
            atomic_store(&v->look, false);
        } else {
            sched_yield();
        }
    }
    polder_params_fini(&v->params);
    return NULL;
}

static void visit(struct visitor *v, int fd)
{
    atomic_store(&v->fd, fd);
    while (atomic_load(&v->fd) == fd)
        sched_yield();
}

/* A space that is closed here while another vCPU has its root loaded: it is made to leave it. */
static void roots_that_are_left(void **state)
{
    (void)state;
    struct box box;
    struct visitor v = {.fd = -1};
    const int rounds = times(1000, 40);
    int kept = 0;

    box_open(&box);
    box_map_anonymous(&box, at, PAGE, RW);
    box_store(&box, at, 5);
    assert_int_equal(pthread_create(&v.thread, NULL, visitor_main, &v), 0);
    for (int round = 0; round < rounds; round++) {
        int space = round & 1 ? polder_copy(box.fd) : polder_open("/proc/mm");
        assert_true(space >= 0);
        if (!(round & 1))
            fill_space(space, box.data_fd);
        visit(&v, space);
        uint64_t was = v.cr3;
        close(space);
        atomic_store(&v.look, true);
        while (atomic_load(&v.look))
            sched_yield();
        kept += v.cr3 == was;
    }
    atomic_store(&v.fd, -2);
    assert_int_equal(pthread_join(v.thread, NULL), 0);
    assert_int_equal(v.wrong, 0);
    assert_int_equal(kept, 0);
    assert_int_equal(box_load(&box, at), 5);
    box_close(&box);
}

/* ---------------------------------------------------------------- FPU state */

struct hopper {
    pthread_t thread;
    struct box *box;
    struct polder_params *context; /* one for all of them */
    atomic_int *turn;
    int number, rounds, lost;
};

enum { HOPPERS = 3 };

/* Its turn: what the last one left must be there; then something else is left. */
static void *hopper_main(void *argument)
{
    struct hopper *h = argument;

    for (int i = h->number; i < h->rounds; i += HOPPERS) {
        while (atomic_load(h->turn) != i)
            sched_yield();
        for (uint64_t word = 0; word < 32; word++)
            h->box->data[word] = 0;
        aim(h->context, sn_xmm_store, BOX_DATA, 0);
        h->lost += polder_run_sandbox(h->box->fd, h->context) != 0;
        for (uint64_t word = 0; word < 32; word++)
            h->lost += h->box->data[word] != (i ? (uint64_t)i * 1000 + word : 0);
        for (uint64_t word = 0; word < 32; word++)
            h->box->data[word] = (uint64_t)(i + 1) * 1000 + word;
        aim(h->context, sn_xmm_load, BOX_DATA, 0);
        h->context->regs.fs_base = (uint64_t)i;
        h->lost += polder_run_sandbox(h->box->fd, h->context) != 0 || h->context->regs.fs_base != (uint64_t)i;
        atomic_store(h->turn, i + 1);
    }
    return NULL;
}

static void a_context_that_wanders(void **state)
{
    (void)state;
    struct box box;
    struct hopper hoppers[HOPPERS];
    atomic_int turn = 0;
    const int rounds = times(200, 30);

    box_open(&box);
    for (int i = 0; i < HOPPERS; i++) {
        hoppers[i] = (struct hopper){.box = &box, .context = &box.params, .turn = &turn, .number = i, .rounds = rounds};
        assert_int_equal(pthread_create(&hoppers[i].thread, NULL, hopper_main, &hoppers[i]), 0);
    }
    for (int i = 0; i < HOPPERS; i++) {
        assert_int_equal(pthread_join(hoppers[i].thread, NULL), 0);
        assert_int_equal(hoppers[i].lost, 0);
    }
    box_close(&box);
}

/* ---------------------------------------------------------------- all together, and nothing is left */

struct worker {
    pthread_t thread;
    struct box *box;
    int rounds;
    uint64_t seed;
    unsigned wrong;
};

static void *worker_main(void *argument)
{
    struct worker *w = argument;
    struct polder_params params;

    polder_params_init(&params);
    for (int i = 0; i < w->rounds; i++) {
        int space = polder_copy(w->box->fd), memory = polder_memory_create(4 * PAGE);
        uint64_t word = random_next(&w->seed), got = 0;
        const uint64_t page = random_next(&w->seed) % 4;
        w->wrong += space < 0 || memory < 0;
        w->wrong +=
            polder_mmap((void *)(at + 64 * PAGE), 4 * PAGE, RW, MAP_SHARED | MAP_FIXED, memory, 0, space) == MAP_FAILED;
        for (int half = 0; half < 2; half++) {
            aim(&params, sn_store, at + half * 64 * PAGE + page * PAGE, word + (uint64_t)half);
            w->wrong += polder_run_sandbox(space, &params) < 0 || params.reason != POLDER_SYSCALL;
        }
        w->wrong += polder_read(space, &got, sizeof(got), at + page * PAGE) != sizeof(got) || got != word;
        w->wrong += *(uint64_t *)polder_file_page(memory, page * PAGE) != word + 1;
        if (i % 3 == 0) {
            w->wrong += polder_memory_resize(memory, 0) != 0;
            aim(&params, sn_load, at + 64 * PAGE + page * PAGE, 0);
            w->wrong += polder_run_sandbox(space, &params) < 0 || params.reason != POLDER_BUS;
        }
        w->wrong += polder_read(w->box->fd, &got, sizeof(got), at + page * PAGE) != sizeof(got) || got != 77;
        w->wrong += close(memory) != 0 || close(space) != 0;
    }
    polder_params_fini(&params);
    return NULL;
}

static void all_together(void **state)
{
    (void)state;
    struct box box;
    struct worker workers[3];
    uint64_t used[3];

    box_open(&box);
    box_map_anonymous(&box, at, 4 * PAGE, RW);
    for (uint64_t page = 0; page < 4; page++)
        box_store(&box, at + page * PAGE, 77);
    for (int pass = 0; pass < 3; pass++) {
        for (uint64_t i = 0; i < 3; i++) {
            workers[i] = (struct worker){.box = &box, .rounds = times(100, 6), .seed = 3 + i};
            assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), 0);
        }
        for (int i = 0; i < 3; i++) {
            assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
            assert_int_equal(workers[i].wrong, 0);
        }
        used[pass] = polder_memory_used();
    }
    if (used[2] > used[1] + 4 * PAGE)
        fail_msg("%lu bytes in use, then %lu", used[1], used[2]);
    for (uint64_t page = 0; page < 4; page++)
        assert_int_equal(box_load(&box, at + page * PAGE), 77);
    box_close(&box);
}

static void starting_vcpus(void **state)
{
    (void)state;
    assert_int_equal(polder_cpu(), 0);
    assert_errno(polder_cpu_start(0, NULL, NULL), EBUSY);
    assert_errno(polder_cpu_start(polder_cpu_count(), NULL, NULL), EINVAL);
    assert_errno(polder_cpu_start(UINT32_MAX, NULL, NULL), EINVAL);
    assert_errno(polder_cpu_start(1, NULL, NULL), EBUSY); /* the tests before have started it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kicks_on_the_way_in),
        cmocka_unit_test(after_a_kick),
        cmocka_unit_test(pages_that_were_taken_away),
        cmocka_unit_test(memory_that_is_cut),
        cmocka_unit_test(the_kernels_own_mappings),
        cmocka_unit_test(roots_that_are_left),
        cmocka_unit_test(a_context_that_wanders),
        cmocka_unit_test(all_together),
        cmocka_unit_test(starting_vcpus),
    };
    return RUN_GROUP("cpus", tests);
}
