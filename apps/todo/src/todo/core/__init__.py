"""Settings, the database, and its migrations."""
