-- The partitions of tables, each with the statement that makes it, and after what it is a part of.
-- Given `tables`, the names of some.
WITH RECURSIVE family(id, parent, depth) AS (
    SELECT inhrelid, inhparent, 1 FROM pg_inherits
    WHERE inhparent IN (SELECT unnest(CAST(:tables AS text[]))::regclass)
    UNION ALL
    SELECT inhrelid, inhparent, depth + 1 FROM pg_inherits JOIN family ON inhparent = family.id
)
SELECT
    id::regclass::text AS name,
    format(
        'CREATE TABLE %s PARTITION OF %s %s%s', id::regclass, parent::regclass,
        pg_get_expr(relpartbound, id), ' PARTITION BY ' || pg_get_partkeydef(id)
    ) AS made_by
FROM family JOIN pg_class ON pg_class.oid = id
WHERE relispartition
ORDER BY depth, name
