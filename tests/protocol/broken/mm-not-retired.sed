# A table that was in use is used again without having been cleared by ring 0.
# found by: a table is given
# counted on: shadowed
s/^    if (loaded)$/    if (false)/
