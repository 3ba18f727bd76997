#!/bin/sh
# The program that is written to the interface alone does the same as a process and as a kernel.
echo "1..2"
top=$(cd "$(dirname "$0")/../.." && pwd)
wanted='first: counted to 3, then reason 2 at 6295552 with error code 5
copy: counted to 7, then reason 2 at 6295552 with error code 5
first: counted to 4, then reason 2 at 6295552 with error code 5
the copy'\''s count is 7, what is hidden is 42
two steps lead to 16
a loop without end ended
status 7'
failed=0
number=0
compare() {
    number=$((number + 1))
    name=$1
    shift
    got=$("$@" 2>&1
        echo "status $?")
    if [ "$got" = "$wanted" ]; then
        echo "ok $number - $name"
    else
        echo "$got" | sed 's/^/# /'
        echo "not ok $number - $name"
        failed=1
    fi
}
compare hosted "$top/examples/bothways"
compare resident "$top/polder" boot --timeout 60 "$top/examples/bothways-kernel"
exit $failed
