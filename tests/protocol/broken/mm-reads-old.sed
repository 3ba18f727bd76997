# An entry with a pending edit is read from the table.
# found by: a table comes back
s/return pending ? pending->value : /(void)pending;\
    return /
