-- The limits that hold for a statement here, in milliseconds; 0 is none. No parameters.
SELECT name, setting::bigint AS milliseconds
FROM pg_settings
WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout')
ORDER BY name DESC
