-- The tables that others inherit from, whose rows are read with theirs; partitions are none of these.
-- Given `tables`, the names of some.
SELECT DISTINCT inhparent::regclass::text AS name
FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE NOT relispartition AND inhparent IN (SELECT unnest(CAST(:tables AS text[]))::regclass)
