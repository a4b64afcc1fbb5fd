-- One line for each thing in the database, but for the server's own, extensions' and Alembic's.
-- In: version_table, the name of Alembic's. Out: the kind, the name and all that defines it.
WITH schemas AS (
    SELECT oid, nspname
    FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
),
of_extensions AS (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
),
relations AS (
    SELECT pg_class.*, pg_class.oid::regclass::text AS name
    FROM pg_class JOIN schemas ON schemas.oid = relnamespace
    WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')
        AND relname <> :version_table
        AND (CAST('pg_class' AS regclass), pg_class.oid) NOT IN (SELECT * FROM of_extensions)
)
SELECT format('schema %I', nspname) FROM schemas WHERE nspname <> 'public'
UNION ALL
SELECT format('extension %I', extname) FROM pg_extension
UNION ALL
SELECT concat(
    CASE CASE WHEN relispartition THEN 'partition' ELSE relkind::text END
        WHEN 'partition' THEN 'partition '
        WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'S' THEN 'sequence '
        WHEN 'c' THEN 'type ' ELSE 'table '
    END,
    name,
    CASE WHEN relkind IN ('v', 'm') THEN ' AS ' || pg_get_viewdef(oid) END,
    ' PARTITION BY ' || pg_get_partkeydef(oid),
    ' ' || pg_get_expr(relpartbound, oid),
    ' COMMENT ' || quote_literal(obj_description(oid, 'pg_class'))
)
FROM relations
UNION ALL
SELECT concat('row level security of ', name, CASE WHEN relforcerowsecurity THEN ' FORCED' END)
FROM relations
WHERE relrowsecurity
UNION ALL
SELECT concat(
    format('column %s.%I %s', name, attname, format_type(atttypid, atttypmod)),
    CASE WHEN attcollation <> typcollation THEN ' COLLATE ' || attcollation::regcollation END,
    CASE WHEN attnotnull THEN ' NOT NULL' END,
    CASE attgenerated WHEN '' THEN ' DEFAULT ' ELSE ' GENERATED ' END || pg_get_expr(adbin, adrelid),
    CASE attidentity WHEN 'a' THEN ' IDENTITY ALWAYS' WHEN 'd' THEN ' IDENTITY' END,
    ' COMMENT ' || quote_literal(col_description(relations.oid, attnum))
)
FROM relations
JOIN pg_attribute ON attrelid = relations.oid AND attnum > 0 AND NOT attisdropped
JOIN pg_type ON pg_type.oid = atttypid
LEFT JOIN pg_attrdef ON adrelid = relations.oid AND adnum = attnum
WHERE relkind IN ('r', 'p', 'f', 'c') AND NOT relispartition
UNION ALL
SELECT format('constraint %I of %s: %s', conname, name, pg_get_constraintdef(pg_constraint.oid))
FROM pg_constraint JOIN relations ON relations.oid = conrelid
WHERE contype IN ('c', 'f', 'p', 'u', 'x') AND NOT relispartition
UNION ALL
SELECT format(
    'index %s%s',
    regexp_replace(pg_get_indexdef(indexrelid), '^CREATE (UNIQUE )?INDEX ', '\1'),
    CASE WHEN NOT indisvalid THEN ' INVALID' END
)
FROM pg_index JOIN relations ON relations.oid = indrelid
WHERE NOT relispartition AND NOT EXISTS (
    SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x')
)
UNION ALL
SELECT format('trigger %I of %s: %s', tgname, name, pg_get_triggerdef(pg_trigger.oid))
FROM pg_trigger JOIN relations ON relations.oid = tgrelid
WHERE NOT tgisinternal
UNION ALL
SELECT format(
    'policy %I of %s: %s %s %s %s %s', polname, name, polcmd, polpermissive, polroles::regrole[],
    pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
)
FROM pg_policy JOIN relations ON relations.oid = polrelid
UNION ALL
SELECT concat(
    CASE typtype WHEN 'e' THEN 'enum ' ELSE 'domain ' END,
    format_type(pg_type.oid, NULL),
    (
        SELECT ': ' || string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder)
        FROM pg_enum WHERE enumtypid = pg_type.oid
    ),
    CASE WHEN typtype = 'd' THEN ': ' || format_type(typbasetype, typtypmod) END,
    CASE WHEN typnotnull THEN ' NOT NULL' END,
    ' DEFAULT ' || typdefault,
    (
        SELECT ' ' || string_agg(pg_get_constraintdef(oid), ' ' ORDER BY conname)
        FROM pg_constraint WHERE contypid = pg_type.oid
    )
)
FROM pg_type JOIN schemas ON schemas.oid = typnamespace
WHERE typtype IN ('e', 'd')
    AND (CAST('pg_type' AS regclass), pg_type.oid) NOT IN (SELECT * FROM of_extensions)
UNION ALL
SELECT format(
    'function %s %s', pg_proc.oid::regprocedure,
    CASE WHEN prokind <> 'a' THEN md5(pg_get_functiondef(pg_proc.oid)) END
)
FROM pg_proc JOIN schemas ON schemas.oid = pronamespace
WHERE (CAST('pg_proc' AS regclass), pg_proc.oid) NOT IN (SELECT * FROM of_extensions)
