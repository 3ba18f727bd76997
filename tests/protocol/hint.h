/* SPDX-License-Identifier: MIT */
/* Comes after monitor/vcpu.c: its thread-local hint is all actors' (points.h), and is exchanged when another goes on.
 */
void vcpu_swap_hint(int from, int to);
void vcpu_swap_hint(int from, int to)
{
    static __typeof__(mine) hints[ACTORS_MAX];
    hints[from] = mine;
    mine = hints[to];
}
