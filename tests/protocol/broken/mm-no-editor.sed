# A space is changed while a vCPU carries out its edits.
# found by: two that
/^    mm_wait_editor(mm);$/d
