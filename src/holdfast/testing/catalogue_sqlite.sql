-- One line for each thing in the file, but for SQLite's own and Alembic's.
-- In: version_table, the name of Alembic's. Out: the kind, the name and all that defines it.
-- The SQL of a table is not taken: Alembic writes it anew, in its own words, to change a table.
WITH own AS (
    SELECT * FROM sqlite_schema
    WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\' AND tbl_name <> :version_table
),
tables AS (
    SELECT name FROM own WHERE type = 'table'
)
SELECT 'table ' || name FROM tables
UNION ALL
SELECT type || ' ' || name || ': ' || sql FROM own WHERE type IN ('view', 'trigger')
UNION ALL
SELECT 'column ' || tables.name || '.' || c.name || ' ' || c.type
    || CASE WHEN c."notnull" THEN ' NOT NULL' ELSE '' END
    || coalesce(' DEFAULT ' || c.dflt_value, '')
    || CASE WHEN c.pk THEN ' PRIMARY KEY ' || c.pk ELSE '' END
    || CASE WHEN c.hidden THEN ' GENERATED' ELSE '' END
FROM tables JOIN pragma_table_xinfo(tables.name) AS c
UNION ALL
SELECT 'foreign key of ' || tables.name || ': ' || group_concat(f."from", ', ')
    || ' to ' || f."table" || ' ' || coalesce(group_concat(f."to", ', '), '')
    || ' ON DELETE ' || f.on_delete || ' ON UPDATE ' || f.on_update
FROM tables JOIN pragma_foreign_key_list(tables.name) AS f
GROUP BY tables.name, f.id
UNION ALL
SELECT CASE WHEN i."unique" THEN 'unique ' ELSE '' END
    -- What belongs to a constraint has a name that SQLite counts up.
    || 'index ' || CASE i.origin WHEN 'c' THEN i.name ELSE '' END || ' of ' || tables.name || ': '
    || (
        SELECT group_concat(
            coalesce(k.name, '(expression)') || CASE WHEN k."desc" THEN ' DESC' ELSE '' END, ', '
        )
        FROM pragma_index_xinfo(i.name) AS k WHERE k.key
    )
    || CASE WHEN i.partial THEN ' WHERE …' ELSE '' END
FROM tables JOIN pragma_index_list(tables.name) AS i
WHERE i.origin <> 'pk'
