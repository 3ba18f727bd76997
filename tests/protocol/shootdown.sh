#!/bin/sh
# shootdown.pml, every state of it: right, nothing is found; broken in each way that is on its list, something is.
here=$(cd "$(dirname "$0")" && pwd)
model=$here/shootdown.pml
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cd "$work" || exit 2

# check NAME WANTED FLAG...: WANTED is 0 for a model in which nothing must be found, and 1 for a broken one.
number=0 failed=0
check() {
    name=$1 wanted=$2
    shift 2
    number=$((number + 1))
    rm -f pan
    if spin -a "$@" "$model" >spin.log 2>&1 && ${CC:-cc} -O0 -DSAFETY -w -o pan pan.c >cc.log 2>&1; then
        ./pan -m1000000 -w20 >pan.log 2>&1
        errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log)
        # A search that was cut short shows nothing.
        [ "$wanted" = 1 ] || ! grep -qE 'max search depth too small|Search not completed' pan.log || errors=incomplete
    else
        errors='the model cannot be built'
        cat spin.log cc.log
    fi
    sed -n 's/^pan:[0-9]*: /# /p; s/^ *\([0-9]*\) states, stored$/# \1 states/p' pan.log
    if [ "$errors" = "$wanted" ]; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name: $errors errors"
        failed=1
    fi
}

echo "1..15"
check "munmap of a page that two spaces have, one of them in ring 3" 0 -DUNMAP
check "munmap of the kernel's own memory" 0 -DOWN_MEMORY
check "a kick" 0 -DKICK
check "a root that is freed" 0 -DEVICT
check "found: references given up before the flush (7e4020a)" 1 -DUNMAP -DBREAK_REFERENCES
check "found: nobody is waited for" 1 -DUNMAP -DBREAK_NO_WAIT
check "found: the generation is not raised" 1 -DUNMAP -DBREAK_NO_GENERATION
check "found: inside is said after the look at the generation" 1 -DUNMAP -DBREAK_INSIDE_LATE
check "found: an NMI that was under way counts" 1 -DOWN_MEMORY -DBREAK_UNDER_WAY
check "found: it is enough for the kernel's own memory that ring 3 was left" 1 -DOWN_MEMORY -DBREAK_LEAVING
check "found: an NMI of ring 3 forgets nothing" 1 -DOWN_MEMORY -DBREAK_RING3_KEEPS
check "found: who comes back from polder_idle does not flush" 1 -DOWN_MEMORY -DBREAK_IDLE
check "found: NMIs stay blocked after one in ring 3 (d882f47)" 1 -DOWN_MEMORY -DBREAK_BLOCKED
check "found: an NMI on the last steps of the way in goes on into ring 3 (2cf101a)" 1 -DKICK -DBREAK_KICK
check "found: a root that is freed stays loaded" 1 -DEVICT -DBREAK_EVICT
exit $failed
