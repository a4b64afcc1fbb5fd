"""Moving a database: all or nothing, one at a time, without stopping the loop."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial

import pytest
from sqlalchemy import text

from holdfast import migrate
from holdfast.database import Database, DatabasePolicy
from holdfast.errors import ConfigurationError, MigrationError, MissingExtraError
from holdfast.events import Events
from holdfast.migrate import Migrated, MigrationPolicy
from holdfast.pool import PoolPolicy

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
SQLITE_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1"
CREATE = "op.create_table('{0}', sa.Column('id', sa.Integer, primary_key=True))"
# One interpreter that becomes eight processes: starting eight would take ten times as long.
PROGRAM = """
import asyncio, multiprocessing, sys
from alembic import command
from holdfast import migrate
from holdfast.database import Database

async def main():
    async with Database(sys.argv[1]) as db:
        return (await migrate.upgrade(db, sys.argv[2])).before

def upgrade(_):
    return asyncio.run(main())

with multiprocessing.get_context("fork").Pool(8) as pool:
    print(sorted(pool.map(upgrade, range(8), chunksize=1)))
"""


async def tables(db: Database) -> list[str]:
    sql = SQLITE_TABLES if db.url.backend == "sqlite" else TABLES
    async with db.engine.connect() as connection:
        return list((await connection.execute(text(sql))).scalars())


@pytest.fixture
async def db(any_url):
    """Give an empty database on one connection, so that what a migration leaves is found."""
    policy = DatabasePolicy(pool=PoolPolicy(max_size=1))
    async with Database(any_url, policy=policy, events=Events(lambda _: None)) as each:
        yield each
        assert each.engine.pool.checkedout() == 0


@pytest.fixture
async def pg_db(database_url):
    """Give an empty PostgreSQL."""
    async with Database(database_url, events=Events(lambda _: None)) as each:
        yield each


async def test_forward_and_back(db, project):
    """Each step says from where to where, and the tables follow."""
    project.add("a", CREATE.format("one"), back="op.drop_table('one')")
    project.add("b", CREATE.format("two"), down="a", back="op.drop_table('two')")

    steps = [
        await migrate.upgrade(db, project.ini, "+1"),
        await migrate.upgrade(db, project.ini),
        await migrate.upgrade(db, project.ini),
        await migrate.downgrade(db, project.ini, "-1"),
        await migrate.downgrade(db, str(project.ini), "base"),
    ]

    assert [(step.before, step.after) for step in steps] == [
        ((), ("a",)),
        (("a",), ("b",)),
        (("b",), ("b",)),
        (("b",), ("a",)),
        (("a",), ()),
    ]
    assert await tables(db) == ["alembic_version"]


async def test_another_driver(database_url, project):
    """With psycopg it migrates, waits for its turn and undoes what failed in the same way."""
    project.add("a", CREATE.format("one"))
    project.add("b", CREATE.format("two") + "; op.execute('SELECT * FROM missing')", down="a")
    url = database_url.replace("postgresql://", "postgresql+psycopg://", 1)

    async with Database(url, events=Events(lambda _: None)) as db:
        async with migrating(database_url):
            with pytest.raises(MigrationError, match="been migrating"):
                await migrate.upgrade(db, project.ini, policy=MigrationPolicy(wait_timeout=0.05))
        with pytest.raises(MigrationError, match="missing"):
            await migrate.upgrade(db, project.ini)
        left = await tables(db)
        await migrate.upgrade(db, project.ini, "a")

        assert (left, await tables(db)) == ([], ["alembic_version", "one"])


async def test_the_current_revision(db, project):
    """Asking changes nothing, not even by making Alembic's own table."""
    project.add("a", CREATE.format("one"))

    before = await migrate.current(db, project.ini)
    untouched = await tables(db)
    await migrate.upgrade(db, project.ini)

    assert (before, untouched) == ((), [])
    assert await migrate.current(db, project.ini) == ("a",)


async def test_a_failure_is_one_line(db, project):
    """Also that of a table, whose statement Alembic writes in many."""
    project.add("a", CREATE.format("one"))
    project.add("b", "op.create_table('one', sa.Column('id', sa.Integer()))", down="a")

    with pytest.raises(MigrationError, match=r"statement was: CREATE TABLE one \( id") as caught:
        await migrate.upgrade(db, project.ini)
    assert "\n" not in str(caught.value)


async def test_an_event_tells_of_each_move(any_url, project):
    """It has the place, the revisions and the seconds."""
    project.add("a", CREATE.format("one"))
    told = []
    async with Database(any_url, events=Events(told.append)) as db:
        moved = await migrate.upgrade(db, project.ini)

    assert moved in told
    assert (moved.place, moved.before, moved.after) == (db.url.place, (), ("a",))
    assert moved.seconds > 0


