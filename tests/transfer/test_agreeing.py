"""Two databases are looked at before a row is written: they fit, or a sentence says why not."""

import pytest
from sqlalchemy import inspect
from sqlalchemy.exc import DBAPIError
from tests.transfer.conftest import QUIET
from tests.transfer.shop import Base

from holdfast import migrate, transfer
from holdfast.database import Database
from holdfast.errors import ConfigurationError, MigrationError, TransferError

ROW = "INSERT INTO everything (id) VALUES (1)"
MODELS = "from tests.transfer.shop import Base"


async def tables(url: str) -> list[str]:
    """Name the tables there are."""
    async with Database(url, events=QUIET) as db, db.engine.connect() as connection:
        return await connection.run_sync(lambda sync: inspect(sync).get_table_names())


async def test_a_target_without_tables_is_migrated(pair):
    """To where the source is."""
    await pair.migrate(pair.source)

    await pair.copy()

    assert await pair.ask(pair.target, "SELECT version_num FROM alembic_version") == [("001",)]


async def test_a_target_that_was_migrated_is_used_as_it_is(pair):
    """Its revision is the same."""
    await pair.migrate(pair.source, pair.target)
    await pair.run(pair.source, ROW)

    await pair.copy()

    assert await pair.ask(pair.target, "SELECT id FROM everything") == [(1,)]


async def test_the_source_is_at_the_newest_revision(pair):
    """Nothing is done to a target when it is not."""
    with pytest.raises(TransferError, match=r"source is at revision none, .* end at 001; migrate"):
        await pair.copy()
    await pair.migrate(pair.source)
    pair.write(MODELS, "op.add_column('areas', sa.Column('name', sa.Text))", "002", "001")
    with pytest.raises(TransferError, match=r"source is at revision 001, .* end at 002; migrate"):
        await pair.copy()

    assert await tables(pair.target) == []


async def test_both_are_at_the_same_revision(pair):
    """Rows of one revision do not fit into the tables of another."""
    await pair.migrate(pair.source, pair.target)
    pair.write(MODELS, "op.add_column('areas', sa.Column('name', sa.Text))", "002", "001")
    await pair.migrate(pair.source)

    with pytest.raises(TransferError, match="target is at revision 001, and the source at 002"):
        await pair.copy()


async def test_tables_without_a_revision_are_refused(pair):
    """Somebody has made them without migrations: it is not known what they are."""
    await pair.migrate(pair.source, pair.target)
    await pair.run(pair.target, "DELETE FROM alembic_version")

    with pytest.raises(TransferError, match="the target is at revision none, and the source at"):
        await pair.copy()


async def test_a_target_that_cannot_be_migrated(pair):
    """It stays as it was."""
    await pair.migrate(pair.source)
    pair.write(MODELS, "op.execute('SELECT * FROM missing')")

    with pytest.raises(MigrationError, match="missing"):
        await pair.copy()
    assert await tables(pair.target) == []


async def test_a_target_with_rows_is_refused(pair):
    """It names the tables, and leaves them as they are."""
    await pair.migrate(pair.source, pair.target)
    await pair.run(pair.target, ROW, 'INSERT INTO "Order lines" ("select") VALUES (1)')

    with pytest.raises(TransferError, match="target has rows in Order lines, everything, and a"):
        await pair.copy()

    assert await pair.ask(pair.target, "SELECT id FROM everything") == [(1,)]


async def test_rows_that_no_model_knows_are_not_dropped(pair):
    """Nothing tells how to copy them; they can be left out by name."""
    await pair.migrate(pair.source)
    await pair.run(
        pair.source,
        ROW,
        "CREATE TABLE notes (id INTEGER)",
        "CREATE TABLE empty (id INTEGER)",
        "CREATE VIEW seen AS SELECT 1 AS one",
        "INSERT INTO notes VALUES (1)",
    )

    with pytest.raises(TransferError, match=r"rows in notes, which the models .* --without notes"):
        await pair.copy()
    with pytest.raises(ConfigurationError, match=r"areas, elsewhere cannot.*be: empty, notes$"):
        await pair.copy(without=["areas", "elsewhere"])

    assert (await pair.copy(without=["notes"])).rows == 1


