#!/bin/sh
# `polder run` and `polder trace` with --allow and --deny: what is denied is EPERM whichever way it is asked for, and the
# rest is as ever. Runs where nothing but busybox is.
build=$(cd "$(dirname "$0")/../.." && pwd)
polder=$build/polder
calls=$build/tests/confine/calls
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
# run STATUS ARGUMENT...: of `polder run`; what it says goes to $work/out and $work/err.
run() {
    want=$1
    shift
    "$polder" run "$@" >"$work/out" 2>"$work/err"
    status=$?
    [ $status = "$want" ] || {
        echo "status $status, not $want" >>"$work/err"
        false
    }
}
printed() {
    # shellcheck disable=SC2059 # the text is a format
    printf "$@" | cmp -s - "$work/out"
}
said() {
    grep -qF -- "$1" "$work/err"
}

echo "1..16"

run 7 -- "$calls" socket getcwd mmap && printed 'socket: done\ngetcwd: done\nmmap: done\n'
result "without a policy"
run 7 --deny socket -- "$calls" socket getcwd && printed 'socket: -0001\ngetcwd: done\n'
result "--deny: EPERM, and no other call"
run 7 --deny mmap,mprotect --deny rt_sigprocmask,arch_prctl -- "$calls" mmap mprotect rt_sigprocmask arch_prctl socket &&
    printed '%s: -0001\n%s: -0001\n%s: -0001\n%s: -0001\nsocket: done\n' mmap mprotect rt_sigprocmask arch_prctl
result "--deny: calls that the personality does not make on the host"
run 7 --deny %network,fork -- "$calls" socket fork getcwd && printed 'socket: -0001\nfork: -0001\ngetcwd: done\n'
result "--deny: a class, and what is not carried anyway"
run 7 --allow write,getcwd -- "$calls" socket getcwd mmap "no such call" &&
    printed 'socket: -0001\ngetcwd: done\nmmap: -0001\nno such call: -0001\n'
result "--allow: nothing else, but the program can end"
run 7 --allow write,%network --allow getcwd --deny socket -- "$calls" socket getcwd && printed 'socket: -0001\ngetcwd: done\n'
result "--allow and --deny: the latter wins"
run 7 --allow none -- "$calls" socket && printed ''
result "--allow none"
run 7 --deny '!write,getcwd' -- "$calls" socket getcwd && printed 'socket: -0001\ngetcwd: done\n'
result "--deny: all but these"
run 7 --deny all -- "$calls" socket && printed ''
result "--deny all"

# ---- Ways around.
run 7 --deny socket -- "$calls" exec socket && printed 'socket: -0001\n' &&
    run 7 --deny execve -- "$calls" exec socket && printed 'exec: -0001\nsocket: done\n'
result "the next program has the same policy"
run 7 --deny socket -- "$calls" handler && printed 'socket in a handler: -0001\nback\n' &&
    run 7 --allow write,rt_sigaction,getpid,gettid,tgkill -- "$calls" handler && printed 'socket in a handler: -0001\nback\n'
result "in a signal handler, which always comes back"
run 7 --deny socket -- "$calls" "socket, high half set" "socket of x32" &&
    printed 'socket, high half set: -0001\nsocket of x32: -0038\n'
result "a number that is another's when cut"
run 139 --deny socket,time -- "$calls" int80 && said "killed by SIGSEGV" &&
    run 139 --deny socket,time -- "$calls" vsyscall && said "killed by SIGSEGV"
result "int 0x80 and the page of vsyscalls: not there"
run 7 --deny clock_gettime -- "$calls" vdso && printed 'there is no vDSO\n' &&
    run 7 --deny socket -- "$calls" vdso && printed 'there is a vDSO\n'
result "the vDSO, which needs no calls"

# ---- trace, misuse.
"$polder" trace --deny socket,%memory -o "$work/trace" -- "$calls" socket mmap >"$work/out" 2>"$work/err"
[ $? = 7 ] && printed 'socket: -0001\nmmap: -0001\n' &&
    grep -q '^socket(AF_UNIX, SOCK_STREAM, 0) *= -1 EPERM (Operation not permitted) (denied)$' "$work/trace" &&
    grep -q '^mmap(.*= -1 EPERM (Operation not permitted) (denied)$' "$work/trace"
result "trace shows what was denied"
run 2 --deny socket,wurst -- "$calls" && said "there is no system call \`wurst'" && run 2 --allow %wurst -- "$calls" &&
    said "there is no system call \`%wurst'" && run 2 --deny "" -- "$calls" && run 2 --deny socet,read -- "$calls" &&
    said "there is no system call \`socet'; did you mean \`socket'?"
result "a name that is none"
exit $failures
