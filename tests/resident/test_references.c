/* SPDX-License-Identifier: MIT */
/*
 * Several vCPUs: a reference is given up only once nobody can reach by it; and what two vCPUs do to one memory object,
 * or to one space, at the same time.
 */
#include "kernel.h"

#include <stdatomic.h>

static const uint64_t at = BOX_FREE;

/* ---------------------------------------------------------------- */

struct scribbler {
    pthread_t thread;
    struct polder_params params;
    int fd;
    atomic_bool stop;
};

static void *scribbler_main(void *argument)
{
    struct scribbler *s = argument;

    while (!atomic_load(&s->stop) && polder_run_sandbox(s->fd, &s->params) == 0 && s->params.reason == POLDER_KICK)
        ;
    return NULL;
}

static void scribbler_start(struct scribbler *s, int fd, uint64_t address)
{
    memset(s, 0, sizeof(*s));
    polder_params_init(&s->params);
    aim(&s->params, sn_count, address, 0);
    s->fd = fd;
    assert_int_equal(pthread_create(&s->thread, NULL, scribbler_main, s), 0);
}

static void scribbler_stop(struct scribbler *s)
{
    atomic_store(&s->stop, true);
    polder_kick(&s->params);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    polder_params_fini(&s->params);
}

/*
 * Shared memory that only its mapping holds is unmapped while another vCPU writes there; in the same breath, before
 * that vCPU has been forced out, memory is brought in elsewhere. It must be other memory.
 */
