/* SPDX-License-Identifier: MIT */
/*
 * Threads map, replace, protect, copy and unmap pages under sandboxes that load and store them for ever. Each page of
 * the file carries a stamp that grows with each mapping of its place. When an operation has returned, the next stamp is
 * due there: a sandbox that has read what is due must not load an older stamp, nor may what it then stores come to lie
 * in a page with an older one. Both are stale accesses. Private memory is given to another space at once, where nobody
 * else may write to it; and what is in a copy stays.
 *
 * OPERATIONS, in the environment, is how many; the first stale access ends it.
 */
#include "../kvm/sandbox.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define RW (PROT_READ | PROT_WRITE)
#define CODE 0x12000000ul

enum { RUNNERS = 2, CHANGERS = 2, PLACES = 8, POOL = 32, ALL_PLACES = CHANGERS * PLACES };

extern const char patrol_begin[], patrol_next[], patrol_end[];

/* Pages of the file: first what sandboxes and host share, then a pool for each changer. */
struct shared {
    uint64_t due_load[ALL_PLACES], due_store[ALL_PLACES];
    struct {
        uint64_t stale, pages;
    } counts[RUNNERS];
};
_Static_assert(sizeof(struct shared) <= PAGE, "one page");

static int space, other, file;
static volatile uint64_t *view;
static volatile struct shared *shared;
static atomic_bool stop;
static atomic_ulong stale, failed, operations;

/* ---------------------------------------------------------------- sandboxes */

struct runner {
    pthread_t thread;
    struct polder_params params;
};

static void *runner_main(void *argument)
{
    struct runner *r = argument;

    while (!atomic_load(&stop)) {
        if (polder_run_sandbox(space, &r->params) < 0) {
            atomic_fetch_add(&failed, 1);
            break;
        }
        if (r->params.reason == POLDER_PAGE_FAULT)
            r->params.regs.rip = CODE + (uint64_t)(patrol_next - patrol_begin);
        else if (r->params.reason != POLDER_KICK) {
            atomic_fetch_add(&failed, 1);
            break;
        }
    }
    return NULL;
}

static void runner_start(struct runner *r, uint64_t number)
{
    polder_params_init(&r->params);
    r->params.regs.rip = CODE;
    r->params.regs.rdi = BOX_FREE;
    r->params.regs.rsi = BOX_DATA + offsetof(struct shared, due_load);
    r->params.regs.r11 = BOX_DATA + offsetof(struct shared, due_store);
    r->params.regs.r8 = ALL_PLACES;
    r->params.regs.r9 = BOX_DATA + offsetof(struct shared, counts) + number * sizeof(shared->counts[0]);
    assert_int_equal(pthread_create(&r->thread, NULL, runner_main, r), 0);
}

/* ---------------------------------------------------------------- changers */

struct changer {
    pthread_t thread;
    unsigned number;
    uint64_t seed, stamp; /* the last that was given to a page */
    unsigned long rounds;
    int in_place[PLACES];  /* which page of the pool, or NOTHING of it */
    bool in_use[POOL];     /* pages of the pool that are mapped */
    uint64_t stamps[POOL]; /* what a page carries */
};
#define NOTHING (-1)
#define PRIVATE_PLACE (PLACES - 1u)

static size_t pool_page(const struct changer *c, unsigned page)
{
    return 1 + c->number * POOL + page;
}

static void *place_at(const struct changer *c, unsigned place)
{
    return (void *)(BOX_FREE + c->number * HUGE_PAGE + place * PAGE);
}

static void due(const struct changer *c, unsigned place, uint64_t load, uint64_t store)
{
    shared->due_load[c->number * PLACES + place] = load;
    shared->due_store[c->number * PLACES + place] = store;
}

static void check(bool good)
{
    if (!good)
        atomic_fetch_add(&failed, 1);
}

/* A page that nobody may store to any more: whoever knew that something newer was due has not. */
static void look_at(const struct changer *c, unsigned page)
{
    if (view[pool_page(c, page) * PAGE / 8 + 1] > c->stamps[page])
        atomic_fetch_add(&stale, 1);
}

/* A page of the pool with the next stamp. */
static unsigned take_page(struct changer *c)
{
    unsigned page = (unsigned)(random_next(&c->seed) % POOL);

    while (c->in_use[page])
        page = (page + 1) % POOL;
    look_at(c, page);
    volatile uint64_t *words = &view[pool_page(c, page) * PAGE / 8];
    words[1] = 0;
    words[0] = c->stamps[page] = ++c->stamp;
    c->in_use[page] = true;
    return page;
}

