-- The three roles, and what they may do with what the owner makes. Run once, in template1, so
-- that every database made later has the same: default privileges belong to a database.

CREATE ROLE owner LOGIN CREATEDB NOSUPERUSER NOCREATEROLE NOBYPASSRLS;
CREATE ROLE app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
CREATE ROLE readonly LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
ALTER ROLE readonly SET default_transaction_read_only = on;
-- To drop a database WITH (FORCE) while applications are connected to it, as tests do.
GRANT pg_signal_backend TO owner;

-- As in PostgreSQL 15 and newer, for 14: the database's owner has `public`, nobody else makes
-- anything in it.
ALTER SCHEMA public OWNER TO pg_database_owner;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO app, readonly;

ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT USAGE ON SCHEMAS TO app, readonly;
ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO app;
ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT SELECT ON TABLES TO readonly;
ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT USAGE, SELECT ON SEQUENCES TO app;
ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT SELECT ON SEQUENCES TO readonly;
ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT EXECUTE ON FUNCTIONS TO app, readonly;
