"""The command line `holdfast`: servers for development, and migrations."""

from holdfast.cli.main import main

__all__ = ["main"]
