# Tables that go with nothing present in them are no change.
# found by: an empty table
/change->changed |= loaded && change->tables.count;/d
