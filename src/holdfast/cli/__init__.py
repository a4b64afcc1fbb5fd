"""The command line `holdfast`, servers for development and migrations, and parts of another.

What an application's commands print is in `holdfast.cli.rows`, which imports more than these.
"""

from holdfast.cli.main import main, run
from holdfast.cli.runner import Runner

__all__ = ["Runner", "main", "run"]
