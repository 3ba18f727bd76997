# The host stores to present entries, behind the back of shadows.
# found by: munmap under a writer
# counted on: shadowed
s/^        edits_put(&mm->edits, entry, value);$/        __atomic_store_n(entry, value, __ATOMIC_RELEASE);/
