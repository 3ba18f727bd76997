/* SPDX-License-Identifier: MIT */
/*
 * How vCPUs of a resident kernel make each other forget (guest-stub/resident: cpu.c, mm.c, run.c, entry.S), for spin. Each
 * process names what it stands for. A vCPU's steps stop while it handles an NMI (DO); a store of CR3 is what flushes; an
 * atomic operation of the code is one step, and memory is sequentially consistent, as the code asks for.
 *
 * One of UNMAP, OWN_MEMORY, KICK and EVICT says what happens. With BREAK_... something is wrong, which must be found.
 */
#define CPUS 3
#define RUNNER 0 /* the vCPU that is in ring 3 for some of the time */

/* Spaces and their roots. The kernel's own is in every vCPU. */
#define FIRST 1
#define SECOND 2
#define OWN 3

/* struct cpu */
byte cr3[CPUS], loaded[CPUS], loaded_generation[CPUS], inside[CPUS], runs[CPUS];
byte begun[CPUS], done[CPUS], evict_root[CPUS];
bit idle[CPUS];
/* The processor. user, own: it keeps the translation of the space's page, of the kernel's own. */
bit pending[CPUS], blocked[CPUS], in_nmi[CPUS], ring3[CPUS], user[CPUS], own[CPUS];
/* rip is between enter_begin and enter_end; the NMI that came there has gone to enter_refused. */
bit entering[CPUS], refused[CPUS];
/* The spaces: one page each, FIRST's and SECOND's of the same frame. */
byte generation[4];
bit present[4], lock[4];
byte references = 2;
/* What must not be reached any more. */
bit gone[4], freed, root_freed;
/* struct polder_params of the run */
bit kicked;
byte running;
bit run_is_over;

#define DO(x) atomic { !in_nmi[me] -> x }
#define FLUSH(cpu) user[cpu] = 0; own[cpu] = 0

/* entry.S, take_nmi. On the way from ring 3 the kernel's own steps cannot come between, as in a handler. */
#define TAKE_NMI \
    begun[me]++; \
    atomic { root = cr3[me]; if :: root == evict_root[me] -> root = OWN :: else fi }; \
    atomic { cr3[me] = root; FLUSH(me) }; \
    done[me] = begun[me]

/* entry.S, nmi_of_ring0 */
proctype nmi_of_ring0(byte me)
{
    byte root;
end:
    do
    :: atomic { pending[me] && !blocked[me] && !ring3[me] -> pending[me] = 0; blocked[me] = 1; in_nmi[me] = 1 };
       TAKE_NMI;
       atomic {
#ifndef BREAK_KICK /* 2cf101a */
           if :: entering[me] -> refused[me] = 1; entering[me] = 0 :: else fi;
#endif
           in_nmi[me] = 0; blocked[me] = 0
       }
    od
}

/* The processor fills its TLB when it likes, also in the midst of a handler. */
proctype looks_ahead(byte me)
{
end:
    do
    :: atomic { present[OWN] && !own[me] -> own[me] = 1 }
    :: atomic { cr3[me] != OWN && present[cr3[me]] && !user[me] -> user[me] = 1 }
    od
}

/* cpu_load */
inline cpu_load(space)
{
    DO(seen = generation[space]);
    if
    :: atomic { !in_nmi[me] && loaded[me] == space && loaded_generation[me] == seen -> skip }
    :: atomic { !in_nmi[me] && !(loaded[me] == space && loaded_generation[me] == seen) ->
           loaded[me] = space; loaded_generation[me] = seen };
       DO(cr3[me] = space; FLUSH(me))
    fi
}

