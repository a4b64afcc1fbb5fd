"""The command line `holdfast`, servers for development and migrations, and how to end another."""

from holdfast.cli.main import main, run

__all__ = ["main", "run"]
