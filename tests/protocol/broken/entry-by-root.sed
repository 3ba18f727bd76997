# Whose translations a vCPU has is told by something that is used again.
# found by: a root
s/mm->serial/mm->pt.root/