async def test_values_that_no_model_knows_are_not_dropped(pair):
    """A column that the models have no more, and the migrations still; it can be left out."""
    pair.write(
        "import sqlalchemy as sa\nfrom sqlalchemy.orm import DeclarativeBase\n"
        "class Base(DeclarativeBase): pass\n"
        "sa.Table('Some: %', Base.metadata, sa.Column('id', sa.Integer, primary_key=True))",
        """op.execute('CREATE TABLE "Some\\\\: %" (id integer PRIMARY KEY, "a%" text, b text, '
        'c integer GENERATED ALWAYS AS (id * 2) STORED)')""",
    )
    await pair.migrate(pair.source)
    await pair.run(pair.source, """INSERT INTO "Some: %" VALUES (1, 'kept', NULL)""")

    with pytest.raises(
        TransferError, match=r"values in Some: %\.a%, which .* --without Some: %\.a%"
    ):
        await pair.copy()
    with pytest.raises(ConfigurationError, match=r"Some: %\.id cannot be left out"):
        await pair.copy(without=["Some: %.id"])

    assert (await pair.copy(without=["Some: %.a%"])).rows == 1


async def test_a_table_of_the_models_that_is_not_there(pair):
    """The migrations have not made it."""
    pair.write(MODELS, "op.create_table('areas', sa.Column('id', sa.Uuid))")
    await pair.migrate(pair.source)

    with pytest.raises(TransferError, match="models have Order lines, everything, workers, which"):
        await pair.copy()


async def test_a_view_of_the_models_is_no_table(pair):
    """It has no rows of its own."""
    models = (
        "import sqlalchemy as sa\nfrom sqlalchemy.orm import DeclarativeBase\n"
        "class Base(DeclarativeBase): pass\n"
        "sa.Table('sizes', Base.metadata, sa.Column('size', sa.Integer, primary_key=True))\n"
        "sa.Table('large', Base.metadata, sa.Column('size', sa.Integer))"
    )
    up = "op.execute('CREATE TABLE sizes (size int)'); op.execute('CREATE VIEW large AS {}')"
    pair.write(models, up.format("SELECT * FROM sizes WHERE size > 1"))
    await pair.migrate(pair.source)
    await pair.run(pair.source, "INSERT INTO sizes VALUES (1), (2)")

    copied = await pair.copy()

    assert [(each.name, each.rows) for each in copied.tables] == [("sizes", 2)]
    assert await pair.ask(pair.target, "SELECT size FROM large") == [(2,)]


async def test_a_database_is_not_copied_into_itself(to_any, tmp_path):
    """However the two URLs are written; it would wait for itself."""
    await to_any.migrate(to_any.source, to_any.target)
    other = f"{to_any.target}&options=-c%20timezone%3DAsia/Tokyo"
    if to_any.target.startswith("sqlite"):
        (tmp_path / "link.db").symlink_to(tmp_path / "target.db")
        other = f"sqlite:///{tmp_path}/link.db"

    async with Database(to_any.target, events=QUIET) as one, Database(other, events=QUIET) as same:
        with pytest.raises(ConfigurationError, match="source and target are one database"):
            await transfer.copy(one, same, to_any.config)


async def test_two_databases_in_memory(upward):
    """Each is one of its own."""
    async with (
        Database("sqlite://", events=QUIET) as source,
        Database("sqlite://", events=QUIET) as target,
    ):
        await migrate.upgrade(source, upward.config)
        async with source.begin() as session:
            await (await session.connection()).exec_driver_sql(ROW)
        copied = await transfer.copy(source, target, upward.config)
        async with target.read() as session:
            found = await session.scalar(Base.metadata.tables["everything"].select())

    assert (copied.rows, found) == (1, 1)


async def test_tables_that_are_not_what_the_revision_says(upward):
    """It is an error of the database, as everywhere."""
    await upward.migrate(upward.source, upward.target)
    await upward.run(upward.source, ROW)
    await upward.run(upward.target, "ALTER TABLE everything DROP COLUMN flag")

    with pytest.raises(DBAPIError, match=r'column "flag".* does not exist'):
        await upward.copy()
