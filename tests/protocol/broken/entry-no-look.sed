# The look at a kick after the vCPU is known to run is missing.
# found by: a kick
s/bool ran = !__atomic_load_n(kicked, __ATOMIC_SEQ_CST);/bool ran = kicked != NULL;/
