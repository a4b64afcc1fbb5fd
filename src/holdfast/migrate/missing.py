"""Say which revision Alembic looked for and missed, where it comes from, and what to do."""

from collections.abc import Sequence
from pathlib import Path

from alembic.script.revision import ResolutionError
from alembic.util import CommandError

_IN_DATABASE = (
    "the database is at revision {revision!r}, and no file beside {config} has it: newer code, or "
    "that of another branch, has migrated it. Run that code, or bring its file here; the files "
    "that are here: holdfast history"
)
_ASKED_FOR = (
    "there is no revision {revision!r} beside {config}: is it spelled right, with four characters "
    "at least? List them: holdfast history"
)
_AMBIGUOUS = "{revision!r} is the beginning of several revisions; list them: holdfast history"


_ALEMBICS_BEHIND = "Target database is not up to date."  # it has no class of its own
_BEHIND = (
    "the database is not at the newest revision, and what it lacks is found from there; first "
    "migrate it: holdfast migrate"
)


def explain(error: CommandError, config: Path | str, at: Sequence[str]) -> str:
    """Give the sentence; Alembic's own where it is about something else.

    Args:
        error: of a command.
        config: the alembic.ini, named in the sentence.
        at: the revisions that the database is at, as far as it was asked.
    """
    if str(error) == _ALEMBICS_BEHIND:
        return _BEHIND
    cause = error.__cause__
    if not isinstance(cause, ResolutionError):
        return str(error)
    text = _IN_DATABASE if cause.argument in at else _ASKED_FOR
    if str(cause).startswith("Multiple revisions"):
        text = _AMBIGUOUS
    return text.format(revision=cause.argument, config=config)