async def test_a_failing_revision_leaves_nothing(db, project):
    """All revisions of the run are undone, and the error names file, line and statement."""
    project.add("a", CREATE.format("one"))
    project.add("b", CREATE.format("two") + "; op.execute('SELECT * FROM missing')", down="a")

    with pytest.raises(MigrationError) as caught:
        await migrate.upgrade(db, project.ini)

    said = str(caught.value)
    assert "everything it did was rolled back" in said
    assert "missing" in said
    assert f"{project.versions[1]}:7" in said
    assert "SELECT * FROM missing" in said
    assert await tables(db) == []


async def test_a_revision_that_raises_leaves_nothing(db, project):
    """An error of Python in a migration is told in the same way."""
    project.add("a", CREATE.format("one") + "; raise LookupError('no data')")

    with pytest.raises(MigrationError, match=r"LookupError: no data, at .*/a\.py:7"):
        await migrate.upgrade(db, project.ini)

    assert await tables(db) == []


async def test_after_a_failure_the_mended_migration_runs(db, project):
    """Nothing is left that would be in its way."""
    project.add("a", CREATE.format("one") + "; op.execute('SELECT * FROM missing')")
    with pytest.raises(MigrationError):
        await migrate.upgrade(db, project.ini)
    project.add("a", CREATE.format("one"))

    await migrate.upgrade(db, project.ini)

    assert await tables(db) == ["alembic_version", "one"]


async def test_an_unknown_revision(db, project):
    """Asked for or found in the database, it is named."""
    project.add("a")
    with pytest.raises(MigrationError, match="nowhere"):
        await migrate.upgrade(db, project.ini, "nowhere")
    await migrate.upgrade(db, project.ini)
    project.versions[0].unlink()
    project.add("b")

    with pytest.raises(MigrationError, match="'a'"):
        await migrate.upgrade(db, project.ini)


async def test_branches_that_were_not_merged(pg_db, project):
    """The heads are named, with the command that joins them."""
    project.add("a")
    project.add("b", down="a")
    project.add("c", down="a")

    with pytest.raises(MigrationError, match=r"(?i)multiple head"):
        await migrate.upgrade(pg_db, project.ini)
    with pytest.raises(MigrationError, match="2 heads: b, c; join them: alembic merge heads"):
        migrate.head(project.ini)


async def test_what_cannot_be_read(pg_db, project, tmp_path):
    """A missing file, one that names no folder, and a folder that is not there."""
    with pytest.raises(ConfigurationError, match=r"missing\.ini: there is no such file"):
        await migrate.upgrade(pg_db, tmp_path / "missing.ini")
    with pytest.raises(ConfigurationError, match="there is no such file"):
        await migrate.upgrade(pg_db, tmp_path)
    project.ini.write_text("[alembic]\n")
    with pytest.raises(MigrationError, match="script_location"):
        await migrate.upgrade(pg_db, project.ini)
    project.ini.write_text("[alembic]\nscript_location = %(here)s/nowhere\npath_separator = os\n")
    with pytest.raises(MigrationError, match="nowhere"):
        await migrate.upgrade(pg_db, project.ini)


@pytest.mark.parametrize(
    "content", ["no section = 1\n", "[other]\n", "\0", "[alembic]\n[alembic]\n"]
)
async def test_a_broken_configuration(pg_db, project, content):
    """It ends in one of Holdfast's errors that names the file."""
    project.ini.write_text(content)

    with pytest.raises((ConfigurationError, MigrationError)):
        await migrate.upgrade(pg_db, project.ini)
    with pytest.raises((ConfigurationError, MigrationError)):
        migrate.history(project.ini)


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ("import nowhere", r"ModuleNotFoundError: No module named 'nowhere', at .*env\.py:1"),
        ("1 +", "SyntaxError"),
        ("\nraise LookupError('why')", r"LookupError: why, at .*env\.py:2"),
    ],
)
async def test_an_env_py_that_fails(pg_db, project, env, says):
    """The error has file and line."""
    project.add("a")
    project.write_env(env)

    with pytest.raises(MigrationError, match=says):
        await migrate.upgrade(pg_db, project.ini)


