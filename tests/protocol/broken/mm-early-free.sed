# What was taken away is given back before those inside are out.
# found by: private memory is taken
/^    vcpu_wait_out(change);$/d
s/^    record_free(change->chunks, .*$/&\
    vcpu_wait_out(change);/
