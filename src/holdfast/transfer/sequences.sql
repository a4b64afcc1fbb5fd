-- The sequences of tables, and how far the tables' rows are; by column, or of a schema by themselves.
-- `sign` is -1 for one that counts down; what is out of a sequence's bounds, it has not given.
-- Given `tables`, the names of some.
WITH given(id, space) AS (
    SELECT pg_class.oid, relnamespace FROM pg_class
    WHERE pg_class.oid IN (SELECT unnest(CAST(:tables AS text[]))::regclass)
),
used(sequence, id, number) AS (
    SELECT objid, refobjid, refobjsubid FROM pg_depend
    WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass
        AND deptype IN ('a', 'i')
    UNION
    SELECT refobjid, adrelid, adnum
    FROM pg_depend JOIN pg_attrdef ON pg_attrdef.oid = objid
    WHERE classid = 'pg_attrdef'::regclass AND refclassid = 'pg_class'::regclass
)
SELECT
    format('%I.%I', nspname, sequences.relname) AS name,
    tables.relname AS "table",
    attname AS "column",
    sign(seqincrement)::int AS sign,
    CASE WHEN attname IS NOT NULL THEN format(
        'SELECT %s(%I) FROM %s WHERE %I BETWEEN %s AND %s',
        CASE WHEN seqincrement < 0 THEN 'min' ELSE 'max' END, attname, tables.oid::regclass,
        attname, seqmin, seqmax
    ) END AS most
FROM pg_class AS sequences
JOIN pg_sequence ON seqrelid = sequences.oid
JOIN pg_namespace ON pg_namespace.oid = sequences.relnamespace
LEFT JOIN used ON sequence = sequences.oid AND used.id IN (SELECT given.id FROM given)
LEFT JOIN pg_class AS tables ON tables.oid = used.id
LEFT JOIN pg_attribute ON attrelid = used.id AND attnum = number
WHERE sequences.relkind = 'S' AND sequences.relnamespace IN (SELECT space FROM given)
