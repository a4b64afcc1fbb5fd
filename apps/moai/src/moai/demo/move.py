"""Copy the database of the demo to PostgreSQL, and read the discussion there."""

from dataclasses import dataclass

from holdfast import transfer
from holdfast.database import Database
from holdfast.transfer import Copied
from moai.core.database import ALEMBIC_INI, close_db, get_database, init_db
from moai.demo import script
from moai.demo.play import Played
from moai.markdown import write_markdown
from moai.services.discussions import load_discussion, open_discussion
from moai.services.messages import add_message
from moai.services.rounds import add_round


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What was copied, the discussion as it is there, and whether each check holds."""

    copied: Copied
    markdown: str
    checks: dict[str, bool]


async def move(file: str, owner: str, app: str, played: Played) -> Moved:
    """Copy everything, read the discussion that was shown, and go on with another one.

    Args:
        file: URL of the database that was played on.
        owner: URL of PostgreSQL as the role that migrates.
        app: the same as the role that the application has.
        played: what is in the file.
    """
    async with Database(file) as old, Database(owner) as new:
        copied = await transfer.copy(old, new, ALEMBIC_INI)
    init_db(app)
    try:
        async with get_database().read() as session:
            found = await load_discussion(session, played.shown)
            there = write_markdown(found)
        return Moved(
            copied=copied,
            markdown=there,
            checks={
                "every message was copied to PostgreSQL": played.messages
                == next(each.rows for each in copied.tables if each.name == "messages"),
                "the discussion reads there as it did": there == played.markdown,
                "the next one is held there": await _goes_on(found.project_id),
            },
        )
    finally:
        await close_db()


async def _goes_on(project: str) -> bool:
    db = get_database()
    opened = await db.run(open_discussion, project, script.QUESTION)
    asked = await db.run(add_round, opened.id)
    said = await db.run(add_message, opened.id, script.MODELS[0], script.SUMMARY)
    return asked.number == 1 and said.round_id == asked.id
