"""Ask PostgreSQL about tables, by the statements beside this file."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from sqlalchemy import ARRAY, Row, Table, Text, bindparam, text
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.ext.asyncio import AsyncSession

# Of asyncpg's style: in another one, a percent sign in a name is written twice.
_names = PGDialect(paramstyle="numeric_dollar").identifier_preparer  # type: ignore[no-untyped-call]  # SQLAlchemy's


async def ask(session: AsyncSession, file: str, tables: Sequence[Table]) -> Sequence[Row[Any]]:
    """Run the statement of a file for these tables."""
    names = [_names.format_table(each) for each in tables]
    statement = text(_read(file)).bindparams(bindparam("tables", names, ARRAY(Text)))
    return (await session.execute(statement)).all()


def quoted(tables: Sequence[Table]) -> str:
    """Name tables as SQL does."""
    return ", ".join(map(_names.format_table, tables))


def quoted_name(name: str) -> str:
    """Name a column as SQL does."""
    return _names.quote(name)


@cache
def _read(file: str) -> str:
    return files(__package__).joinpath(file).read_text(encoding="utf-8")