@pytest.mark.parametrize(
    "direction", [migrate.upgrade, partial(migrate.downgrade, revision="base")]
)
async def test_an_env_py_with_a_database_of_its_own(pg_db, project, tmp_path, direction):
    """It is refused before it migrates another database than the one that was given."""
    project.add("a", CREATE.format("one"))
    project.write_env(
        "import sqlalchemy as sa\nfrom alembic import context\n"
        f"with sa.create_engine('sqlite:///{tmp_path}/other.db').connect() as connection:\n"
        "    context.configure(connection=connection)\n"
        "    with context.begin_transaction():\n"
        "        context.run_migrations()\n"
    )

    with pytest.raises(MigrationError, match=r"has to call migrate\.run_env"):
        await direction(pg_db, project.ini)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        assert other.execute("SELECT name FROM sqlite_schema").fetchall() == []


async def test_what_failed_is_said_as_it_was(pg_db, project):
    """Where no migration ran, none is said to have been rolled back."""
    project.add("a", CREATE.format("one"))
    env = project.folder / "migrations" / "env.py"
    content = env.read_text()
    env.unlink()
    with pytest.raises(MigrationError, match=r"no migration ran, since .*env\.py"):
        await migrate.upgrade(pg_db, project.ini)
    with pytest.raises(MigrationError, match=r"no migration ran, since .*env\.py"):
        await migrate.current(pg_db, project.ini)
    env.write_text(content)
    project.add("b", "1 +", down="a")
    for look in (migrate.upgrade, migrate.current):
        with pytest.raises(MigrationError, match=r"no migration ran, since .*SyntaxError"):
            await look(pg_db, project.ini)
    project.versions[1].unlink()
    await migrate.upgrade(pg_db, project.ini)

    (project.folder / "migrations" / "script.py.mako").unlink()
    with pytest.raises(MigrationError, match=r"the migration could not be written: .*\.mako"):
        await migrate.revision(pg_db, project.ini, "more")
    project.write_env("1 +")
    with pytest.raises(MigrationError, match="the migration could not be written: SyntaxError"):
        await migrate.revision(pg_db, project.ini, "more")


async def test_a_percent_sign_in_the_path(pg_db, project):
    """%(here)s is a path, whatever characters it has."""
    project.add("a", CREATE.format("one"))
    folder = project.folder.rename(project.folder.with_name("100%(sure)s %d"))

    assert (await migrate.upgrade(pg_db, folder / "alembic.ini")).after == ("a",)
    assert (await migrate.upgrade(pg_db, folder / "alembic.ini")).before == ("a",)
    assert migrate.head(folder / "alembic.ini") == "a"
    assert await migrate.revision(pg_db, folder / "alembic.ini", "more", autogenerate=False)


async def test_alembic_is_not_installed(pg_db, project, monkeypatch):
    """The error has the command that installs it."""
    project.add("a")
    monkeypatch.setitem(sys.modules, "alembic.config", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'holdfast\[migrate\]'"):
        await migrate.upgrade(pg_db, project.ini)


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "5", None, True])
def test_wrong_limits_are_refused(value):
    """The error names the field."""
    for name in ("wait_timeout", "lock_timeout", "statement_timeout"):
        with pytest.raises(ConfigurationError, match=f"{name} is "):
            MigrationPolicy(**{name: value})


