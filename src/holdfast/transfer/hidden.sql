-- The tables whose policies hide rows from the role. Given `tables`, the names of some.
SELECT name FROM unnest(CAST(:tables AS text[])) AS name WHERE row_security_active(name)
