"""Alembic's folder: the environment and one file for each migration."""
