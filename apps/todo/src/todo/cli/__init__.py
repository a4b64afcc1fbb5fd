"""The command line `todo`: parse, call, print; exit codes 0 done, 1 failed, 2 used wrongly."""

from todo.cli.commands import main

__all__ = ["main"]
