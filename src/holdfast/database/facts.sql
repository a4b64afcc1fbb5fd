-- What a server tells of itself, of the role and of this connection, in one row. No parameters.
SELECT
    pg_backend_pid() AS pid,
    current_setting('server_version_num')::int AS version,
    current_setting('server_version') AS version_text,
    current_user::text AS role,
    role.rolsuper AS superuser,
    role.rolbypassrls AS bypasses_rls,
    -- For a superuser the limits of connections do not hold.
    CASE WHEN role.rolsuper THEN -1 ELSE role.rolconnlimit END AS role_limit,
    CASE WHEN role.rolsuper THEN -1 ELSE here.datconnlimit END AS database_limit,
    pg_is_in_recovery() AS standby,
    current_setting('default_transaction_read_only') = 'on' AS reads_only,
    current_setting('max_connections')::int AS max_connections,
    current_setting('superuser_reserved_connections')::int
        -- From PostgreSQL 16 on.
        + coalesce(current_setting('reserved_connections', true), '0')::int AS reserved,
    others.all AS others,
    others.in_database AS others_in_database,
    coalesce(tls.version, '') AS tls_version,
    coalesce(tls.cipher, '') AS tls_cipher
FROM pg_roles AS role
CROSS JOIN pg_database AS here
CROSS JOIN (
    -- Clients have both names, and they are shown to everybody. What is this role's here is the
    -- application itself, and the one who asks.
    SELECT
        count(*) AS "all",
        count(*) FILTER (WHERE datname = current_database()) AS in_database
    FROM pg_stat_activity
    WHERE datname IS NOT NULL AND usename IS NOT NULL
        AND (datname, usename) <> (current_database(), current_user)
) AS others
LEFT JOIN pg_stat_ssl AS tls ON tls.pid = pg_backend_pid() AND tls.ssl
WHERE role.rolname = current_user AND here.datname = current_database()
