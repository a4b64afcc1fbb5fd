-- Write states to those rows whose version is lower; never insert one. Locked in the order of their
-- keys, so that two of these cannot wait for each other. What is locked brings the values with it:
-- joined to them again, the planner took one loop in the other. It counts what is in an array, but
-- not in a subselect: for hundreds of keys it would read the whole table, and not the keys' index.
WITH locked AS (
    SELECT t.{key} AS key, given.version, given.state, given.columns
    FROM unnest(
        (SELECT CAST(:keys AS text[])), (SELECT CAST(:versions AS bigint[])),
        (SELECT CAST(:states AS text[])), (SELECT CAST(:columns AS text[]))
    ) AS given (key, version, state, columns)
    JOIN {table} t ON t.{key} = CAST(given.key AS {key_type})
    ORDER BY t.{key} FOR NO KEY UPDATE OF t{others}
)
UPDATE {table} t
SET {version} = given.version, {state} = CAST(given.state AS {state_type}){assignments}
FROM locked AS given
WHERE t.{key} = given.key AND t.{version} < given.version
RETURNING CAST(t.{key} AS text)
