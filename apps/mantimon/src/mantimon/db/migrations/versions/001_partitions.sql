-- Make the partitions of game_history for the months, in UTC, of a period, its end included; give
-- the names of those that were not there.
--
-- It acts as the role that owns the table, so that a game server, which may not make tables, is
-- never without a place for its games; hence the fixed path, and the limits of the period.
--
-- A partition is made beside the table and attached, since CREATE TABLE … PARTITION OF would wait
-- for everybody who reads the table, and everybody else for it.
CREATE FUNCTION make_game_history_partitions(since timestamptz, until timestamptz)
RETURNS SETOF text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '5s'
AS $$
DECLARE
    month timestamptz := date_trunc('month', since);
    name text;
BEGIN
    IF since < '2000-01-01' OR until > clock_timestamp() + interval '5 years' OR until < since
        OR since IS NULL OR until IS NULL
    THEN
        RAISE EXCEPTION 'no partitions from % until %: a period begins in 2000 or later, and ends '
            'within five years', since, until USING ERRCODE = 'invalid_parameter_value';
    END IF;
    WHILE month <= until LOOP
        name := 'game_history_' || to_char(month, 'YYYY_MM');
        IF to_regclass(name) IS NULL THEN
            -- One at a time, and only where one is missing: it is kept until the commit. To attach
            -- takes this lock anyway; reading and writing goes on.
            LOCK TABLE game_history IN SHARE UPDATE EXCLUSIVE MODE;
        END IF;
        IF to_regclass(name) IS NULL THEN  -- whoever comes second finds it there
            EXECUTE format('CREATE TABLE %I (LIKE game_history INCLUDING ALL)', name);
            EXECUTE format(
                'ALTER TABLE game_history ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                name, month, month + interval '1 month'
            );
            RETURN NEXT name;
        END IF;
        month := month + interval '1 month';
    END LOOP;
END
$$