/* What was in the place is not there any more, and the page is. */
static void comes(struct changer *c, unsigned place, int page)
{
    if (c->in_place[place] >= 0) {
        look_at(c, (unsigned)c->in_place[place]);
        c->in_use[c->in_place[place]] = false;
    }
    c->in_place[place] = page;
}

static void goes(struct changer *c, unsigned place)
{
    comes(c, place, NOTHING);
    due(c, place, place == PRIVATE_PLACE ? 0 : c->stamp + 1, c->stamp + 1);
}

/* Private memory of the space carries no stamp: it has a place of its own, where no load is looked at. */
static void *map_private(const struct changer *c)
{
    void *at = place_at(c, PRIVATE_PLACE);

    check(polder_mmap(at, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, space) == at);
    return at;
}

static struct polder_op mapping(const struct changer *c, unsigned place, unsigned page)
{
    return (struct polder_op){.code = POLDER_OP_MMAP,
        .prot = RW,
        .flags = MAP_SHARED | MAP_FIXED,
        .src_fd = file,
        .start = place_at(c, place),
        .length = PAGE,
        .offset = (off_t)(pool_page(c, page) * PAGE)};
}

static void map_page(struct changer *c, unsigned place, bool unmap_first)
{
    unsigned page = take_page(c);
    struct polder_op ops[2] = {
        {.code = POLDER_OP_MUNMAP, .start = place_at(c, place), .length = PAGE}, mapping(c, place, page)};

    check(polder_apply(space, ops + !unmap_first, 1 + unmap_first) == 0);
    comes(c, place, (int)page);
    due(c, place, c->stamp, c->stamp);
}

static void unmap_page(struct changer *c, unsigned place)
{
    check(polder_munmap(place_at(c, place), PAGE, space) == 0);
    goes(c, place);
}

/* Their tables go as well. */
static void unmap_all(struct changer *c)
{
    check(polder_munmap(place_at(c, 0), HUGE_PAGE, space) == 0);
    for (unsigned place = 0; place < PLACES; place++)
        goes(c, place);
}

static void protect_page(struct changer *c, unsigned place)
{
    int page = c->in_place[place];

    if (page < 0)
        return;
    check(polder_mprotect(place_at(c, place), PAGE, PROT_READ, space) == 0);
    due(c, place, c->stamps[page], c->stamp + 1);
    look_at(c, (unsigned)page);
    for (int i = 0; i < 4; i++)
        sched_yield();
    look_at(c, (unsigned)page);
    /* The store that is due will be right when it can be made. */
    view[pool_page(c, (unsigned)page) * PAGE / 8] = c->stamps[page] = ++c->stamp;
    check(polder_mprotect(place_at(c, place), PAGE, RW, space) == 0);
}

/* Memory of the space that becomes another one's. */
static void give_away(struct changer *c)
{
    const uint64_t mark = 0x1234567800000000 + c->stamp;
    uint64_t words[2] = {mark, mark}, again[2];
    void *at = map_private(c);

    uint64_t word = 0;
    for (int i = 0; i < 100 && !word; i++, sched_yield())
        check(polder_read(space, &word, sizeof(word), (uint64_t)at + 8) == sizeof(word));
    unmap_page(c, PRIVATE_PLACE);
    check(polder_mmap(at, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, other) == at);
    check(polder_write(other, words, sizeof(words), (uint64_t)at) == sizeof(words));
    for (int i = 0; i < 4; i++) {
        check(polder_read(other, again, sizeof(again), (uint64_t)at) == sizeof(again));
        if (again[0] != mark || again[1] != mark)
            atomic_fetch_add(&stale, 1);
        sched_yield();
    }
    check(polder_munmap(at, PAGE, other) == 0);
}

static void copy_space(struct changer *c)
{
    void *at = map_private(c);
    uint64_t first, again;

    for (int i = 0; i < 2; i++) {
        due(c, PRIVATE_PLACE, 0, ++c->stamp);
        int copy = polder_copy(space);
        check(copy >= 0);
        due(c, PRIVATE_PLACE, 0, ++c->stamp);
        check(polder_read(copy, &first, sizeof(first), (uint64_t)at + 8) == sizeof(first));
        for (int j = 0; j < 4; j++)
            sched_yield();
        check(polder_read(copy, &again, sizeof(again), (uint64_t)at + 8) == sizeof(again));
        if (first != again || first == c->stamp)
            atomic_fetch_add(&stale, 1);
        close(copy);
    }
    unmap_page(c, PRIVATE_PLACE);
}

