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
;;
-- Count anew what a statement has changed or deleted; who has no wins left is on no board.
--
-- A player who goes changes games that others have won, too; of those nothing is written here.
CREATE FUNCTION recount_wins() RETURNS trigger
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
DECLARE
    changed record;
BEGIN
    FOR changed IN EXECUTE format(
        $sql$
            SELECT date_trunc('month', played_at AT TIME ZONE 'UTC')::date AS month,
                   winner_id AS user_id, sum(more) AS wins
            FROM (SELECT played_at, winner_id, -1 AS more FROM gone %s) AS each
            WHERE winner_id IS NOT NULL
            GROUP BY 1, 2 HAVING sum(more) <> 0 ORDER BY 1, 2
        $sql$,
        CASE TG_OP WHEN 'UPDATE' THEN 'UNION ALL SELECT played_at, winner_id, 1 FROM stored' END
    ) LOOP
        IF changed.wins > 0 THEN
            INSERT INTO standings AS kept VALUES (changed.month, changed.user_id, changed.wins)
            ON CONFLICT (month, user_id) DO UPDATE SET wins = kept.wins + excluded.wins;
        ELSE
            UPDATE standings SET wins = wins + changed.wins
            WHERE month = changed.month AND user_id = changed.user_id;
            DELETE FROM standings
            WHERE month = changed.month AND user_id = changed.user_id AND wins <= 0;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;;
CREATE TRIGGER recount_wins_of_changed AFTER UPDATE ON game_history
REFERENCING OLD TABLE AS gone NEW TABLE AS stored
FOR EACH STATEMENT EXECUTE FUNCTION recount_wins();;
CREATE TRIGGER recount_wins_of_deleted AFTER DELETE ON game_history
REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION recount_wins()
