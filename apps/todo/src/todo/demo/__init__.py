"""The same tasks on SQLite and on PostgreSQL, by the same code: `python -m todo.demo`."""
