"""`holdfast copy` takes MoAI to PostgreSQL and back, and the command line goes on there."""

import itertools
import json
import sys
from pathlib import Path

import pytest

from holdfast.cli import main as holdfast
from moai.core.database import ALEMBIC_INI

LINES = "".join(
    json.dumps(each) + "\n"
    for each in (
        {"type": "project", "name": "Caching", "models": ["claude", "gpt"]},
        {"type": "discussion", "question": "Cache?\n\n# Is it? 'ä' ☃", "kind": "consensus"},
        {"type": "round"},
        {"type": "message", "model": "claude", "content": "Yes.\n```\n1\n```"},
        {"type": "message", "model": "gpt", "content": "No.", "is_direct": True},
        {
            "type": "consensus",
            "summary": "So.",
            "generated_by": "claude",
            "agreements": ["an hour"],
        },
    )
)


@pytest.fixture
def copy(monkeypatch, capsys):
    """Run `holdfast copy` in the application's folder; give how it ended and what it printed."""

    def call(*arguments):
        with monkeypatch.context() as patch:
            patch.chdir(Path(ALEMBIC_INI).parent)
            patch.setattr(sys, "argv", ["holdfast", "copy", *arguments])
            with pytest.raises(SystemExit) as ended:
                holdfast()
        return ended.value.code or 0, capsys.readouterr()

    return call


def ids(moai):
    """Give the keys of all discussions, by the command line itself."""
    _, printed, _ = moai("discussions", "list", "Caching", "--json")
    return [each["id"] for each in json.loads(printed)["items"]]


def test_to_postgresql_and_back(clean_environment, moai, copy, empty_clone, tmp_path):
    """Every discussion reads the same on each engine, and a new one is held after each move."""
    places = [f"sqlite:///{tmp_path}/moai.db", empty_clone.owner, f"sqlite:///{tmp_path}/back.db"]
    clean_environment.setenv("MOAI_DATABASE_URL", places[0])
    assert moai("import", "-", stdin=LINES)[0] == 0

    for old, new in itertools.pairwise(places):
        clean_environment.setenv("MOAI_DATABASE_URL", old)
        before = [moai("show", each)[1] for each in ids(moai)]
        code, printed = copy(old, new)
        assert code == 0, printed
        clean_environment.setenv("MOAI_DATABASE_URL", new)
        assert [moai("show", each)[1] for each in ids(moai)] == before
        assert moai("discussions", "open", "Caching", "And now?")[0] == 0

    assert len(ids(moai)) == 3
