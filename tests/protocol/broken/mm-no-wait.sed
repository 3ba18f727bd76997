# An operation does not wait until those inside are out.
# found by: munmap under a writer
/^    vcpu_wait_out(change);$/d
