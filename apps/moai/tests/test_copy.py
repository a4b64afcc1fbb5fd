"""`holdfast copy` takes MoAI to PostgreSQL and back, and the command line goes on there."""

import asyncio
import itertools
import json
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from holdfast.cli import main as holdfast
from holdfast.database import Database
from moai.core.database import ALEMBIC_INI
from moai.core.models import Base

LINES = (
    {"type": "project", "name": "Caching", "models": ["claude", "gpt"]},
    {"type": "discussion", "question": "Over?", "status": "completed"},
    {"type": "discussion", "question": "Cache?\n\n# Is it? 'ä' ☃", "kind": "consensus"},
    {"type": "round", "kind": "sequential"},
    {"type": "message", "model": "claude", "content": "Yes.\n```\n1\n```"},
    *(
        {"type": "message", "model": "gpt", "content": f"# {n}\n\ttab", "is_direct": n % 2 == 0}
        for n in range(250)
    ),
    {"type": "consensus", "summary": "So.", "generated_by": "gpt", "agreements": ["é", "\\ "]},
)


@pytest.fixture
def copy(monkeypatch, capsys):
    """Run `holdfast copy` in the application's folder; give the rows of each table."""

    def call(*arguments):
        with monkeypatch.context() as patch:
            patch.chdir(Path(ALEMBIC_INI).parent)
            patch.setattr(sys, "argv", ["holdfast", "copy", *arguments, "--json"])
            with pytest.raises(SystemExit) as ended:
                holdfast()
        printed = capsys.readouterr()
        assert (ended.value.code or 0, printed.err) == (0, "")
        return {each["name"]: each["rows"] for each in json.loads(printed.out)["tables"]}

    return call


def read_rows(url):
    """Give every row of every table, by the models' types."""

    async def read():
        async with Database(url) as db, db.read() as session:
            return {
                table.name: (await session.execute(select(table).order_by(table.c.id))).all()
                for table in Base.metadata.sorted_tables
            }

    return asyncio.run(read())


def ids(made):
    """Give the keys of all discussions, by the command line itself."""
    return [each["id"] for each in made("discussions", "list", "Caching")["items"]]


def test_to_postgresql_and_back(clean_environment, moai, made, copy, empty_clone):
    """Not a value is another one on either engine, and a new discussion is held after each move."""
    here = Path.cwd()
    places = [f"sqlite:///{here}/moai.db", empty_clone.owner, f"sqlite:///{here}/back.db"]
    clean_environment.setenv("MOAI_DATABASE_URL", places[0])
    made("import", "-", stdin="\n".join(map(json.dumps, LINES)))

    for old, new in itertools.pairwise(places):
        clean_environment.setenv("MOAI_DATABASE_URL", old)
        before = [moai("show", each) for each in ids(made)]
        assert copy(old, new)["messages"] == 251
        assert read_rows(new) == read_rows(old)
        clean_environment.setenv("MOAI_DATABASE_URL", new)
        assert [moai("show", each) for each in ids(made)] == before
        made("discussions", "open", "Caching", "And now?")

    assert len(ids(made)) == 4


def test_it_goes_on_as_the_application(clean_environment, made, moai, copy, empty_clone):
    """The role that owns no table goes on where the file has ended, which is not looked at."""
    talk = made("import", "-", stdin="\n".join(map(json.dumps, LINES)))["discussion_id"]
    copy(f"sqlite:///{Path.cwd()}/moai.db", empty_clone.owner)
    Path("moai.db").unlink()
    clean_environment.setenv("MOAI_DATABASE_URL", empty_clone.app)

    assert made("rounds", "add", talk)["number"] == 2
    assert made("messages", "add", talk, "claude", "And on.")["content"] == "And on."
    code, _, err = moai("consensus", "write", talk, "--by", "claude", "--summary", "No.")
    assert (code, "has a consensus already, by gpt" in err) == (1, True)
    assert not Path("moai.db").exists()
