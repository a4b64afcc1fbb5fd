"""Scripted models discuss on SQLite, many at once: `python -m moai.demo`."""
