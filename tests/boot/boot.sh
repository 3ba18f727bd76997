#!/bin/sh
# `polder boot` with kernels of tests/boot: the state at the entry, every hypercall, faults and their reports, and files
# that are not kernels. Runs where nothing but busybox is, but for the device tree, which wants dtc.
build=$(cd "$(dirname "$0")/../.." && pwd)
expected=$(dirname "$0")/../../../tests/boot
[ -f "$expected/calls.expected" ] || expected=$(dirname "$0")/../../../../tests/boot # of a build with sanitizers
polder=$build/polder
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
number=0 failures=0
# result NAME: of the command before it; what was printed is shown if it failed.
result() {
    status=$?
    number=$((number + 1))
    if [ $status = 0 ]; then
        echo "ok $number - $1"
    else
        sed 's/^/# /' "$work/out" "$work/err"
        echo "not ok $number - $1"
        failures=1
    fi
}
# boot STATUS KERNEL OPTION...: what it says goes to $work/out and $work/err.
boot() {
    want=$1 kernel=$2
    shift 2
    "$polder" boot --memory 64M --timeout 60 "$@" "$build/tests/boot/$kernel.kernel" >"$work/out" 2>"$work/err"
    status=$?
    [ $status = "$want" ] || {
        echo "status $status, not $want" >>"$work/err"
        false
    }
}
# said TEXT...: each is on standard error.
said() {
    for text in "$@"; do
        grep -qF -- "$text" "$work/err" || {
            echo "it does not say: $text" >>"$work/err"
            return 1
        }
    done
}
printed() {
    # shellcheck disable=SC2059 # the text is a format
    printf "$@" | cmp -s - "$work/out"
}
mkfifo "$work/in.fifo" "$work/out.fifo" "$work/unread"
# What comes out of the machine's console, up to "ready"; the rest is at descriptor 7.
until_ready() {
    exec 7<"$work/out.fifo"
    while read -r line <&7 && echo "$line" && [ "$line" != ready ]; do :; done
}
# Reads the sixth page of a file before and after it was cut down to two.
cut() {
    head -c 32768 /dev/zero | tr '\0' A >"$work/cut"
    "$polder" boot --memory 64M --timeout 60 --file "cut=$work/cut$2" "$build/tests/boot/$1.kernel" \
        <"$work/in.fifo" >"$work/out.fifo" 2>"$work/err" &
    exec 9>"$work/in.fifo"
    until_ready >"$work/out"
    truncate -s 4097 "$work/cut"
    echo >&9
    cat <&7 >>"$work/out"
    wait $!
    status=$?
    exec 7<&- 9>&-
    return $status
}
# patch FILE OFFSET BYTES: the bytes in octal.
patch() {
    # shellcheck disable=SC2059
    printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
# refused REASON [OFFSET BYTES]...: a kernel with these bytes instead of its own is none.
refused() {
    reason=$1
    shift
    cp "$build/tests/boot/entry.kernel" "$work/bad.kernel"
    while [ $# -gt 1 ]; do
        patch "$work/bad.kernel" "$1" "$2"
        shift 2
    done
    "$polder" boot "$work/bad.kernel" >"$work/out" 2>"$work/err"
    status=$?
    echo "status $status" >>"$work/err"
    [ $status = 126 ] && said "bad.kernel is not a kernel for polder boot: " "$reason" && [ "$(wc -l <"$work/err")" = 2 ]
}
# usage STATUS TEXT OPTION...
usage() {
    want=$1 text=$2
    shift 2
    "$polder" boot "$@" >"$work/out" 2>"$work/err" </dev/null
    status=$?
    echo "status $status" >>"$work/err"
    [ $status = "$want" ] && said "$text"
}
entry=$build/tests/boot/entry.kernel

echo "1..67"

# ---- What a kernel starts with, and the hypercalls.
boot 42 entry && cmp "$work/out" "$expected/entry.expected" >>"$work/err" 2>&1
result "the state at the entry, and the status"
printf 'file' >"$work/a"
: >"$work/b"
printf 'input\n' >"$work/in"
boot 0 calls --cpus 2 --file "a=$work/a" --file "b=$work/b" <"$work/in" &&
    cmp "$work/out" "$expected/calls.expected" >>"$work/err" 2>&1
result "hypercalls, good and bad"
boot 0 memory && printed 'in all: 67108864\n'
result "memory, to the limit, zeroed"
boot 0 edges && printed '%s: %d\n' random 16 "random, across" -14 "random, wrapping" -14 console-write 0 \
    "console-write, across" -14 "console-read, across" -14 xstate 0 "xstate, across" -14
result "buffers at the end of memory"
boot 3 fuzz --file "a=$work/a,rw" </dev/null
result "hypercalls at random"
boot 0 timer && printed 'interrupts: 3\n'
result "the timer's interrupt"
boot 0 cpus --cpus 2 && printed 'vCPU 1\nargument 1234605616436508552\n0\n-16\nNMI\n0\nNMI\ndone\n'
result "a second vCPU: start, wake, NMI, awake and asleep"
{
    printf 'INVITRD!'
    head -c 5000 /dev/zero | tr '\0' i
    echo
} >"$work/initrd"
boot 0 initrd --initrd "$work/initrd" && cmp "$work/out" "$work/initrd" >>"$work/err" 2>&1
result "the initrd"

# ---- Console.
printf 'a\nb' | boot 7 echo && printed 'a\nb'
result "console: a pipe"
head -c 300000 /dev/zero | tr '\0' x >"$work/large"
boot 7 echo <"$work/large" && cmp "$work/out" "$work/large" >>"$work/err" 2>&1
result "console: a large file"
boot 7 echo </dev/null && printed ''
result "console: nothing"
boot 7 echo <&- && printed ''
result "console: no standard input"
: <"$work/unread" &
exec 8>"$work/unread"
wait $!
"$polder" boot "$entry" >&8 2>"$work/err"
status=$?
exec 8>&-
[ $status = 42 ]
result "console: nobody reads"
"$polder" boot "$entry" >&- 2>"$work/err"
[ $? = 42 ]
result "console: no standard output"

# ---- Files.
printf 'contents of a file\n' >"$work/a"
boot 0 read_file --file "a=$work/a" && printed 'contents of a file\nafter it: 0\n'
result "a file"
boot 0 read_file --memory 2G --file "a=$work/a" && printed 'contents of a file\nafter it: 0\n'
result "a file behind much memory"
head -c 8192 /dev/zero >"$work/rw"
boot 0 write_rw --file "a=$work/rw,rw" && [ "$(tr -d '\0' <"$work/rw")" = WW ]
result "a file that may be written"
boot 70 write_file --file "a=$work/a" &&
    said "a write to guest-physical 0x104000000, in the file a=$work/a, given without" " write_file_fault+"
result "a file that may not be written"
printf 'contents of a file\n' | cmp -s - "$work/a"
result "and was not"
cut cut_file "" && printed '65\nready\n0\n0\n65\n'
result "a file that is cut, read by ring 0"
cut cut_file ",rw" && printed '65\nready\n0\n0\n65\n'
result "a file with rw that is cut, read by ring 0"
cut cut_file_ring3 "" && printed '65\nready\n0\n'
result "a file that is cut, read by ring 3"

# ---- Faults. A KVM that interprets ring 0 finds RIP behind an instruction that has made an exit.
boot 70 read_nowhere && said "#PF, page fault in ring 0, error code 0 (a read by ring 0, where nothing is mapped)" \
    "cr2 0x1234 is not mapped" "rip 0xffffffff80" " read_nowhere_fault+0x4" " read_nowhere+0x" "ring 3 has not run"
result "report: a read where nothing is mapped"
boot 70 write_code && said "error code 0x3 (a write by ring 0, which its mapping forbids)" \
    "guest-physical 0x100000000 by a page of 4 KiB: read-only, executable, for ring 0 only" " write_code_fault+"
result "report: code cannot be written"
boot 70 execute_data && said "error code 0x11 (execution by ring 0, which its mapping forbids)" \
    "by a page of 4 KiB: writable, not executable, for ring 0 only" " execute_data_fault+" " execute_data+"
result "report: data cannot be executed"
boot 70 undefined && said "#UD, undefined instruction in ring 0" " undefined_fault+0x4" " undefined+"
result "report: an undefined instruction"
boot 70 not_canonical && said "#GP, general protection in ring 0" " not_canonical_fault+0xe" " not_canonical+"
result "report: an address that is not canonical"
boot 70 no_stack && said "in ring 0" " no_stack_fault+0xe" " no_stack+"
result "report: no stack"
boot 70 triple && said "a triple fault"
result "report: a triple fault"
boot 70 wrong_port && said "a write to port 0x3f8 with 1 byte" " wrong_port_fault+"
result "report: a port that is not there"
boot 70 beyond_ram && said "a read from guest-physical 0x104000000, where there is nothing" " beyond_ram_fault+"
result "report: memory that is not there"
boot 70 last_run && said "#UD" "the last run of ring 3 ended with a system call" "rip     0000000000400123" \
    "orig_ax 0000000000000102"
result "report: the last trap from ring 3"
boot 70 second_faults --cpus 2 && said "#UD, undefined instruction in ring 0" "vCPU 1, in ring 0:" " second_fault+0" \
    "vCPU 0, in ring 0:" " second_faults+"
result "report: another vCPU"
boot 70 hostile && said "a trap, of which rsp, 0xfffffffffffffffe, does not say more" \
    "its parameters, at 0xffffffffffffffff, cannot be read"
result "report: a kernel that lies"
boot 70 hostile_tables
result "report: page tables that lie"
boot 70 hang --timeout 1 && said "it did not end within 1 s" " hang_fault+0x4" " hang+"
result "report: a kernel that hangs"
boot 70 deaf --timeout 1 && said "it did not end within 1 s" " deaf+"
result "report: a kernel that sleeps"
strip -o "$work/stripped.kernel" "$build/tests/boot/undefined.kernel" 2>/dev/null ||
    cp "$build/tests/boot/undefined.kernel" "$work/stripped.kernel"
"$polder" boot "$work/stripped.kernel" 2>"$work/err"
[ $? = 70 ] && said "    0xffffffff80"
result "report: without symbols"

# ---- Signals.
# shellcheck disable=SC3045 # every sh that this runs on has it
ulimit -c 0
for signal in TERM INT HUP QUIT; do
    # sh starts what is in the background with SIGINT and SIGQUIT ignored.
    perl -e '$SIG{INT} = $SIG{QUIT} = "DEFAULT"; exec @ARGV' "$polder" boot "$build/tests/boot/deaf.kernel" \
        >"$work/out.fifo" 2>"$work/err" &
    until_ready >"$work/out"
    kill -$signal $!
    wait $! 2>/dev/null # where sh says what it died of
    status=$?
    exec 7<&-
    [ "$(kill -l $((status - 128)))" = $signal ]
    result "SIG$signal ends it as it ends others"
done

# ---- What is no kernel. Offsets are those of an ELF64 header and its first program header, at 64.
refused "it is not an ELF file" 0 '\0'
result "refused: no ELF"
refused "its class is 1, not ELF64" 4 '\1'
result "refused: 32 bits"
refused "its data encoding is 2, not little-endian" 5 '\2'
result "refused: big-endian"
refused "it is for machine 183, not x86-64 (62)" 18 '\267'
result "refused: another machine"
refused "its type is 3, not a statically linked executable at fixed addresses (2)" 16 '\3'
result "refused: position-independent"
refused "its program headers have 55 bytes each, not 56" 54 '\67'
result "refused: size of program headers"
refused "it has 0 program headers" 56 '\0'
result "refused: no program headers"
refused "go beyond its end" 35 '\1'
result "refused: program headers beyond the end"
refused "its segment at 0xffffffff80000000 goes beyond the end of the file" 101 '\1'
result "refused: a segment beyond the end"
refused "bytes in the file for 0 in memory" 104 '\0\0\0'
result "refused: more in the file than in memory"
refused "its segment at 0xffffffff80000001 does not begin at a page boundary" 80 '\1'
result "refused: not at a page boundary"
refused "its segment at 0x80000000 lies below 0xffffffff80000000" 84 '\0\0\0\0'
result "refused: in the lower half"
refused "goes beyond the end of the address space" 111 '\177'
result "refused: beyond the address space"
refused "its segment at 0xffffffff80000000 is both writable and executable" 68 '\7'
result "refused: writable and executable"
refused "lies below the end of the one before it, or shares a page with it" 82 '\1'
result "refused: overlapping"
refused "its segments span" 107 '\100'
result "refused: too large"
refused "it asks for a program interpreter" 232 '\3'
result "refused: a program interpreter"
refused "its entry, 0xffffffff80ffffff, is in no executable segment" 24 '\377\377\377'
result "refused: the entry"
refused "it lacks the note" 232 '\0'
result "refused: no note"
"$polder" boot "$polder" 2>"$work/err"
[ $? = 126 ] && said "is not a kernel for polder boot: "
result "refused: an ordinary program"

# ---- Misuse.
usage 127 "No such file" "$work/nothing" && usage 126 "it is not a regular file" / &&
    usage 126 "it is empty" "$work/b"
result "no such kernel"
usage 2 "KERNEL" && usage 2 "one KERNEL" "$entry" "$entry" && usage 2 "--memory" --memory 12x "$entry" &&
    usage 2 "--memory" --memory -1 "$entry" && usage 2 "need 6M at least" --memory 4M "$entry" &&
    usage 2 "--cpus" --cpus 0 "$entry" && usage 2 "--cpus" --cpus 256 "$entry" &&
    usage 2 "--timeout" --timeout 0 "$entry" && usage 2 "not NAME=PATH" --file name "$entry" &&
    usage 2 "two --file" --file a=/ --file a=/ "$entry" && usage 2 "only a regular file" --file a=/ "$entry" &&
    usage 2 "No such file" --file "a=$work/nothing" "$entry" && usage 2 "No such file" --initrd "$work/nothing" "$entry"
result "misuse, status 2"
usage 0 "" --help && grep -q "Boots a resident kernel" "$work/out"
result "--help"

# ---- The device tree.
"$polder" boot --dump-dtb "$work/dtb" --append "two  words" --initrd "$work/initrd" --file "a=$work/a" --cpus 3 \
    --file "b=$work/rw,rw" "$entry" >"$work/out" 2>"$work/err" && [ ! -s "$work/out" ] && grep -aq "two  words" "$work/dtb"
result "--dump-dtb does not boot"
if command -v dtc >/dev/null; then
    # Where the TSC does not go at one pace, the tree has no rate of it.
    rates=p
    "$polder" info --json | grep -q '"tsc_steady": true' || rates='/timebase-frequency/d; p'
    sed -n "$rates" "$expected/device-tree.expected" >"$work/tree"
    dtc -I dtb -O dts "$work/dtb" >"$work/out" 2>"$work/err" && [ ! -s "$work/err" ] &&
        sed 's/rng-seed = <.*>/rng-seed = <>/; s/timebase-frequency = <.*>/timebase-frequency = <>/
            s/xstate-size = <.*>/xstate-size = <>/; s/ring0 = ".*"/ring0 = ""/' "$work/out" |
        diff - "$work/tree" >"$work/err" && grep -q 'rng-seed = <\(0x[0-9a-f]* \)\{15\}' "$work/out"
    result "the device tree, without a warning of dtc's"
else
    number=$((number + 1))
    echo "ok $number - the device tree, without a warning of dtc's # SKIP there is no dtc here"
fi
exit $failures
