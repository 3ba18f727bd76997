# A vCPU that came out before it was done does not put its edits back.
# found by: edits that
# counted on: shadowed, two-dimensional
s/!done && i < v->edit_count/false/