/* cpu.c, interrupt_and_wait */
inline interrupt_and_wait(cpu, leaving_is_enough)
{
    DO(runs_before = runs[cpu]);
#ifdef BREAK_UNDER_WAY /* one count, at the end */
    DO(begun_before = done[cpu]);
#else
    DO(begun_before = begun[cpu]);
#endif
    if
    :: atomic { !in_nmi[me] && idle[cpu] -> skip }
    :: atomic { !in_nmi[me] && !idle[cpu] -> pending[cpu] = 1 };
       DO(((leaving_is_enough && runs[cpu] != runs_before) || done[cpu] > begun_before || idle[cpu]) -> skip)
    fi
}

/* cpu_shoot_down */
inline cpu_shoot_down(space)
{
    if :: space == OWN -> DO(FLUSH(me)) :: else fi;
    other = 0;
    do
    :: other == CPUS -> break
    :: other < CPUS && other == me -> other++
    :: other < CPUS && other != me ->
       if
       :: atomic { !in_nmi[me] && (space == OWN || inside[other] == space) -> skip };
#ifndef BREAK_NO_WAIT
#ifdef BREAK_LEAVING
          interrupt_and_wait(other, true)
#else
          interrupt_and_wait(other, space != OWN)
#endif
#endif
       :: atomic { !in_nmi[me] && !(space == OWN || inside[other] == space) -> skip }
       fi;
       other++
    od
}

/* mm_flush */
inline mm_flush(space)
{
#ifndef BREAK_NO_GENERATION
    DO(generation[space]++);
#endif
    cpu_shoot_down(space)
}

/* polder_munmap: remove_range, drop_pages, mm_finish */
proctype unmaps(byte me; byte space)
{
    byte seen, runs_before, begun_before, other;
    bit last, flushed;
    DO(!lock[space] -> lock[space] = 1);
    if
#ifndef BREAK_REFERENCES /* 7e4020a */
    :: atomic { !in_nmi[me] && references > 1 -> present[space] = 0 }; /* PTE_HELD */
       mm_flush(space);
       flushed = 1;
       DO(references--; last = (references == 0))
    :: atomic { !in_nmi[me] && references == 1 -> present[space] = 0 };
       DO(references--; last = (references == 0))
#else
    :: DO(present[space] = 0);
       DO(references--; last = (references == 0))
#endif
    fi;
    if :: !flushed -> mm_flush(space) :: else fi;
    DO(lock[space] = 0);
    if :: last -> DO(freed = 1) :: else fi;
    DO(gone[space] = 1)
}

/* The kernel's own memory: arena_unmap, polder_munmap of mm_own */
proctype unmaps_own(byte me)
{
    byte seen, runs_before, begun_before, other;
    DO(present[OWN] = 0);
    mm_flush(OWN);
    DO(gone[OWN] = 1)
}

/* mm_free, cpu_evict: the last reference of FIRST goes */
proctype frees_root(byte me)
{
    byte seen, runs_before, begun_before, other;
    DO(run_is_over -> skip);
    other = 0;
    do
    :: other == CPUS -> break
    :: other < CPUS && other == me -> other++
    :: other < CPUS && other != me ->
#ifndef BREAK_EVICT
       DO(evict_root[other] = FIRST);
#endif
       interrupt_and_wait(other, false);
       DO(evict_root[other] = 0);
       other++
    od;
    DO(root_freed = 1);
    assert(cr3[0] != FIRST && cr3[1] != FIRST && cr3[2] != FIRST)
}

/* sandbox_kick */
proctype kicks(byte me)
{
    byte there;
    DO(kicked = 1);
    DO(there = running);
    if :: there != 0 -> DO(pending[RUNNER] = 1) :: else fi
}

/* A kick that is meant for somebody who was there before. */
proctype late_kick(byte me)
{
    DO(pending[RUNNER] = 1)
}

/* A load or store of ring 3; what is not there ends the run. */
#define USE(space) \
    if \
    :: user[me] -> assert(!gone[space] && !freed && !(root_freed && space == FIRST)) \
    :: !user[me] && present[space] -> user[me] = 1; assert(!gone[space] && !freed) \
    :: else -> ring3[me] = 0 \
    fi

