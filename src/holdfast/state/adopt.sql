-- Give rows a new epoch whose version is still the one that was read. Locked in the order of their
-- keys, so that two of these cannot wait for each other.
WITH given AS (
    SELECT CAST(g.key AS {key_type}) AS key, g.version, NULLIF(g.state, '') AS state, g.columns
    FROM unnest(
        CAST(:keys AS text[]), CAST(:versions AS bigint[]), CAST(:states AS text[]),
        CAST(:columns AS text[])
    ) AS g (key, version, state, columns)
), locked AS (
    SELECT t.{key} AS key FROM {table} t JOIN given ON t.{key} = given.key
    ORDER BY t.{key} FOR NO KEY UPDATE OF t
)
UPDATE {table} t
SET {version} = nextval('{sequence}') << {bits},
    {state} = coalesce(CAST(given.state AS {state_type}), t.{state}){assignments}
FROM locked JOIN given USING (key){filled}
WHERE t.{key} = locked.key AND t.{version} = given.version
RETURNING CAST(t.{key} AS text), t.{version}
