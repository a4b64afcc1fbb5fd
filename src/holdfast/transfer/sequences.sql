-- The sequences of tables, and how far the tables' rows are; by column, or of a schema by themselves.
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
    CASE WHEN attname IS NOT NULL
        THEN format('SELECT max(%I) FROM %s', attname, tables.oid::regclass) END AS most
FROM pg_class AS sequences
JOIN pg_namespace ON pg_namespace.oid = sequences.relnamespace
LEFT JOIN used ON sequence = sequences.oid AND used.id IN (SELECT given.id FROM given)
LEFT JOIN pg_class AS tables ON tables.oid = used.id
LEFT JOIN pg_attribute ON attrelid = used.id AND attnum = number
WHERE sequences.relkind = 'S' AND sequences.relnamespace IN (SELECT space FROM given)
