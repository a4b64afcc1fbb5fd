-- What is set aside in tables while they are filled, and how it is put back: a row for each.
--
-- Foreign keys are made anew at the end, which checks all rows at once, whatever refers to what;
-- triggers have done their work in the source; the owner of a table may be held to its policies.
-- Given `tables`, the names of some.
WITH RECURSIVE family(id) AS (
    SELECT unnest(CAST(:tables AS text[]))::regclass::oid
    UNION
    SELECT inhrelid FROM pg_inherits JOIN family ON inhparent = family.id
)
SELECT
    format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS aside,
    format(
        'ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)
    ) AS back,
    conrelid::regclass::text AS child,
    confrelid::regclass::text AS parent,
    ARRAY(
        SELECT quote_ident(attname) FROM unnest(conkey) WITH ORDINALITY AS keys(number, place)
        JOIN pg_attribute ON attrelid = conrelid AND attnum = number ORDER BY place
    )::text[] AS columns,
    ARRAY(
        SELECT quote_ident(attname) FROM unnest(confkey) WITH ORDINALITY AS keys(number, place)
        JOIN pg_attribute ON attrelid = confrelid AND attnum = number ORDER BY place
    )::text[] AS referred,
    ARRAY(
        SELECT quote_ident(attname) FROM pg_index
        CROSS JOIN unnest(indkey) WITH ORDINALITY AS keys(number, place)
        JOIN pg_attribute ON attrelid = conrelid AND attnum = number
        WHERE indrelid = conrelid AND indisprimary ORDER BY place
    )::text[] AS keys
FROM pg_constraint
WHERE contype = 'f' AND conparentid = 0 AND conrelid IN (SELECT id FROM family)
UNION ALL
SELECT
    NULL,
    format(
        'COMMENT ON CONSTRAINT %I ON %s IS %L', conname, conrelid::regclass,
        obj_description(oid, 'pg_constraint')
    ),
    NULL, NULL, NULL, NULL, NULL
FROM pg_constraint
WHERE contype = 'f' AND conparentid = 0 AND conrelid IN (SELECT id FROM family)
    AND obj_description(oid, 'pg_constraint') IS NOT NULL
UNION ALL
SELECT
    format('ALTER TABLE ONLY %s DISABLE TRIGGER %I', tgrelid::regclass, tgname),
    format(
        'ALTER TABLE ONLY %s ENABLE %sTRIGGER %I', tgrelid::regclass,
        CASE tgenabled WHEN 'R' THEN 'REPLICA ' WHEN 'A' THEN 'ALWAYS ' ELSE '' END, tgname
    ),
    NULL, NULL, NULL, NULL, NULL
FROM pg_trigger
WHERE NOT tgisinternal AND tgenabled <> 'D' AND tgrelid IN (SELECT id FROM family)
UNION ALL
SELECT
    format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', oid::regclass),
    format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', oid::regclass),
    NULL, NULL, NULL, NULL, NULL
FROM pg_class
WHERE relforcerowsecurity AND oid IN (SELECT id FROM family)
