#!/bin/sh
# Boots the kernel beside this program, whose output is TAP. It chooses by itself how often to do things;
# POLDER_RESIDENT_SCALE divides as POLDER_TEST_SCALE does elsewhere. POLDER_TEST_ONLY is the name of the only test of the
# group that shall run.
slow=
! grep -q QEMU /proc/cpuinfo || slow="tcg=1 " # what the kernel cannot ask itself
exec "${0%/*}/../../polder" boot --cpus @CPUS@ --memory @MEMORY@ --timeout 300 \
    --append "$slow${POLDER_RESIDENT_SCALE:+POLDER_TEST_SCALE=$POLDER_RESIDENT_SCALE }${POLDER_TEST_ONLY:+only=$POLDER_TEST_ONLY }${POLDER_TEST_SEED:+POLDER_TEST_SEED=$POLDER_TEST_SEED }${POLDER_TEST_INSTRUCTIONS:+POLDER_TEST_INSTRUCTIONS=$POLDER_TEST_INSTRUCTIONS }" "$0.kernel"
