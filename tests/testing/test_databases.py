"""Templates by the content of the migrations, and clones that only one test has."""

import asyncio
import uuid
from collections.abc import Iterator

import asyncpg
import pytest

from holdfast.errors import MigrationError
from holdfast.services import PostgresPolicy, PostgresServer
from holdfast.settings import Project, find_project
from holdfast.testing import databases as module
from holdfast.testing.databases import Databases

COLUMN = """
import sqlalchemy as sa
from alembic import op
revision = "002"
down_revision = "001"


def upgrade():
    op.add_column("items", sa.Column("name", sa.Text))
"""


@pytest.fixture
def made(clone) -> Iterator[list[Databases]]:
    """Give what makes databases on the run's server; at the end nothing of theirs may be left."""
    urls = {"owner": clone.owner, "app": clone.app}
    found = [Databases(lambda: urls, uuid.uuid4().hex[:8], asyncio.new_event_loop())]
    yield found
    for each in found:
        each.drop_all()
        each.close()
        assert names(clone, f"holdfast_test_{each._run}%") == []
        each._loop.close()


@pytest.fixture
def databases(made) -> Databases:
    """Give one that makes databases."""
    return made[0]


@pytest.fixture
def project(suite) -> Project:
    """Give a project whose migrations nobody else has."""
    with (suite.folder / "alembic.ini").open("a") as file:
        file.write(f"# {uuid.uuid4()}\n")
    return find_project(suite.folder)


def ask(url, sql, *, how="fetch"):
    async def connect():
        connection = await asyncpg.connect(url)
        try:
            return await getattr(connection, how)(sql)
        finally:
            await connection.close()

    return asyncio.run(connect())


def names(clone, pattern):
    return [
        name
        for (name,) in ask(
            clone.owner, f"SELECT datname FROM pg_database WHERE datname LIKE '{pattern}'"
        )
    ]


def test_a_clone_is_migrated(databases, project):
    """It has the tables, and the application's role may use them."""
    clone = databases.clone(project)

    ask(clone.app, "INSERT INTO items VALUES (1)")
    assert ask(clone.owner, "SELECT version_num FROM alembic_version") == [("001",)]
    databases.give_back(clone)


def test_without_a_project_it_is_empty(databases):
    """A database for tests of migrations has no tables."""
    clone = databases.clone(None)

    assert ask(clone.owner, "SELECT FROM pg_tables WHERE schemaname = 'public'") == []
    databases.give_back(clone)


def test_a_clone_that_was_only_read_is_kept(databases, project):
    """Reading, and failing to write, need no new database."""
    first = databases.clone(project)
    ask(first.app, "SELECT * FROM items")
    databases.give_back(first)

    second = databases.clone(project)
    assert second == first
    databases.give_back(second)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO items VALUES (1)",
        "INSERT INTO items VALUES (2); DELETE FROM items",
        "BEGIN; INSERT INTO items VALUES (3); ROLLBACK",
        "CREATE TABLE more (id integer)",
        "CREATE SEQUENCE numbers",
        "TRUNCATE parts",
        "COMMENT ON TABLE items IS 'things'",
        "SELECT lo_create(0)",
        "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET jit = 0', current_database()); END$$",
    ],
)
def test_a_clone_that_was_written_to_is_not(databases, project, sql):
    """Whatever a test did to it, the next one gets another."""
    first = databases.clone(project)
    ask(first.owner, sql, how="execute")
    databases.give_back(first)

    second = databases.clone(project)
    assert second.name != first.name
    assert names(second, first.name) == []
    databases.give_back(second)


def test_a_clone_whose_rights_changed_is_not(databases, project):
    """Neither who may connect nor how many is in the database itself."""
    for sql in (
        'REVOKE CONNECT ON DATABASE "{}" FROM public',
        'ALTER DATABASE "{}" CONNECTION LIMIT 9',
    ):
        first = databases.clone(project)
        ask(first.owner, sql.format(first.name))
        databases.give_back(first)

        second = databases.clone(project)
        assert second != first
        databases.give_back(second, spoiled=True)


def test_a_prepared_transaction_keeps_no_clone(project):
    """It is rolled back by the role that it is of; a server would refuse to drop its database."""
    policy = PostgresPolicy(settings={"max_prepared_transactions": "2"})
    with asyncio.Runner() as runner:
        server = PostgresServer(policy=policy)
        runner.run(server.__aenter__())
        urls = {"owner": server.url("owner"), "app": server.url("app")}
        databases = Databases(lambda: urls, "prepared", asyncio.new_event_loop())
        try:
            clone = databases.clone(project)
            for url, name in ((clone.app, "it''s"), (clone.owner, "mine")):
                sql = f"BEGIN; SELECT count(*) FROM items; PREPARE TRANSACTION '{name}'"
                ask(url, sql, how="execute")
            databases.give_back(clone)

            found = ask(server.url("owner"), "SELECT datname FROM pg_database")
            assert clone.name not in [name for (name,) in found]
        finally:
            databases.close()
            databases._loop.close()
            runner.run(server.__aexit__(None, None, None))


def test_a_clone_that_may_still_be_written_to_is_not(databases, project):
    """Who spoiled it may come back."""
    first = databases.clone(project)
    databases.give_back(first, spoiled=True)

    second = databases.clone(project)
    assert second != first
    databases.give_back(second)


def test_a_clone_that_is_still_in_use_is_not(databases, project):
    """A session that goes on may have written what is not counted yet."""
    first = databases.clone(project)
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(first.owner))
    loop.run_until_complete(connection.execute("INSERT INTO items VALUES (1)"))
    databases.give_back(first)

    second = databases.clone(project)
    assert second.name != first.name
    databases.give_back(second)
    connection.terminate()
    loop.run_until_complete(asyncio.sleep(0))  # its transport ends in a turn of its own
    loop.close()


