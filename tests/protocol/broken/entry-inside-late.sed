# A vCPU says that it is inside only after the look at the generation.
# found by: munmap under a writer
s/__atomic_store_n(inside, mm, __ATOMIC_SEQ_CST);/(void)inside;/
s/^        flavour()->load(v, regs, work, more);$/        __atomic_store_n(\&v->inside, mm, __ATOMIC_SEQ_CST);\n&/