class TestOneAtATime:
    """Whoever asks, from wherever: one migrates, the others wait and find nothing to do."""

    def test_eight_processes(self, any_url, project):
        """On a fresh database all succeed, and it is migrated once."""
        for number in range(5):
            before = f"r{number - 1}" if number else None
            project.add(f"r{number}", CREATE.format(f"t{number}"), down=before)
        command = [sys.executable, "-c", PROGRAM, any_url, str(project.ini)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)

        assert ended.stderr == ""
        assert ended.stdout.strip() == str([(), *[("r4",)] * 7])

    async def test_many_tasks(self, any_url, project):
        """Alembic's global state is not shared between them."""
        project.add("a", CREATE.format("one"))
        async with Database(any_url, events=Events(lambda _: None)) as db:
            moved = await asyncio.gather(*(migrate.upgrade(db, project.ini) for _ in range(10)))

        assert sorted(each.before for each in moved) == [(), *[("a",)] * 9]

    def test_loops_in_threads(self, any_url, project):
        """Nor between loops."""
        project.add("a", CREATE.format("one"))
        moved: list[Migrated] = []

        async def upgrade():
            async with Database(any_url, events=Events(lambda _: None)) as db:
                moved.append(await migrate.upgrade(db, project.ini))

        threads = [threading.Thread(target=asyncio.run, args=(upgrade(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(each.before for each in moved) == [(), *[("a",)] * 3]

    async def test_waiting_too_long(self, any_url, project):
        """After wait_timeout the error says what happened and what to raise."""
        project.add("a", CREATE.format("one"))
        policy = MigrationPolicy(wait_timeout=0.05)

        async with Database(any_url) as db:
            async with migrating(any_url):
                with pytest.raises(
                    MigrationError, match=r"been migrating .* 0\.05 s.*wait_timeout"
                ):
                    await migrate.upgrade(db, project.ini, policy=policy)
            await migrate.upgrade(db, project.ini, policy=policy)

    async def test_looking_waits_for_nobody(self, pg_db, database_url, project):
        """The current revision is told while another process migrates."""
        project.add("a", CREATE.format("one"))

        async with migrating(database_url):
            assert await migrate.current(pg_db, project.ini) == ()


@asynccontextmanager
async def migrating(url: str) -> AsyncIterator[None]:
    """Hold what a migration in another process would hold; in SQLite the transaction is that."""
    async with Database(url) as other, other.engine.begin() as connection:
        if other.url.backend == "postgresql":
            lock = text("SELECT pg_advisory_xact_lock(:key)")
            await connection.execute(lock, {"key": 0x686F6C64666173})
        yield


async def test_a_lock_on_a_table_is_not_waited_for_long(pg_db, project):
    """DDL that cannot get its lock gives up, since everybody would queue behind it."""
    project.add("a", CREATE.format("one"))
    project.add("b", "op.add_column('one', sa.Column('more', sa.Integer))", down="a")
    await migrate.upgrade(pg_db, project.ini, "a")

    async with pg_db.begin() as session:
        await session.execute(text("SELECT * FROM one"))
        with pytest.raises(MigrationError, match="lock timeout"):
            await migrate.upgrade(pg_db, project.ini, policy=MigrationPolicy(lock_timeout=0.05))

    assert (await migrate.upgrade(pg_db, project.ini)).before == ("a",)


async def test_a_migration_may_compute_between_statements(database_url, project):
    """The limit for idle transactions does not end it, nor does the limit for statements."""
    policy = DatabasePolicy(idle_in_transaction_timeout=1, statement_timeout=1)
    shown = """
    show = "SELECT setting FROM pg_settings WHERE name ~ '^(idle_in_tr|statement_t)'"
    assert op.get_bind().execute(sa.text(show)).scalars().all() == ["0", "0"]
    """
    project.add("a", shown.strip())

    async with Database(database_url, policy=policy) as db:
        assert (await migrate.upgrade(db, project.ini)).after == ("a",)


async def test_the_connection_comes_back_clean(pg_db, project):
    """Limits, locks and the session's settings are those of the pool again."""
    project.add("a", CREATE.format("one"))
    policy = MigrationPolicy(lock_timeout=1, statement_timeout=2, wait_timeout=3)
    shown = "SELECT name || setting FROM pg_settings WHERE name LIKE '%timeout' ORDER BY 1"
    async with pg_db.engine.connect() as connection:
        before = (await connection.execute(text(shown))).scalars().all()

    await migrate.upgrade(pg_db, project.ini, policy=policy)

    async with pg_db.engine.connect() as connection:
        assert (await connection.execute(text(shown))).scalars().all() == before
        locks = (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        )
        assert await connection.scalar(text(locks)) == 0


async def test_cancelled_at_any_moment(any_url, project):
    """The database is either as before or migrated, no lock is kept, and the next one works."""
    project.add("a", CREATE.format("one"))
    project.add("b", CREATE.format("two"), down="a")
    async with Database(any_url, events=Events(lambda _: None)) as db:
        await migrate.current(db, project.ini)
        for turns in range(0, 400, 20):
            task = asyncio.ensure_future(migrate.upgrade(db, project.ini))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            found = [each for each in await tables(db) if each != "alembic_version"]
            assert found in ([], ["one", "two"])

        assert (await migrate.upgrade(db, project.ini)).after == ("b",)


async def test_other_tasks_go_on_meanwhile(pg_db, project):
    """While the server works on a migration, the loop turns."""
    project.add("a", "op.execute('SELECT pg_sleep(0.3)')")
    turned = 0

    async def turn():
        nonlocal turned
        while True:
            await asyncio.sleep(0.01)
            turned += 1

    other = asyncio.create_task(turn())
    await migrate.upgrade(pg_db, project.ini)
    other.cancel()

    assert turned > 5


class TestSchema:
    """Models in a schema of their own, which also has Alembic's table."""

    MODELS = """
from sqlalchemy import MetaData, Table, Column, Integer
metadata = MetaData(schema="shop")
Table("decks", metadata, Column("id", Integer, primary_key=True))
"""

    @pytest.fixture
    def shop(self, project):
        """Give a project whose tables are in `shop`."""
        project.write_models(self.MODELS, base="metadata")
        return project

    async def test_it_is_made(self, pg_db, shop):
        """The first migration finds it, and so does the second run."""
        await migrate.revision(pg_db, shop.ini, "decks")
        await migrate.upgrade(pg_db, shop.ini)
        await migrate.upgrade(pg_db, shop.ini)

        async with pg_db.read() as session:
            sql = "SELECT tablename FROM pg_tables WHERE schemaname = 'shop' ORDER BY 1"
            assert list(await session.scalars(text(sql))) == ["alembic_version", "decks"]
        assert await migrate.current(pg_db, shop.ini) != ()

    async def test_schemas_of_others_are_left_alone(self, pg_db, shop):
        """Autogenerate sees neither their tables nor those of the default schema."""
        async with pg_db.engine.begin() as connection:
            for what in ("SCHEMA other", "TABLE other.a (i int)", "TABLE b (i int)"):
                await connection.execute(text(f"CREATE {what}"))

        written = await migrate.revision(pg_db, shop.ini, "decks")
        await migrate.upgrade(pg_db, shop.ini)

        assert "drop_table('a'" not in written.read_text().partition("def downgrade")[0]
        assert "drop_table('b'" not in written.read_text().partition("def downgrade")[0]
        assert await migrate.revision(pg_db, shop.ini, "nothing") is None


class TestPartitions:
    """A table may have a partition for each month; the models know of the table only."""

    TABLE = """
from sqlalchemy import MetaData, Table, Column, Integer
metadata = MetaData(schema={schema!r})
Table("plays", metadata, Column("month", Integer, primary_key=True, autoincrement=False),
    postgresql_partition_by="RANGE (month)")
"""

    @pytest.mark.parametrize("schema", [None, "shop"])
    async def test_they_are_no_change(self, pg_db, project, schema):
        """Autogenerate would not drop what was made since."""
        project.write_models(self.TABLE.format(schema=schema), base="metadata")
        await migrate.revision(pg_db, project.ini, "plays")
        await migrate.upgrade(pg_db, project.ini)
        plays = f"{schema}.plays" if schema else "plays"
        async with pg_db.begin() as session:
            await session.execute(
                text(f"CREATE TABLE {plays}_1 PARTITION OF {plays} FOR VALUES FROM (1) TO (2)")
            )

        assert await migrate.revision(pg_db, project.ini, "nothing") is None


class TestSqlite:
    """SQLite changes a table by making it anew."""

    @pytest.fixture
    async def db(self, tmp_path, project):
        """Give a parent with a child that goes with it."""
        child = (
            "sa.Column('parent_id', sa.Integer, sa.ForeignKey('parents.id', ondelete='CASCADE'))"
        )
        both = f"{CREATE.format('parents')}; op.create_table('children', {child})"
        project.add("a", both)
        async with Database(f"sqlite:///{tmp_path}/a.db", events=Events(lambda _: None)) as db:
            await migrate.upgrade(db, project.ini)
            async with db.begin() as session:
                await session.execute(text("INSERT INTO parents VALUES (1)"))
                await session.execute(text("INSERT INTO children VALUES (1)"))
            yield db

    async def count(self, db, table):
        """Count the rows of a table."""
        async with db.read() as session:
            return await session.scalar(text(f"SELECT count(*) FROM {table}"))

    async def test_rows_that_refer_to_the_table_stay(self, db, project):
        """Dropping the old one deletes no child."""
        anew = "with op.batch_alter_table('parents', recreate='always') as parents"
        project.add("b", f"{anew}: parents.add_column(sa.Column('more', sa.Integer))", down="a")

        await migrate.upgrade(db, project.ini)

        assert (await self.count(db, "parents"), await self.count(db, "children")) == (1, 1)

    async def test_rows_left_without_a_parent_are_an_error(self, db, project):
        """What a migration breaks is found at its end, and undone."""
        project.add("b", "op.execute('DELETE FROM parents')", down="a")

        with pytest.raises(MigrationError, match="refer to nothing: children to parents"):
            await migrate.upgrade(db, project.ini)

        assert await self.count(db, "parents") == 1

    async def test_foreign_keys_are_enforced_again(self, db, project):
        """After success and failure, the connection has its settings back."""
        project.add("b", "op.execute('SELECT * FROM missing')", down="a")
        with pytest.raises(MigrationError):
            await migrate.upgrade(db, project.ini)

        async with db.engine.connect() as connection:
            assert await connection.scalar(text("PRAGMA foreign_keys")) == 1
            assert await connection.scalar(text("PRAGMA busy_timeout")) == 10_000
