"""The tests of migrations that the kit gives, on small projects with one fault each."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

LINE = "from holdfast.testing.migrations import *\n"
ONE_HEAD = "test_migrations_have_one_head"
DOWNGRADES = "test_each_migration_has_a_downgrade"
UP_DOWN_UP = "test_migrations_go_up_down_and_up"
MODELS = "test_migrations_make_what_the_models_say"
ALL = {ONE_HEAD, DOWNGRADES, UP_DOWN_UP, MODELS}

PYTEST_INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
ENV = """
import sqlalchemy as sa
from holdfast import migrate
metadata = sa.MetaData()
sa.Table("decks", metadata, sa.Column("id", sa.Integer, primary_key=True){columns})
migrate.run_env(metadata)
"""
ENV_OF_ITS_OWN = """
import sqlalchemy as sa
from alembic import context
with sa.create_engine("sqlite://").connect() as connection:
    context.configure(connection=connection, target_metadata=sa.MetaData())
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """
import sqlalchemy as sa
from alembic import op
revision = {revision!r}
down_revision = {down!r}
def upgrade():
    {up}
def downgrade():
    {back}
"""
TABLE = 'op.create_table("decks", sa.Column("id", sa.Integer, primary_key=True){columns})'
FIRST = ("a", None, TABLE.format(columns=""), 'op.drop_table("decks")')
ROW = 'op.execute("DELETE FROM decks")'
COLUMN = ', sa.Column("size", sa.Integer, nullable=False, server_default="{}")'
INDEX = 'op.execute("CREATE INDEX IF NOT EXISTS ix_decks ON decks (id)")'
RAISE = "raise NotImplementedError('later')"
FLOOR = """
import pytest
from pathlib import Path
@pytest.fixture
def alembic_config():
    file = Path(__file__).with_name("alembic.ini")
    return {"file": str(file), "minimum_downgrade_revision": "b"}
"""


def add_project(folder, *revisions, columns="", env=ENV, more=""):
    """Write a project whose tests are the one line, and whatever else there is."""
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "pyproject.toml").write_text("[tool.holdfast]\n")
    (folder / "alembic.ini").write_text(
        "[alembic]\nscript_location = %(here)s/migrations\npath_separator = os\n"
    )
    (folder / "migrations" / "env.py").write_text(env.replace("{columns}", columns))
    for revision, down, up, back in revisions:
        file = versions / f"{revision}_{folder.name}.py"
        file.write_text(REVISION.format(revision=revision, down=down, up=up, back=back))
    (folder / f"test_{folder.name}.py").write_text(LINE + more)


def add_projects(root):
    """Write one project that is right in every way, and some with a fault in each test."""
    add_project(
        root / "right",
        FIRST,
        ("b1", "a", 'op.add_column("decks", sa.Column("b", sa.Text))',
         'op.drop_column("decks", "b")'),
        ("b2", "a", INDEX, 'op.drop_index("ix_decks")'),
        ("c", ("b1", "b2"), "pass", "pass"),
        columns=', sa.Column("b", sa.Text), sa.Index("ix_decks", "id")',
    )  # fmt: skip
    add_project(
        root / "wrong",
        FIRST,
        ("b", "a", INDEX, 'op.execute("SELECT 1")'),
        ("c", "b", ROW, '"""Nothing."""\n    return None'),
        ("d", "b", ROW, "pass"),
        columns=COLUMN.format(0),
    )
    add_project(
        root / "default",
        ("a", None, TABLE.format(columns=COLUMN.format(1)), 'op.drop_table("decks")'),
        ("b", "a", "pass", 'op.drop_table("decks")'),
        columns=COLUMN.format(2),
    )


def add_more_projects(root):
    """Write those whose faults are the same on every database."""
    add_project(root / "empty", env=ENV.replace("sa.Table", "# sa.Table"))
    add_project(root / "fails", FIRST, ("b", "a", 'op.execute("SELECT nothing")', RAISE))
    add_project(root / "floor", FIRST, ("b", "a", "pass", RAISE), more=FLOOR)
    add_project(root / "stray", FIRST, env=ENV_OF_ITS_OWN)


class Run:
    """What a run of pytest said about each test of each project."""

    def __init__(self, file: Path) -> None:
        self._cases = {
            (case.get("classname", "").split(".")[0], case.get("name")): case
            for case in ET.parse(file).iter("testcase")
        }

    def failures(self, project: str) -> dict[str, str]:
        """Give the messages of the tests that failed, by name."""
        cases = {name: case for (which, name), case in self._cases.items() if which == project}
        assert set(cases) == ALL
        return {name: case[0].text or "" for name, case in cases.items() if len(case)}


