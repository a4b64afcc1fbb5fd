"""The command line `holdfast`: servers for development, and migrations."""

from holdfast.cli.main import app, main

__all__ = ["app", "main"]