/* run.c, enter_once; entry.S, enter_ring3 */
inline enter_once(space)
{
    DO(running = me + 1);
#ifdef BREAK_INSIDE_LATE
    cpu_load(space);
    DO(inside[me] = space);
#else
    DO(inside[me] = space);
    cpu_load(space);
#endif
    DO(look = kicked);
    if
    :: look -> skip
    :: else ->
       DO(entering[me] = 1);
#ifndef BREAK_KICK /* 2cf101a */
       DO(if :: kicked -> entering[me] = 0 :: else fi);
#endif
       DO(if :: entering[me] -> entering[me] = 0; ring3[me] = 1 :: else fi; refused[me] = 0);
       do
       :: atomic { !ring3[me] && !in_nmi[me] -> break }
#ifndef KICK
       :: atomic { ring3[me] -> USE(space) }
       :: atomic { ring3[me] -> ring3[me] = 0 } /* a system call */
#endif
       :: atomic { ring3[me] && pending[me] && !blocked[me] -> pending[me] = 0; blocked[me] = 1; ring3[me] = 0 };
#ifdef BREAK_RING3_KEEPS
          begun[me]++; done[me] = begun[me];
#else
          TAKE_NMI;
#endif
#ifndef BREAK_BLOCKED /* d882f47: after_nmi, whose iretq lets the next one in */
          DO(blocked[me] = 0)
#endif
       od
    fi;
    DO(inside[me] = 0);
    DO(runs[me]++);
    DO(running = 0)
}

/* cpu_idle */
inline cpu_idle()
{
    cpu_load(OWN);
    DO(idle[me] = 1);
    DO(skip); /* HC_IDLE */
    DO(idle[me] = 0);
#ifndef BREAK_IDLE
    DO(FLUSH(me))
#endif
}

/* The kernel on the other vCPU: it runs sandboxes, sleeps, and uses its own memory in between. At the end it stays in C. */
proctype kernel(byte me)
{
    byte seen, rounds, root;
    bit look;
    do
#ifdef KICK
    :: DO(look = kicked); /* ended_before */
       if :: look -> break :: else -> enter_once(FIRST) fi
#endif
#ifdef UNMAP
    :: rounds < 2 -> rounds++; enter_once(FIRST)
    :: break
#endif
#ifdef OWN_MEMORY
    :: rounds < 3 -> rounds++;
       atomic { !in_nmi[me] -> if :: own[me] -> assert(!gone[OWN]) :: !own[me] && present[OWN] -> own[me] = 1 :: else fi }
    :: rounds < 3 -> rounds++; cpu_idle()
    :: rounds < 3 -> rounds++; enter_once(FIRST)
    :: break
#endif
#ifdef EVICT
    :: rounds == 0 -> rounds = 1; enter_once(FIRST); DO(run_is_over = 1)
    :: rounds == 1 -> rounds = 2; enter_once(SECOND)
    :: rounds == 1 -> rounds = 2; cpu_idle()
    :: rounds > 0 -> break
#endif
    od
}

init
{
    byte i;
    atomic {
        for (i : 0 .. CPUS - 1) {
            cr3[i] = OWN;
            loaded[i] = OWN
        }
        present[FIRST] = 1;
        present[SECOND] = 1;
        present[OWN] = 1;
        for (i : 0 .. CPUS - 1) {
            run nmi_of_ring0(i)
        }
        run looks_ahead(RUNNER);
        run kernel(RUNNER);
#ifdef UNMAP
        run unmaps(1, FIRST);
        run unmaps(2, SECOND)
#endif
#ifdef OWN_MEMORY
        run unmaps_own(1);
        run late_kick(2)
#endif
#ifdef KICK
        run kicks(1);
        run late_kick(2)
#endif
#ifdef EVICT
        run frees_root(1);
        run late_kick(2)
#endif
    }
}
