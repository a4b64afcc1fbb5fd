-- Count the games that a statement has stored for those who won them, by month in UTC.
--
-- One statement of many games is one of few rows here, in the order of the key, so that two of them
-- never wait for each other in a circle. Two transactions of several statements each may.
CREATE FUNCTION count_wins() RETURNS trigger
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
BEGIN
    INSERT INTO standings AS kept (month, user_id, wins)
    SELECT date_trunc('month', played_at AT TIME ZONE 'UTC')::date, winner_id, count(*)
    FROM stored
    WHERE winner_id IS NOT NULL
    GROUP BY 1, 2
    ORDER BY 1, 2
    ON CONFLICT (month, user_id) DO UPDATE SET wins = kept.wins + excluded.wins;
    RETURN NULL;
END
$$;;
CREATE TRIGGER count_wins AFTER INSERT ON game_history
REFERENCING NEW TABLE AS stored
FOR EACH STATEMENT EXECUTE FUNCTION count_wins()
