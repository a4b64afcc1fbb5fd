"""Todo: everybody has tasks of their own, on SQLite or PostgreSQL."""
