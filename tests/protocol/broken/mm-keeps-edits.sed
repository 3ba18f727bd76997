# Edits of a table that goes stay pending.
# found by: a table is given
/^    edits_drop_page(&mm->edits, table_entries(pa));$/d
