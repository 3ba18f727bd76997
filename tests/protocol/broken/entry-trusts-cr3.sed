# A vCPU that was stopped on its way in counts as one that has loaded CR3.
# found by: edits that
s/v->tlb\[v->tlb_current\].serial = 0;/(void)0;/
