#!/bin/sh
# Does the stress test count when the protocol is broken? Each variant must show a stale access on a KVM of the kind at
# hand, if its third line names that kind: shadowed page tables, or two-dimensional ones.
here=$(cd "$(dirname "$0")" && pwd)
case $("$here/../../polder" info --json) in
*'"page_tables": "shadowed"'*) kind=shadowed ;;
*'"page_tables": "two-dimensional"'*) kind=two-dimensional ;;
*)
    echo "1..1"
    echo "not ok 1 - polder info does not know how this KVM pages"
    exit 1
    ;;
esac
set -- "$here"/broken/*.stress
echo "1..$#"
number=0 failed=0
for program in "$@"; do
    number=$((number + 1))
    name=${program##*/}
    sed=${program%.stress}.sed
    what="${name%.stress}: $(sed -n '1s/^# //p' "$sed")"
    if ! sed -n '3s/^# counted on: //p' "$sed" | grep -q "$kind"; then
        echo "ok $number - $what # SKIP $kind page tables hide it"
        continue
    fi
    # It ends with the first stale access, with another thing that goes wrong, or with the time of a test.
    found=
    for attempt in 1 2 3 4; do
        found=$(OPERATIONS=1000000 timeout 60 "$program" 2>&1 | grep -m 1 '[1-9][0-9]* stale accesses,')
        [ -z "$found" ] || break
        echo "# run $attempt: nothing stale"
    done
    if [ -n "$found" ]; then
        echo "# ${found#\# }"
        echo "ok $number - $what"
    else
        echo "not ok $number - $what"
        failed=1
    fi
done
exit $failed
