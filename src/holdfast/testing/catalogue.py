"""Read what a database has, one line for each table, column, index and the rest."""

from pathlib import Path

from sqlalchemy import Connection, text

_FILE = "catalogue_{}.sql"


def read_catalogue(
    connection: Connection, version_table: str = "alembic_version"
) -> frozenset[str]:
    """Give one line for each thing in the database; equal lines mean equal schemas.

    The order of columns, privileges and rows are not in it; on SQLite nor are CHECK constraints.

    Args:
        connection: to PostgreSQL or SQLite.
        version_table: Alembic's own, which is left out.
    """
    file = Path(__file__).with_name(_FILE.format(connection.dialect.name))
    sql = text(file.read_text(encoding="utf-8"))
    return frozenset(connection.scalars(sql, {"version_table": version_table}))
