# Nobody is sent out, and so nobody is waited for.
# found by: munmap under a writer
# counted on: shadowed, two-dimensional
/^        vcpu_force_out(change);$/d
