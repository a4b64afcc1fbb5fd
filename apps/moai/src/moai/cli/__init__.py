"""The command line `moai`: parse, call, print; exit codes 0 done, 1 failed, 2 used wrongly."""

from moai.cli.commands import main

__all__ = ["main"]
