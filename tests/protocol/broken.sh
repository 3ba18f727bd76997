#!/bin/sh
# Is it found out when the protocol is broken? Each broken/FILE-WHAT.sed has made one file of the library wrong; its
# second line names the scenario that must fail. And not because the program dies: a violation is told.
here=$(cd "$(dirname "$0")" && pwd)
set -- "$here"/broken/*.hosted
echo "1..$#"
number=0 failed=0
for program in "$@"; do
    number=$((number + 1))
    name=${program##*/}
    sed=${program%.hosted}.sed
    what=$(sed -n '1s/^# //p' "$sed")
    output=$("$program" "$(sed -n '2s/^# found by: //p' "$sed")")
    found=$(printf '%s\n' "$output" | grep -m 1 ' (actor [0-9]*; decisions ')
    if [ -n "$found" ]; then
        echo "# ${found#\# }" | cut -c 1-160
        echo "ok $number - ${name%.hosted}: $what"
    else
        echo "not ok $number - ${name%.hosted}: $what"
        failed=1
    fi
done
exit $failed