def run_tests(root, *options) -> Run:
    """Run the tests of all projects of a folder at once, as somebody would."""
    (root / "pytest.ini").write_text(PYTEST_INI)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "--import-mode=importlib", "--junitxml=out", *options],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(ran.stdout, ran.stderr)
    return Run(root / "out")


@pytest.fixture(scope="module")
def on_postgres(request, make_clone, tmp_path_factory) -> Run:
    """Give what the tests say on PostgreSQL."""
    root = tmp_path_factory.mktemp("postgres")
    add_projects(root)
    add_more_projects(root)
    with make_clone(request) as clone:
        return run_tests(root, f"--holdfast-url={clone.owner}")


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory) -> Run:
    """Give what the tests say on SQLite."""
    root = tmp_path_factory.mktemp("sqlite")
    add_projects(root)
    return run_tests(root, "--holdfast-engine=sqlite")


@pytest.fixture(params=["on_postgres", "on_sqlite"])
def run(request) -> Run:
    """Give what the tests say on one database after the other."""
    return request.getfixturevalue(request.param)


def test_branches_and_an_idle_merge_are_right(run):
    """A history with branches that meet in a merge which does nothing passes every test."""
    assert run.failures("right") == {}


def test_two_heads_are_named(run):
    """Each head is named with its file, and what joins them."""
    said = run.failures("wrong")[ONE_HEAD]

    assert "There are 2 heads" in said
    assert "versions/c_wrong.py" in said
    assert "versions/d_wrong.py" in said
    assert "alembic merge heads" in said


def test_empty_downgrades_are_named(run):
    """A downgrade is empty with a docstring and a return too; the others are not blamed."""
    said = run.failures("wrong")[DOWNGRADES]

    assert said.count("its downgrade() is empty, and its upgrade() is not") == 2
    assert "versions/c_wrong.py" in said
    assert "versions/d_wrong.py" in said


def test_what_a_downgrade_leaves_is_named(run):
    """An index that stays is found, although the upgrade would run again."""
    said = run.failures("wrong")[UP_DOWN_UP]

    assert "versions/b_wrong.py): its downgrade does not lead back" in said
    assert "left: index ix_decks" in said


def test_a_model_without_migration_is_found(run):
    """The operations of the migration that is missing are shown."""
    said = run.failures("wrong")[MODELS]

    assert "add_column(" in said
    assert "sa.Column('size', sa.Integer()" in said
    assert "holdfast revision" in said


def test_what_a_downgrade_drops_too_much_is_named(run):
    """A table that the revision below has made is missing."""
    said = run.failures("default")[UP_DOWN_UP]

    assert "versions/b_default.py" in said
    assert "missing: table decks" in said


def test_another_default_is_found(on_postgres):
    """What Alembic does not compare is compared on PostgreSQL."""
    said = on_postgres.failures("default")[MODELS]

    assert "only migrations: column decks.size integer NOT NULL DEFAULT 1" in said
    assert "only models: column decks.size integer NOT NULL DEFAULT 2" in said


def test_a_failed_upgrade_is_named(on_postgres):
    """The revision, its file, the line, the cause and the statement are in the message."""
    failures = on_postgres.failures("fails")

    assert "its downgrade() only raises NotImplementedError" in failures[DOWNGRADES]
    for test in (UP_DOWN_UP, MODELS):
        assert "versions/b_fails.py): its upgrade failed: column" in failures[test]
        assert "SELECT nothing\nat line 7 of the file" in failures[test]
        assert "Traceback" not in failures[test]


def test_no_migration_is_no_head(on_postgres):
    """A project without migrations has nothing to be right about, and is told so."""
    failures = on_postgres.failures("empty")

    assert set(failures) == {ONE_HEAD}
    assert "There is no migration yet" in failures[ONE_HEAD]


def test_the_way_back_may_end_on_purpose(on_postgres):
    """pytest-alembic's minimum_downgrade_revision lets the downgrades from there on be missing."""
    assert on_postgres.failures("floor") == {}


def test_no_other_database_is_migrated(on_postgres):
    """An env.py that connects to a database of its own is refused before anything runs."""
    failures = on_postgres.failures("stray")

    assert set(failures) == {UP_DOWN_UP, MODELS}
    for said in failures.values():
        assert "stray/migrations/env.py: it does not use the test's database" in said
