# An operation that finds nothing present does not wait for the vCPUs of one before it (9b41f4b).
# found by: two unmap
s/change->changed || __atomic_load_n(&mm->leaving, __ATOMIC_ACQUIRE)/change->changed/
