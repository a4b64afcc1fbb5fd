-- Make the partitions of game_history for the months, in UTC, of a period, its end included; give
-- the names of those that were not there.
--
-- It acts as the role that owns the table, so that a game server, which may not make tables, is
-- never without a place for its games; hence the fixed path, and the limits of the period.
--
-- A partition is made beside the table and attached, since CREATE TABLE … PARTITION OF would wait
-- for everybody who reads the table, and everybody else for it.
--
-- It refers to the players, so it waits for whoever is writing one, and everybody else who wants to
-- write one waits behind it. So it gives way, and comes again: after 50 ms at first, after 1.6 s in
-- the end, which is long enough for the server to send an autovacuum away.
CREATE FUNCTION make_game_history_partitions(since timestamptz, until timestamptz)
RETURNS SETOF text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '50ms'
AS $$
DECLARE
    month timestamptz := date_trunc('month', since);
    name text;
    attempts int := 0;
    history CONSTANT regclass := 'game_history';
BEGIN
    IF NOT has_table_privilege(session_user, 'game_history', 'INSERT') THEN
        RAISE EXCEPTION '% may not store games, so makes no partitions', session_user
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF since < '2000-01-01' OR until > clock_timestamp() + interval '5 years' OR until < since
        OR since IS NULL OR until IS NULL
    THEN
        RAISE EXCEPTION 'no partitions from % until %: a period begins in 2000 or later, and ends '
            'within five years', since, until USING ERRCODE = 'invalid_parameter_value';
    END IF;
    WHILE month <= until LOOP
        name := 'game_history_' || to_char(month, 'YYYY_MM');
        -- Where there is a table of that name that is no partition, making one is an error.
        WHILE pg_partition_root(to_regclass('public.' || name)) IS DISTINCT FROM history LOOP
            BEGIN
                -- One at a time, and only where one is missing: it is kept until the commit. To
                -- attach takes this lock anyway; reading and writing goes on.
                LOCK TABLE game_history IN SHARE UPDATE EXCLUSIVE MODE;
                -- Whoever comes second finds it there.
                CONTINUE WHEN pg_partition_root(to_regclass('public.' || name)) = history;
                EXECUTE format('CREATE TABLE %I (LIKE game_history INCLUDING ALL)', name);
                EXECUTE format(
                    'ALTER TABLE game_history ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                    name, month, month + interval '1 month'
                );
                RETURN NEXT name;
            EXCEPTION WHEN lock_not_available THEN
                IF attempts = 5 THEN
                    RAISE;
                END IF;
                attempts := attempts + 1;
                PERFORM set_config('lock_timeout', (50 << attempts) || 'ms', true);
            END;
        END LOOP;
        month := month + interval '1 month';
    END LOOP;
END
$$
