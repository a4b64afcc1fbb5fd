-- What the database has of a store's table: the types and defaults of its columns, and the sequence.
SELECT
    (SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
     WHERE a.attrelid = t.oid AND a.attname = :state AND NOT a.attisdropped) AS state_type,
    (SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
     WHERE a.attrelid = t.oid AND a.attname = :version AND NOT a.attisdropped) AS version_type,
    (SELECT format_type(a.atttypid, NULL) FROM pg_attribute a
     WHERE a.attrelid = t.oid AND a.attname = :key AND NOT a.attisdropped) AS key_type,
    (SELECT c.collisdeterministic FROM pg_attribute a JOIN pg_collation c ON c.oid = a.attcollation
     WHERE a.attrelid = t.oid AND a.attname = :key AND NOT a.attisdropped) AS key_is_exact,
    (SELECT a.attnotnull FROM pg_attribute a
     WHERE a.attrelid = t.oid AND a.attname = :version AND NOT a.attisdropped) AS version_required,
    (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
     JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
     WHERE d.adrelid = t.oid AND a.attname = :version) AS version_default,
    to_regclass(:sequence) IS NOT NULL AS has_sequence,
    (SELECT s.seqcache FROM pg_sequence s WHERE s.seqrelid = to_regclass(:sequence)) AS cached,
    CASE WHEN to_regclass(:sequence) IS NOT NULL
         THEN has_sequence_privilege(to_regclass(:sequence), 'USAGE') END AS may_use,
    has_table_privilege(t.oid, 'SELECT') AND has_table_privilege(t.oid, 'UPDATE') AS may_write,
    (SELECT format('%I.%I of database %I', n.nspname, c.relname, current_database())
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = t.oid) AS place
FROM (SELECT CAST(to_regclass(:table) AS oid) AS oid) AS t
