# Whose translations a vCPU has is looked at, but not as of when.
# found by: three that
s/ && v->tlb\[slot\].generation == mm->generation//
