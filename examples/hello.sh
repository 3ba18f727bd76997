#!/bin/sh
# The README's example prints what the README says.
echo "1..1"
top=$(cd "$(dirname "$0")/../.." && pwd)
wanted='system call 42
reason 2, fault at 0x1234, error code 6, rax 7'
got=$("$top/examples/hello" 2>&1)
if [ "$got" = "$wanted" ]; then
    echo "ok 1 - hello"
else
    echo "$got" | sed 's/^/# /'
    echo "not ok 1 - hello"
    exit 1
fi
