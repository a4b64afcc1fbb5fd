"""Faceplate's PostgreSQL: sessions, the start of the service, and migrations."""
