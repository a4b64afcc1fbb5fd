"""`holdfast copy`: what it takes, prints and ends with."""

import asyncio
import json
import os
import pty
import re
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from tests.cli.conftest import COMMAND, Shell

MIGRATION = """
from alembic import op
from models import Base
revision, down_revision = "001", None
def upgrade():
    Base.metadata.create_all(op.get_bind())
def downgrade():
    pass
"""
TIME = "2026-01-01 00:00:00.000000"


@pytest.fixture
def source(shell: Shell, project: Path) -> str:
    """Give the URL of an SQLite file with two items."""
    (project / "migrations" / "versions" / "001_items.py").write_text(MIGRATION)
    url = f"sqlite:///{project}/shop.db"
    shell.json("migrate", "--url", url)
    write(
        project,
        *(f"INSERT INTO items VALUES ('{n:032x}', 'n', '{TIME}', '{TIME}')" for n in (1, 2)),
    )
    return url


def write(project: Path, *statements: str) -> None:
    """Write into the file."""
    with closing(sqlite3.connect(project / "shop.db")) as connection, connection:
        for each in statements:
            connection.execute(each)


def ask(url: str, sql: str) -> object:
    """Read from a PostgreSQL."""

    async def ask() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_words_for_people(shell, source, database_url):
    """A line for each table, and one that says what was done."""
    done = shell("copy", source, database_url)

    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first == "items: 2 rows"
    assert re.fullmatch(
        r"copied .*shop\.db to .* at 001 in [\d.]+ s: 2 rows of 1 table, read back and the same",
        last,
    )
    assert ask(database_url, "SELECT count(*) FROM items") == 2


def test_words_for_programs(shell, source, database_url):
    """One document, with the digest of each table."""
    copied = shell.json("copy", source, database_url)

    assert (copied["revision"], copied["source"]) == ("001", source.removeprefix("sqlite:///"))
    [items] = copied["tables"]
    assert (items["name"], items["rows"]) == ("items", 2)
    assert re.fullmatch("[0-9a-f]{32}", items["digest"])


def test_back_again(shell, project, source, database_url):
    """To a file that is not there yet; also where the URL names a driver without COPY."""
    shell.json("copy", source, database_url)
    url = database_url.replace("postgresql://", "postgresql+psycopg://", 1)
    copied = shell.json("copy", url, f"sqlite:///{project}/back.db")

    assert copied["tables"][0]["rows"] == 2


def test_a_bar_on_a_terminal(shell, source, database_url):
    """With rate and time left; below it is what there is elsewhere."""
    done, printed = on_a_terminal(shell, "copy", source, database_url)

    assert done == 0, printed
    assert re.search(r"(copying|verifying) items.*%.* rows/s.*\d:\d\d:\d\d", printed)
    assert "items: 2 rows" in printed
    assert "read back and the same" in printed


def on_a_terminal(shell: Shell, *arguments: str) -> tuple[int, str]:
    """Call the command as a person does, and give its exit code and all that was shown."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(shell.folder)
        os.execve(COMMAND[0], [*COMMAND, *arguments], shell.environ | {"TERM": "xterm"})
    printed = b""
    try:
        while some := os.read(terminal, 4096):
            printed += some
    except OSError:  # that is how its end is told
        pass
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), printed.decode()


def test_tables_that_no_model_has(shell, project, source, database_url):
    """They are named, and left out when they are named back."""
    write(project, "CREATE TABLE notes (id INTEGER)", "INSERT INTO notes VALUES (1)")
    refused = shell("copy", source, database_url)
    done = shell.json("copy", source, database_url, "--without", "notes")

    assert refused.returncode == 1
    assert "rows in notes, which the models do not have" in refused.stderr
    assert refused.stderr.endswith("--without notes\n")
    assert done["tables"][0]["rows"] == 2


def test_a_row_that_is_refused(shell, project, source, database_url):
    """One line names it, with --json, too."""
    write(project, f"UPDATE items SET name = X'00' WHERE id = '{2:032x}'")
    done = shell("copy", source, database_url)
    as_json = shell("copy", source, database_url, "--json")

    said = "items, id 00000000-0000-0000-0000-000000000002: name: it holds a blob, which its type"
    assert (done.returncode, as_json.returncode) == (1, 1)
    assert done.stderr.startswith(f"error: {said}")
    assert json.loads(as_json.stderr)["error"].startswith(said)
    assert ask(database_url, "SELECT count(*) FROM items") == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "SOURCE"),
        (["{source}"], 2, "TARGET"),
        (["mysql://u:hunter2@h/x", "{target}"], 2, "the scheme 'mysql' is not known"),
        (["{source}", "{source}"], 2, "source and target are one database"),
        (["{source}", "{target}", "--without", "items"], 2, "items cannot be left out"),
        (["{source}", "sqlite://"], 2, "the target is in memory, and gone when the command ends"),
        (["sqlite:///missing.db", "{target}"], 1, "missing.db: there is no such file to copy"),
        (["{source}", "postgresql://u:hunter2@127.0.0.1:1/x"], 1, "refused"),
        (["postgresql://u:hunter2@127.0.0.1:1/x", "{target}"], 1, "refused"),
    ],
)
def test_what_cannot_be_copied(shell, project, *, source, database_url, arguments, code, words):
    """The exit code says who has to mend something; no password is shown, no file is made."""
    given = [each.format(source=source, target=database_url) for each in arguments]

    done = shell("copy", *given)

    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "hunter2" not in done.stderr
    assert not (project / "missing.db").exists()


def test_without_migrations_nothing_is_touched(shell, project, source):
    """Not even the file of the target is made."""
    (project / "alembic.ini").unlink()

    done = shell("copy", source, f"sqlite:///{project}/new.db")

    assert done.returncode == 2
    assert "alembic.ini: there is no such file" in done.stderr
    assert not (project / "new.db").exists()


async def test_ctrl_c_ends_it(shell, source, database_url):
    """While it waits for somebody who uses the target."""
    await asyncio.to_thread(shell.json, "migrate", "--url", database_url)
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
    connection = await asyncpg.connect(database_url)
    async with connection.transaction():
        await connection.execute("LOCK TABLE items IN ACCESS SHARE MODE")
        copying = shell.start("copy", source, database_url)
        while not await connection.fetchval(waits):
            assert copying.poll() is None
        copying.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(copying.wait) == 130
    assert await connection.fetchval("SELECT count(*) FROM items") == 0
    await connection.close()
