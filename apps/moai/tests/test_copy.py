"""Moving to PostgreSQL with `holdfast copy`: every row, and the command line goes on there."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from holdfast.database import Database
from moai.core.database import ALEMBIC_INI
from moai.core.models import Base

LINES = (
    {"type": "project", "name": "Caching ☃", "models": ["claude", "gpt"]},
    {"type": "discussion", "question": "Over?", "status": "completed"},
    {"type": "discussion", "question": "Should answers\nbe cached?", "kind": "consensus"},
    {"type": "round", "kind": "sequential"},
    *(
        {"type": "message", "model": "gpt", "content": f"# {n}\n\ttab", "is_direct": n % 2 == 0}
        for n in range(250)
    ),
    {"type": "consensus", "summary": "Yes.", "generated_by": "gpt", "agreements": ["é", "\\ "]},
)


@pytest.fixture
def talk(made):
    """Give the id of a discussion in ./moai.db, which has one of everything, and more."""
    return made("import", "-", stdin="\n".join(map(json.dumps, LINES)))["discussion_id"]


def copy(target):
    """Copy ./moai.db as somebody would by hand, with the migrations of the application."""
    holdfast = Path(sys.executable).with_name("holdfast")
    done = subprocess.run(
        [holdfast, "copy", f"sqlite:///{Path('moai.db').absolute()}", target, "--json"],
        cwd=ALEMBIC_INI.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def read_rows(url):
    """Give every row of every table, by the models' types."""

    async def read():
        async with Database(url) as db, db.read() as session:
            return {
                table.name: (await session.execute(select(table).order_by(table.c.id))).all()
                for table in Base.metadata.sorted_tables
            }

    return asyncio.run(read())


def test_everything_is_carried_over(moai, made, talk, clean_environment, empty_clone):
    """Not a row or a value is another one, and the command line goes on with the new URL."""
    before = moai("show", talk)
    copied = copy(empty_clone.owner)
    counts = {each["name"]: each["rows"] for each in copied["tables"]}
    assert counts == {
        "projects": 1, "discussions": 2, "rounds": 1, "messages": 250, "consensus": 1,
    }  # fmt: skip
    assert read_rows(empty_clone.owner) == read_rows("sqlite:///moai.db")

    Path("moai.db").rename("old.db")
    clean_environment.setenv("MOAI_DATABASE_URL", empty_clone.app)

    assert moai("show", talk) == before
    assert made("rounds", "add", talk)["number"] == 2
    assert made("messages", "add", talk, "claude", "And on.")["content"] == "And on."
    code, _, err = moai("consensus", "write", talk, "--by", "claude", "--summary", "No.")
    assert (code, "has a consensus already, by gpt" in err) == (1, True)
    assert not Path("moai.db").exists()
