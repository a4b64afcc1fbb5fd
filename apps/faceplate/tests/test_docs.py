"""The pages in docs/ tell the schema and the commands as they are."""

import re
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.main import get_command

from faceplate.cli.commands import app
from faceplate.models import Base

APP = Path(__file__).parent.parent
SCHEMA = (APP / "docs/schema.md").read_text(encoding="utf-8")
PAGES = [APP / "README.md", *sorted((APP / "docs").glob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)(?:#[^)]*)?\)")
COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod),
        CASE WHEN attnotnull THEN 'no' ELSE 'yes' END, coalesce(pg_get_expr(adbin, adrelid), 'none')
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = CAST(:table AS regclass) AND attnum > 0
"""
NAMED = """
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = CAST(:table AS regclass) AND contype <> 'n'
    UNION ALL
    SELECT relname, regexp_replace(
        pg_get_indexdef(indexrelid), '^CREATE (UNIQUE )?INDEX .* USING ', '\\1')
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE indrelid = CAST(:table AS regclass)
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype <> 'f')
    UNION ALL
    SELECT tgname, 'trigger ' || tgfoid::regproc FROM pg_trigger
    WHERE tgrelid = CAST(:table AS regclass) AND NOT tgisinternal
"""


def rows_of(table, heading):
    """Read a table of the page: that under a database table's title, with such a heading."""
    section = SCHEMA.partition(f"\n## `{table}`\n")[2].partition("\n## ")[0]
    body = section.partition(f"| {heading} |")[2].partition("\n\n")[0]
    lines = body.splitlines()[2:]
    cells = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in lines)
    return {tuple(cell.strip("`") for cell in row) for row in cells}


@pytest.mark.parametrize("table", sorted(Base.metadata.tables))
async def test_the_page_has_the_schema_as_the_server_has_it(session, table):
    """Every column, constraint, index and trigger of the migrated database, and no other."""
    for sql, heading in ((COLUMNS, "column"), (NAMED, "name")):
        found = (await session.execute(text(sql), {"table": table})).all()

        assert rows_of(table, heading) == {tuple(row) for row in found}


def test_the_page_has_every_table():
    """A table that is new needs a section."""
    assert re.findall(r"^## `(faceplate\.\w+)`$", SCHEMA, re.MULTILINE) == [
        "faceplate.users",
        "faceplate.conversations",
        "faceplate.messages",
        "faceplate.mcp_configs",
    ]
    assert len(Base.metadata.tables) == 4


def test_every_command_is_on_the_page():
    """The page of the command line lists each command, and none that there is not."""
    page = (APP / "docs/cli.md").read_text(encoding="utf-8")
    groups = get_command(app).commands
    commands = {
        f"faceplate {name} {each}" if hasattr(group, "commands") else f"faceplate {name}"
        for name, group in groups.items()
        for each in getattr(group, "commands", [""])
    }

    assert set(re.findall(r"^\| `(faceplate [a-z]+(?: [a-z]+)?)", page, re.MULTILINE)) == commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """Each link that is no web address is a file of the project."""
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target
