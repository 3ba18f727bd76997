# A vCPU that is done clears the mark of the next one, which is still at work (9b41f4b).
# found by: two that
s/^        if (mm->editor == v)$/        if (true)/