static bool goes_on(void)
{
    for (unsigned i = 0; i < RUNNERS; i++) {
        if (shared->counts[i].stale)
            atomic_store(&stale, shared->counts[i].stale);
    }
    return !atomic_load(&stale) && !atomic_load(&failed);
}

/* Each sandbox has been at a page since: nobody changes what nobody uses. */
static void wait_for_runners(void)
{
    for (unsigned i = 0; i < RUNNERS; i++) {
        for (uint64_t pages = shared->counts[i].pages; shared->counts[i].pages == pages && goes_on();)
            sched_yield();
    }
}

static void *changer_main(void *argument)
{
    struct changer *c = argument;

    for (unsigned long i = 0; i < c->rounds && goes_on(); i++) {
        if (i % 8 == 0)
            wait_for_runners();
        unsigned place = (unsigned)(random_next(&c->seed) >> 40) % PRIVATE_PLACE;
        unsigned what = (unsigned)(random_next(&c->seed) >> 40) % 64;
        if (what < 16)
            unmap_page(c, place);
        else if (what < 32)
            map_page(c, place, false);
        else if (what < 44)
            map_page(c, place, true);
        else if (what < 56)
            protect_page(c, place);
        else if (what < 59)
            unmap_all(c);
        else if (what < 62)
            give_away(c);
        else
            copy_space(c);
        atomic_fetch_add(&operations, 1);
    }
    return NULL;
}

static void operations_under_running_sandboxes(void **state)
{
    (void)state;
    static struct runner runners[RUNNERS];
    static struct changer changers[CHANGERS];
    const char *wanted = getenv("OPERATIONS");
    const unsigned long count = wanted ? strtoull(wanted, NULL, 10) : (unsigned long)scaled(2500);
    const size_t pages = 1 + CHANGERS * POOL;

    if (wanted)
        alarm(0);
    file = make_file(pages, 0);
    view = mmap(NULL, pages * PAGE, RW, MAP_SHARED, file, 0);
    assert_ptr_not_equal(view, MAP_FAILED);
    shared = (volatile struct shared *)view;
    memset((void *)view, 0, PAGE);
    space = polder_open("/proc/mm");
    other = polder_open("/proc/mm");
    assert_true(space >= 0 && other >= 0);
    box_map(&(struct box){.fd = space}, BOX_DATA, PAGE, RW, MAP_SHARED, file, 0);
    box_map_anonymous(&(struct box){.fd = space}, CODE, PAGE, ALL_RWX);
    assert_int_equal(
        polder_write(space, patrol_begin, (size_t)(patrol_end - patrol_begin), CODE), patrol_end - patrol_begin);

    for (uint64_t i = 0; i < RUNNERS; i++)
        runner_start(&runners[i], i);
    for (unsigned i = 0; i < CHANGERS; i++) {
        changers[i] = (struct changer){.number = i, .seed = 4711 + i, .rounds = count / CHANGERS};
        for (int place = 0; place < PLACES; place++)
            changers[i].in_place[place] = NOTHING;
        if (i)
            assert_int_equal(pthread_create(&changers[i].thread, NULL, changer_main, &changers[i]), 0);
    }
    changer_main(&changers[0]);
    for (unsigned i = 1; i < CHANGERS; i++)
        assert_int_equal(pthread_join(changers[i].thread, NULL), 0);
    atomic_store(&stop, true);
    uint64_t accesses = 0;
    for (unsigned i = 0; i < RUNNERS; i++) {
        polder_kick(&runners[i].params);
        assert_int_equal(pthread_join(runners[i].thread, NULL), 0);
        polder_params_fini(&runners[i].params);
        accesses += shared->counts[i].pages;
    }
    print_message("%lu stale accesses, %lu operations, %lu pages looked at\n", atomic_load(&stale),
        atomic_load(&operations), (unsigned long)accesses);
    munmap((void *)view, pages * PAGE);
    close(space);
    close(other);
    close(file);
    assert_true(accesses > 0);
    if (atomic_load(&stale))
        fail_msg("%lu stale accesses after %lu operations", atomic_load(&stale), atomic_load(&operations));
    assert_int_equal(atomic_load(&failed), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(operations_under_running_sandboxes)};

    return RUN_GROUP("stress", tests);
}
