#!/bin/sh
# What `polder info` prints, its status, and that its JSON is some. That it finds the right kind of KVM is seen where the
# kind is known: the module says whether it uses two-dimensional page tables.
polder=$(cd "$(dirname "$0")/../.." && pwd)/polder
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
echo "1..5"
number=0 failures=0
# result NAME: of the command before it; what was printed is shown if it failed.
result() {
    status=$?
    number=$((number + 1))
    if [ $status = 0 ]; then
        echo "ok $number - $1"
    else
        sed 's/^/# /' "$work"/*
        echo "not ok $number - $1"
        failures=1
    fi
}
valid_json() {
    # The nested machine's python3 is the host's; where there is none, the braces must do.
    if command -v python3 >/dev/null; then
        python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$1"
    else
        [ "$(head -c 1 "$1")" = "{" ] && [ "$(tail -n 1 "$1" | tail -c 2)" = "}" ]
    fi
}
says() {
    grep -q "^  \"$1\": $2,*\$" "$work/json"
}

tells_all() {
    "$polder" info >"$work/text" 2>&1 || return 1
    for word in kind "ring 0" "page tables" "a trap" "a bare exit" "vector state" "XSAVE area" "CR4 in use" \
        guest-physical memslots vCPUs TSC hosted resident confinement; do
        grep -q "^$word: *[^ ]" "$work/text" || {
            echo "no line about $word" >>"$work/text"
            return 1
        }
    done
}
tells_all
result "everything is told"

"$polder" info --json >"$work/json" 2>&1 && valid_json "$work/json" && says usable true && says hosted true && says seccomp true
result "as JSON"

case $(cat /sys/module/kvm_amd/parameters/npt /sys/module/kvm_intel/parameters/ept 2>/dev/null) in
[1Y]*) says page_tables '"two-dimensional"' ;;
[0N]*) says page_tables '"shadowed"' && says ring0_store_obeyed true ;;
*) [ ! -e /sys/module/kvm_pvm ] || { says kind '"PVM"' && says page_tables '"shadowed"' && says ring0_emulated true; } ;;
esac
result "the kind that the kernel's modules say"

# With one descriptor left there cannot be a VM. (Not none: a sanitizer's shared libraries are opened too.)
without() {
    # shellcheck disable=SC3045 # every sh that this runs on has it
    (ulimit -n 4 && exec "$polder" info "$@")
    [ $? = 2 ]
}
without >"$work/text" 2>&1 && [ "$(grep -c . "$work/text")" -le 2 ] && grep -q "^what to do: " "$work/text" &&
    without --json >"$work/json" 2>&1 && valid_json "$work/json" && grep -q '"usable": false' "$work/json"
result "without KVM it says what to do, status 2"

"$polder" info nonsense >"$work/text" 2>&1
[ $? = 2 ] && { "$polder" info --nonsense >"$work/text" 2>&1; [ $? = 2 ]; }
result "misuse, status 2"
exit $failures