static void memory_that_its_mapping_held(void **state)
{
    (void)state;
    enum { PAGES = 64 };
    static uint64_t got[PAGES * PAGE / 8];
    struct box box;
    struct scribbler scribbler;
    unsigned dirty = 0;
    const int rounds = times(300, 20);
    const struct polder_op ops[] = {{.code = POLDER_OP_MUNMAP, .start = (void *)at, .length = PAGE},
        {.code = POLDER_OP_MMAP,
            .prot = RW,
            .flags = ANONYMOUS | MAP_FIXED | MAP_POPULATE,
            .src_fd = -1,
            .start = (void *)(at + HUGE_PAGE),
            .length = PAGES * PAGE}};

    /* Memory that was never used would be taken first: there is to be none. */
    int other = -1;
    for (int i = 0; i < 2; i++) {
        if (i)
            close(other);
        other = polder_open("/proc/mm");
        box_map(&(struct box){.fd = other}, at, 2100 * PAGE, RW, ANONYMOUS | MAP_POPULATE, -1, 0);
    }
    box_open(&box);
    for (int round = 0; round < rounds && !dirty; round++) {
        box_map(&box, at, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        scribbler_start(&scribbler, box.fd, at);
        uint64_t first = 0;
        while (!first)
            assert_int_equal(polder_read(box.fd, &first, sizeof(first), at), sizeof(first));
        assert_ok(polder_apply(box.fd, ops, 2));
        assert_int_equal(polder_read(box.fd, got, sizeof(got), at + HUGE_PAGE), sizeof(got));
        for (size_t i = 0; i < sizeof(got) / 8; i++)
            dirty += got[i] != 0;
        scribbler_stop(&scribbler);
        assert_ok(polder_munmap((void *)(at + HUGE_PAGE), PAGES * PAGE, box.fd));
    }
    assert_int_equal(dirty, 0);
    close(other);
    box_close(&box);
}

/* ---------------------------------------------------------------- */

struct copier {
    pthread_t thread;
    int fd, copy;
    atomic_int asked, begun, answered;
};

static void *copier_main(void *argument)
{
    struct copier *c = argument;
    int asked;

    while ((asked = atomic_load(&c->asked)) >= 0) {
        if (asked == atomic_load(&c->answered))
            continue;
        atomic_store(&c->begun, asked);
        c->copy = polder_copy(c->fd);
        atomic_store(&c->answered, asked);
    }
    return NULL;
}

/* Memory is cut while a space that has it mapped is copied: the copy must not keep what was cut off. */
static void memory_that_is_cut_while_it_is_copied(void **state)
{
    (void)state;
    /* A copy, and a cut, must take longer than the delay between them. */
    const uint64_t pages = shim_ring0_is_emulated() ? 32 : 256;
    struct box box;
    struct copier c = {.copy = -1};
    struct polder_params params;
    uint64_t seed = 5;
    int memory = make_file(pages, 0);
    const int rounds = times(1500, 60);
    int kept = 0;

    box_open(&box);
    box_map(&box, at, pages * PAGE, RW, MAP_SHARED, memory, 0);
    c.fd = box.fd;
    polder_params_init(&params);
    assert_int_equal(pthread_create(&c.thread, NULL, copier_main, &c), 0);
    for (int round = 1; round <= rounds; round++) {
        assert_ok(polder_memory_resize(memory, pages * PAGE));
        for (uint64_t page = 0; page < pages; page++)
            box_store(&box, at + page * PAGE, 1);
        atomic_store(&c.asked, round);
        while (atomic_load(&c.begun) != round)
            ;
        random_delay(&seed, shim_ring0_is_emulated() ? 100 : 2000);
        assert_ok(polder_memory_resize(memory, 0));
        while (atomic_load(&c.answered) != round)
            ;
        assert_true(c.copy >= 0);
        aim(&params, sn_load, at + (pages - 1) * PAGE, 0);
        assert_ok(polder_run_sandbox(c.copy, &params));
        kept += params.reason != POLDER_BUS;
        close(c.copy);
    }
    atomic_store(&c.asked, -1);
    assert_int_equal(pthread_join(c.thread, NULL), 0);
    polder_params_fini(&params);
    assert_int_equal(kept, 0);
    close(memory);
    box_close(&box);
}

struct resizer {
    pthread_t thread;
    int memory;
    atomic_int asked, answered;
};

static void *resizer_main(void *argument)
{
    struct resizer *r = argument;
    int asked;

    while ((asked = atomic_load(&r->asked)) >= 0) {
        if (asked == atomic_load(&r->answered))
            continue;
        polder_memory_resize(r->memory, 0);
        atomic_store(&r->answered, asked);
    }
    return NULL;
}

/* One vCPU cuts memory, another makes it large again at once: whoever maps it afterwards has the one memory. */
static void memory_that_is_cut_and_grows(void **state)
{
    (void)state;
    const uint64_t pages = shim_ring0_is_emulated() ? 128 : 512;
    struct box box;
    int memory = make_file(pages, 0);
    struct resizer r = {.memory = memory};
    const int rounds = times(1500, 60);
    int apart = 0;

    box_open(&box);
    box_map(&box, at, pages * PAGE, RW, MAP_SHARED, memory, 0);
    assert_int_equal(pthread_create(&r.thread, NULL, resizer_main, &r), 0);
    for (int round = 1; round <= rounds; round++) {
        assert_ok(polder_memory_resize(memory, pages * PAGE));
        for (uint64_t page = 0; page < pages; page++)
            *(uint64_t *)polder_file_page(memory, page * PAGE) = 1;
        atomic_store(&r.asked, round);
        while (polder_file_size(memory))
            ;
        assert_ok(polder_memory_resize(memory, pages * PAGE));
        /* The last page, so that what cuts is not there yet. */
        box_store(&box, at + (pages - 1) * PAGE, (uint64_t)round);
        while (atomic_load(&r.answered) != round)
            ;
        uint64_t *page = polder_file_page(memory, (pages - 1) * PAGE);
        apart += box_load(&box, at + (pages - 1) * PAGE) != *page;
    }
    atomic_store(&r.asked, -1);
    assert_int_equal(pthread_join(r.thread, NULL), 0);
    assert_int_equal(apart, 0);
    close(memory);
    box_close(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_its_mapping_held),
        cmocka_unit_test(memory_that_is_cut_while_it_is_copied),
        cmocka_unit_test(memory_that_is_cut_and_grows),
    };
    return RUN_GROUP("references", tests);
}