@pytest.mark.parametrize(
    ("sql", "kept"),
    [
        ("SELECT 1", True),
        ("SELECT nextval('numbers')", False),
        ("SELECT setval('numbers', 7, false)", False),
    ],
)
def test_a_clone_whose_sequences_moved_is_not(databases, project, sql, kept):
    """What a sequence gave is seen, though it is no row."""
    made = COLUMN.replace('add_column("items", sa.Column("name", sa.Text))', 'execute("{}")')
    script = project.root / "migrations/versions/002.py"
    script.write_text(made.format("CREATE SEQUENCE numbers"))
    first = databases.clone(project)
    ask(first.owner, sql)
    databases.give_back(first)
    second = databases.clone(project)
    databases.give_back(second)

    assert (second.name == first.name) is kept


def test_a_changed_migration_makes_another_template(databases, made, project, clone):
    """The key is the content, so that a template is never out of date."""
    databases.give_back(databases.clone(project))
    (project.root / "migrations/versions/002.py").write_text(COLUMN)
    later = Databases(databases._find_urls, uuid.uuid4().hex[:8], asyncio.new_event_loop())
    made.append(later)

    found = later.clone(project)
    columns = ask(
        found.owner, "SELECT attname FROM pg_attribute WHERE attrelid = 'items'::regclass"
    )
    assert ("name",) in columns
    later.give_back(found)


def test_a_template_is_built_once(databases, made, project, monkeypatch):
    """Another run finds it, and does not migrate."""
    databases.give_back(databases.clone(project))
    later = Databases(databases._find_urls, uuid.uuid4().hex[:8], asyncio.new_event_loop())
    made.append(later)
    monkeypatch.setattr(module.migrate, "upgrade", None)

    found = later.clone(project)
    assert ask(found.owner, "SELECT version_num FROM alembic_version") == [("001",)]
    later.give_back(found)


def test_a_migration_that_fails_leaves_nothing(databases, project, clone, monkeypatch):
    """The error is the migration's, and a mended one is built from the beginning."""
    monkeypatch.setattr(module, "_TEMPLATE", f"holdfast_mended_{uuid.uuid4().hex[:6]}_")
    script = project.root / "migrations/versions/002.py"
    # Longer than the mended one: Python takes its bytecode for current by seconds and length.
    script.write_text(COLUMN.replace("items", "no_such_items"))
    with pytest.raises(MigrationError, match=r'relation "no_such_items" does not exist'):
        databases.clone(project)
    assert names(clone, f"{module._TEMPLATE}%") == []

    script.write_text(COLUMN)
    databases.give_back(databases.clone(project))
    [template] = names(clone, f"{module._TEMPLATE}%")
    ask(clone.owner, f"DROP DATABASE {template}")


def test_old_templates_are_removed(databases, project, clone, monkeypatch):
    """Those that were used last are kept; a clone of one that is gone is made of a new one."""
    monkeypatch.setattr(module, "_TEMPLATE", f"holdfast_old_{uuid.uuid4().hex[:6]}_")
    monkeypatch.setattr(module, "KEPT", 2)
    script = project.root / "migrations/versions/001_shop.py"
    for number in range(4):
        script.write_text(f"{script.read_text()}# {number}\n")
        databases._templates.clear()
        databases.give_back(databases.clone(project))
    assert len(names(clone, f"{module._TEMPLATE}%")) == 2

    for name in names(clone, f"{module._TEMPLATE}%"):
        ask(clone.owner, f"DROP DATABASE {name}")
    databases._untouched.clear()
    databases.give_back(databases.clone(project))
    ask(clone.owner, f"DROP DATABASE {names(clone, f'{module._TEMPLATE}%')[0]}")


def test_what_a_dead_run_left_is_removed(databases, made, project, clone):
    """A run that was killed holds no lock, and one that goes on does."""
    dead, alive = (
        Databases(databases._find_urls, uuid.uuid4().hex[:8], asyncio.new_event_loop())
        for _ in "12"
    )
    left, kept = dead.clone(project), alive.clone(project)
    dead.close()
    made += [dead, alive]

    databases.give_back(databases.clone(project))
    assert names(clone, left.name) == []
    assert names(clone, kept.name) == [kept.name]


def test_each_process_removes_its_own(databases, made, project, clone):
    """One process that ends takes nothing away from another one of the same run."""
    other = Databases(databases._find_urls, databases._run, asyncio.new_event_loop())
    mine, others = databases.clone(project), other.clone(project)
    databases.drop_own()
    assert names(clone, mine.name) == []
    assert names(clone, others.name) == [others.name]

    databases.drop_all()
    assert names(clone, others.name) == []
    other.close()
    other._loop.close()


def test_a_lost_connection_is_made_anew(databases, project, clone):
    """A server that was restarted between two tests is reached again, and counts do not matter."""
    first = databases.clone(project)
    number = databases._do(databases._execute, "SELECT pg_backend_pid()")
    ask(clone.owner, f"SELECT pg_terminate_backend({number}, 5000)")
    databases.give_back(first)

    second = databases.clone(project)
    assert second.name != first.name
    databases.give_back(second)


def test_a_clone_for_a_whole_run_is_migrated(suite, given):
    """A session's fixture is of the project in the folder that pytest runs in."""
    suite.tests(
        """
        from holdfast.database import Database

        @pytest.fixture(scope="session")
        def shared(request, make_clone):
            with make_clone(request) as clone:
                yield clone

        async def test_tables(shared):
            async with Database(shared.app) as db:
                assert await count(db) == 0
        """
    )

    ran = suite.run("-o", "asyncio_mode=auto", **given)

    assert (ran.code, ran.passed) == (0, 1), ran.output
