"""Tell whether a database is where the migrations of a project end."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.errors import ConfigurationError, MigrationError, UnavailableError
from holdfast.events import Check
from holdfast.migrate.noop import find_current
from holdfast.migrate.running import current
from holdfast.migrate.scripts import head, history, pending

if TYPE_CHECKING:
    from holdfast.database import Database


async def check(db: "Database", config: Path | str) -> Sequence[Check]:
    """Compare the database's revisions with the newest of the files; nothing is changed.

    At the newest it is one round trip; elsewhere Alembic is imported and env.py runs.

    Args:
        db: as a role that may read the version table.
        config: the alembic.ini.
    """
    try:
        return [await _check(db, config)]
    except (ConfigurationError, MigrationError, UnavailableError) as error:
        advice = "mend what is named there, then: holdfast migrate"
        return [Check(name="revision", said=str(error), state="failed", advice=advice)]


async def _check(db: "Database", config: Path | str) -> Check:
    newest = await find_current(db, config)
    if newest is not None:
        return Check(name="revision", said=f"{newest[0]}, the newest")
    if not history(config):
        return Check(name="revision", said="there is no migration yet")
    last, at = head(config), await current(db, config)
    behind = pending(config, at)
    said = ", ".join(at) or "nothing"
    if not behind:
        return Check(name="revision", said=f"{said}, the newest")
    return Check(
        name="revision",
        said=f"at {said}, {behind} behind {last}",
        state="failed",
        advice="holdfast migrate",
    )
