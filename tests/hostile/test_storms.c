/* SPDX-License-Identifier: MIT */
/* Traps of every kind, by the thousand, in changing order, and an innocent run between them now and then. */
#include "attack.h"

static void of_every_kind(void **state)
{
    (void)state;
    static const char *const ways[] = {sn_syscall, sn_ud2, sn_hlt, sn_divide, sn_int3, sn_int80, sn_load, sn_store};
    static const uint32_t vectors[] = {0, 6, 13, 0, 3, 13, 14, 14};
    struct attacker a;
    uint64_t seed = 41;

    attacker_open(&a);
    for (int i = 0; i < times(20000, 4000); i++) {
        const size_t way = random_next(&seed) % 8;
        attack_aim(&a, SNIPPET(ways[way]));
        a.box.params.regs.rdi = BOX_FREE;
        attack_run_only(&a, "one of a storm");
        expect_reason(&a, way == 0 ? POLDER_SYSCALL : way < 6 ? POLDER_EXCEPTION : POLDER_PAGE_FAULT);
        if (a.box.params.vector != vectors[way])
            attack_failed(&a, "wanted vector %u", vectors[way]);
        if (random_next(&seed) % 16 == 0)
            innocent_check(&a);
    }
    attacker_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_every_kind),
    };
    return RUN_GROUP("hostile: storms", tests);
}
