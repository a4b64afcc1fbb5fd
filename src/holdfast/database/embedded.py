"""Look at an SQLite database: its file, and whether it is as Holdfast sets it up."""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from holdfast.errors import UnavailableError
from holdfast.events import Check

if TYPE_CHECKING:
    from holdfast.database.database import Database

OLDEST = (3, 37)  # what Holdfast supports
_LOOKS_FOR = 5.0  # seconds: to look through a file takes longer the larger it is
_PRAGMAS = (
    # name, the value that it should have, and what goes wrong otherwise
    ("journal_mode", "wal", "readers and the writer wait for each other"),
    ("foreign_keys", "on", "a row may refer to one that is not there"),
)
_SWITCHES = {"0": "off", "1": "on"}  # as SQLite says it, and as people do


def check_file(db: "Database") -> None:
    """Require the file, which opening would make; not its folder, without which it is not made.

    Raises:
        UnavailableError: it is not there.
    """
    name = db.url.engine.database or ":memory:"
    if ":memory:" in name or name.startswith("file:"):
        return
    if Path(name).exists() or not Path(name).parent.is_dir():
        return
    raise UnavailableError(
        f"SQLite at {db.url.place}: there is no such file; `holdfast migrate` or the "
        "application's start makes it, unless the path in the URL is wrong"
    )


async def examine_file(db: "Database") -> Sequence[Check]:
    """Tell how the file is set up, whether it is whole, and whether it can be written."""
    try:
        check_file(db)
        seconds = await db.ping()
        async with db.read() as session:
            connection = await session.connection()
            found = [await _pragma(connection, *each) for each in _PRAGMAS]
            found.append(await _whole(connection))
    except (UnavailableError, DBAPIError) as error:
        said = str(getattr(error, "orig", None) or error)
        advice = "mend this first; the rest can be looked at only then"
        return [Check(name="reached", said=said, state="failed", advice=advice)]
    reached = Check(name="reached", said=f"{db.url.place} in {seconds * 1000:.0f} ms")
    return [reached, _version(), *found, await _writable(db)]


def _version() -> Check:
    said = f"SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info >= OLDEST:
        return Check(name="server", said=said)
    advice = f"use a Python with SQLite {OLDEST[0]}.{OLDEST[1]} or newer"
    return Check(name="server", said=f"{said} is too old", state="failed", advice=advice)


async def _pragma(connection: AsyncConnection, name: str, wanted: str, otherwise: str) -> Check:
    found = str(await connection.scalar(text(f"SELECT * FROM pragma_{name}")))  # noqa: S608  -- a constant of this file
    found = _SWITCHES.get(found, found)
    # A database in memory has one connection, and no journal beside a file.
    if found in {wanted, "memory"}:
        return Check(name=name, said=found)
    return Check(
        name=name,
        said=f"{found}: {otherwise}",
        state="failed",
        advice=f"look for what sets PRAGMA {name} after Holdfast did, or a file system that "
        "cannot share memory (a network drive)",
    )


async def _whole(connection: AsyncConnection) -> Check:
    try:
        async with asyncio.timeout(_LOOKS_FOR):
            found = await connection.scalar(text("SELECT * FROM pragma_quick_check(1)"))
    except TimeoutError:
        said, advice = f"not known after {_LOOKS_FOR:g} s", "run PRAGMA quick_check at leisure"
        return Check(name="integrity", said=said, state="warning", advice=advice)
    if found == "ok":
        return Check(name="integrity", said="quick_check is ok")
    return Check(
        name="integrity",
        said=f"the file is damaged: {found}",
        state="failed",
        advice="stop the application, keep the file, and restore a backup, or save what can be "
        "read: sqlite3 FILE .recover",
    )


async def _writable(db: "Database") -> Check:
    try:
        async with db.engine.connect() as connection, connection.begin() as transaction:
            # What stands there already; the lock alone can be had where writing is not allowed.
            version = await connection.scalar(text("SELECT * FROM pragma_user_version"))
            await connection.exec_driver_sql(f"PRAGMA user_version = {int(version)}")
            await transaction.rollback()
    except DBAPIError as error:
        return Check(
            name="writes",
            said=str(error.orig),
            state="failed",
            advice="let this user write the file and its folder, end what holds the lock, or "
            "leave mode=ro out of the URL",
        )
    return Check(name="writes", said="a write was tried, and taken back")
