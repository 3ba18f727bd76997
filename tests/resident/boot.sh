#!/bin/sh
# Boots the kernel beside this program, whose output is TAP. It chooses by itself how often to do things;
# POLDER_RESIDENT_SCALE divides as POLDER_TEST_SCALE does elsewhere. POLDER_TEST_ONLY is the name of the only test of the
# group that shall run.
slow=
! grep -q QEMU /proc/cpuinfo || slow="tcg=1 " # what the kernel cannot ask itself
boot() { # [exec]
    "$@" "${0%/*}/../../polder" boot --cpus @CPUS@ --memory @MEMORY@ --timeout 300 \
        --append "$slow${POLDER_RESIDENT_SCALE:+POLDER_TEST_SCALE=$POLDER_RESIDENT_SCALE }${POLDER_TEST_ONLY:+only=$POLDER_TEST_ONLY }${POLDER_TEST_SEED:+POLDER_TEST_SEED=$POLDER_TEST_SEED }${POLDER_TEST_INSTRUCTIONS:+POLDER_TEST_INSTRUCTIONS=$POLDER_TEST_INSTRUCTIONS }" "$0.kernel"
}
# Nested paging of QEMU's (7.2) finds page tables empty once in some hundred runs: ring 0's own, which nobody changes, while
# those in RAM are whole, and it has been two machines in one second. It is a triple fault, and may be one once. What is
# hostile is given no second chance: there it would be a find.
case ${slow:+$(cat /sys/module/kvm_amd/parameters/npt 2>/dev/null)}${0##*/} in
[1Y][!h]* | [1Y]h[!o]*) ;;
*) boot exec ;;
esac
first=$(mktemp) || exit 2
trap 'rm -f "$first"' EXIT
trap 'cat "$first"; exit 143' TERM
boot >"$first" 2>&1
status=$?
if [ "$status" = 70 ] && grep -q 'a triple fault' "$first"; then
    sed 's/^/# /' "$first"
    echo "# Once more: QEMU, with nested paging, makes a triple fault now and then."
    rm -f "$first"
    boot exec
fi
cat "$first"
exit "$status"
