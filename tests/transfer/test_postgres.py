"""What PostgreSQL has beside rows: triggers, partitions, sequences, policies, owners, schemas."""

from dataclasses import replace

import pytest
from tests.transfer.conftest import QUIET

from holdfast import transfer
from holdfast.database import Database
from holdfast.errors import TransferError
from holdfast.urls import parse

MODELS = """
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase
class Base(DeclarativeBase): pass
def table(name, *columns, **options):
    key = sa.Column('id', sa.Integer, primary_key=True)
    sa.Table(name, Base.metadata, key, *columns, **options)
table('games', sa.Column('at', sa.Integer, primary_key=True), sa.Column('player', sa.Integer))
table('wins', sa.Column('count', sa.Integer))
odd = sa.Column('of:id', sa.Integer, sa.ForeignKey('odd:names.:id'))
sa.Table('odd:names', Base.metadata, sa.Column(':id', sa.Integer, primary_key=True), odd)
table('players', sa.Column('within', sa.Integer, sa.ForeignKey('players.id')))
"""
GAMES = """
CREATE TABLE players (id serial PRIMARY KEY, within int REFERENCES players);;
CREATE TABLE "odd:names" ("\\:id" serial PRIMARY KEY, "of:id" int REFERENCES "odd:names");;
COMMENT ON CONSTRAINT players_within_fkey ON players IS 'kept: ''as it is''';;
CREATE TABLE wins (id int GENERATED ALWAYS AS IDENTITY (START 1000) PRIMARY KEY, count int);;
CREATE TABLE games (id int, at int, player int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);;
CREATE TABLE games_1 PARTITION OF games FOR VALUES FROM (0) TO (100);;
ALTER TABLE games ADD CONSTRAINT of_player FOREIGN KEY (player) REFERENCES players
    ON DELETE CASCADE DEFERRABLE;;
CREATE SEQUENCE epochs;;
CREATE FUNCTION count_wins() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO wins (count) VALUES (1); RETURN NULL;
END $$;;
CREATE TRIGGER each AFTER INSERT ON games FOR EACH ROW EXECUTE FUNCTION count_wins();;
CREATE TRIGGER off AFTER INSERT ON games FOR EACH ROW EXECUTE FUNCTION count_wins();;
CREATE TRIGGER always AFTER INSERT ON players FOR EACH STATEMENT EXECUTE FUNCTION count_wins();;
ALTER TABLE games DISABLE TRIGGER off;;
ALTER TABLE players ENABLE ALWAYS TRIGGER always;;
ALTER TABLE players ENABLE ROW LEVEL SECURITY;;
ALTER TABLE players FORCE ROW LEVEL SECURITY
"""
# What the migrations have made, but for partitions, which are made as rows are.
CATALOGUE = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid),
    obj_description(oid, 'pg_constraint')
FROM pg_constraint WHERE contype = 'f'
UNION ALL
SELECT tgrelid::regclass::text, tgname, tgenabled::text, NULL FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT relname, relforcerowsecurity::text, relrowsecurity::text, NULL FROM pg_class
WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
ORDER BY 1, 2
"""


@pytest.fixture
async def games(across):
    """Give two databases with a table of games, whose triggers count."""
    up = "; ".join(f"op.execute({each.strip()!r})" for each in GAMES.split(";;"))
    across.write(MODELS, up)
    await across.migrate(across.source)
    await across.run(
        across.source,
        "ALTER TABLE players NO FORCE ROW LEVEL SECURITY",
        """INSERT INTO "odd:names" VALUES (8, 8)""",
        "INSERT INTO players (id, within) VALUES (3, 7), (7, 3)",
        "INSERT INTO wins (id, count) OVERRIDING SYSTEM VALUE VALUES (5, 2)",
        "CREATE TABLE games_2 PARTITION OF games FOR VALUES FROM (100) TO (200) "
        "PARTITION BY LIST (at)",
        'CREATE TABLE "games 3" PARTITION OF games_2 FOR VALUES IN (101)',
        "INSERT INTO games VALUES (1, 1, 3), (1, 101, 7)",
        "DELETE FROM wins WHERE id >= 1000",
        "SELECT setval('epochs', 41), setval('players_id_seq', 70)",
    )
    return across


async def test_triggers_have_done_their_work_in_the_source(games):
    """What they did there is copied; and afterwards they are on, off or always on as before."""
    await games.migrate(games.target)
    before = await games.ask(games.target, CATALOGUE)

    await games.copy()

    after = await games.ask(games.target, CATALOGUE)
    assert [each for each in after if each[0] not in {"games_2", '"games 3"', "games 3"}] == before
    assert await games.ask(games.target, "SELECT id, count FROM wins") == [(5, 2)]


async def test_partitions_are_made_as_the_source_has_them(games):
    """A table is copied through its parent, and each row is where it was."""
    await games.copy()

    sql = "SELECT tableoid::regclass::text, id, at FROM games ORDER BY at"
    assert await games.ask(games.target, sql) == [("games_1", 1, 1), ('"games 3"', 1, 101)]


async def test_sequences_go_on_where_they_were(games):
    """Not only after the last row: a number that was given once is given to nobody else."""
    await games.copy()

    await games.run(games.target, "ALTER TABLE players NO FORCE ROW LEVEL SECURITY")
    sql = """SELECT nextval('"odd\\:names_\\:id_seq"')"""
    assert await games.ask(games.target, sql) == [(9,)]
    sql = "SELECT nextval('players_id_seq'), nextval('epochs'), nextval('wins_id_seq')"
    assert await games.ask(games.target, sql) == [(71, 42, 1003)]


async def test_sequences_follow_the_rows_of_sqlite(upward):
    """Which has no sequence; with AUTOINCREMENT it has a counter, past rows that are gone."""
    await upward.migrate(upward.source)
    await upward.run(upward.source, "INSERT INTO everything (id) VALUES (7)")

    await upward.copy()

    sql = "SELECT nextval(pg_get_serial_sequence('everything', 'id'))"
    assert await upward.ask(upward.target, sql) == [(8,)]


async def test_counters_go_on_where_they_were(pair):
    """SQLite's AUTOINCREMENT gives no number twice, nor does what has one from a sequence."""
    column = "sa.Column('id', sa.Integer, primary_key=True)"
    models = "import sqlalchemy as sa\nfrom sqlalchemy.orm import DeclarativeBase\n"
    models += "class Base(DeclarativeBase): pass\n"
    models += f"for name in 'full', 'empty', 'plain': sa.Table(name, Base.metadata, {column})"
    make = f"op.create_table('{{}}', {column}, sqlite_autoincrement={{}})"
    made = [make.format("full", True), make.format("empty", True), make.format("plain", False)]
    pair.write(models, "; ".join(made))
    await pair.migrate(pair.source)
    for name in ("full", "empty", "plain"):
        await pair.run(
            pair.source,
            *[f'INSERT INTO "{name}" DEFAULT VALUES'] * 9,
            f'DELETE FROM "{name}" WHERE id >= {0 if name == "empty" else 9}',
        )

    await pair.copy()

    for name in ("full", "empty"):
        await pair.run(pair.target, f'INSERT INTO "{name}" DEFAULT VALUES')
        assert await pair.ask(pair.target, f'SELECT max(id) FROM "{name}"') == [(10,)]


async def test_a_sequence_that_counts_down(pair):
    """It goes on downwards; one that was never used begins where it would, whatever is there."""
    identity = "sa.Identity(start=-1, increment=-1)"
    pair.write(
        "import sqlalchemy as sa\nfrom sqlalchemy.orm import DeclarativeBase\n"
        "class Base(DeclarativeBase): pass\n"
        f"key = sa.Column('id', sa.Integer, {identity}, primary_key=True)\n"
        "sa.Table('depths', Base.metadata, key)",
        f"op.create_table('depths', sa.Column('id', sa.Integer, {identity}, primary_key=True)); "
        "(op.get_bind().dialect.name == 'postgresql') and (op.execute('CREATE SEQUENCE downward "
        "INCREMENT -1'), op.execute('CREATE SEQUENCE zero MINVALUE 0 START 0'))",
    )
    await pair.migrate(pair.source)
    await pair.run(pair.source, "INSERT INTO depths VALUES (-7), (5)")

    assert (await pair.copy()).rows == 2

    if pair.target.startswith("postgresql"):
        sql = "SELECT nextval('depths_id_seq'), nextval('downward'), nextval('zero')"
        assert await pair.ask(pair.target, sql) == [(-8, -1, 0)]


async def test_only_the_owner_of_the_tables_can_fill_them(upward):
    """The message says who has to."""
    await upward.migrate(upward.source, upward.target)
    app = replace(upward, target=upward.target.replace("//owner", "//app", 1))

    with pytest.raises(TransferError, match=r"must be owner .* connect to the target as the role"):
        await app.copy()


async def test_rows_that_the_source_hides_are_not_missed(games):
    """A role that may not see all rows cannot copy them."""
    await games.run(games.source, "ALTER TABLE players FORCE ROW LEVEL SECURITY")

    with pytest.raises(TransferError, match=r"policies of the source .* players"):
        await games.copy()


async def test_tables_in_a_schema(across):
    """Of the models' own; what stands in others belongs to others."""
    across.write(
        "import sqlalchemy as sa\nfrom sqlalchemy.orm import DeclarativeBase\n"
        "class Base(DeclarativeBase): metadata = sa.MetaData(schema='Own shop')\n"
        "sa.Table('items', Base.metadata, sa.Column('id', sa.Integer, primary_key=True))",
        "op.create_table('items', sa.Column('id', sa.Integer, primary_key=True), "
        "schema='Own shop')",
    )
    await across.migrate(across.source)
    await across.run(
        across.source,
        'INSERT INTO "Own shop".items VALUES (4)',
        "CREATE TABLE items (id int)",
        "INSERT INTO items VALUES (1)",
    )

    copied = await across.copy()

    assert [(each.name, each.rows) for each in copied.tables] == [("Own shop.items", 1)]
    sql = """SELECT id, nextval('"Own shop".items_id_seq') FROM "Own shop".items"""
    assert await across.ask(across.target, sql) == [(4, 5)]


async def test_types_of_postgresql_alone(across):
    """They go through the driver as they are, by COPY or where it has none."""
    across.write(
        "import sqlalchemy as sa\nfrom sqlalchemy.dialects import postgresql as pg\n"
        "from sqlalchemy.orm import DeclarativeBase\nclass Base(DeclarativeBase): pass\n"
        "from sqlalchemy.types import UserDefinedType\n"
        "class Path(UserDefinedType):\n    cache_ok = True\n"
        "    def get_col_spec(self): return 'path'\n"
        "kinds = (sa.ARRAY(sa.Text), pg.INET, pg.TSTZRANGE, sa.Numeric, pg.ENUM('x', name='mood'),"
        " Path, sa.ARRAY(pg.JSONB))\n"
        "columns = [sa.Column(f'c{at}', kind) for at, kind in enumerate(kinds)]\n"
        "sa.Table('odd', Base.metadata, sa.Column('id', sa.Integer, primary_key=True), *columns)\n"
        "key = sa.Column('id', sa.Integer, primary_key=True)\n"
        "sa.Table('words', Base.metadata, key, sa.Column('word \"s', pg.TSVECTOR))",
        "op.execute(\"CREATE TYPE mood AS ENUM ('x')\"); op.execute('CREATE TABLE odd (id int "
        "PRIMARY KEY, c0 text[], c1 inet, c2 tstzrange, c3 numeric, c4 mood, c5 path, "
        "c6 jsonb[])'); "
        "op.execute('CREATE TABLE words (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        '"word ""s" tsvector)\')',
    )
    await across.migrate(across.source)
    values = "'{a,NULL,\"b,c\"}', '10.0.0.0/8', '[2026-01-01,)', 12345678901234567890.10, 'x'"
    values += """, '[(1,2),(3,4)]', ARRAY['{\"a\": 1.00}', NULL, 'null']::jsonb[]"""
    await across.run(
        across.source,
        f"INSERT INTO odd VALUES (1, {values})",
        "INSERT INTO odd VALUES (2)",
        'INSERT INTO words ("word ""s") VALUES (\'a b\'), (NULL)',
    )

    copied = await across.copy()

    assert copied.rows == 4
    for table in ("odd", "words"):
        sql = f"SELECT {table}::text FROM {table} ORDER BY id"
        assert await across.ask(across.target, sql) == await across.ask(across.source, sql)


async def test_a_row_that_an_insert_refuses(across):
    """It is named as those of COPY are."""
    across.write(
        "import sqlalchemy as sa\nfrom sqlalchemy.dialects import postgresql as pg\n"
        "from sqlalchemy.orm import DeclarativeBase\nclass Base(DeclarativeBase): pass\n"
        "key = sa.Column('id', sa.Integer, primary_key=True)\n"
        "sa.Table('words', Base.metadata, key, sa.Column('word', pg.TSVECTOR))",
        "op.execute('CREATE TABLE words (id int PRIMARY KEY, word tsvector)')",
    )
    await across.migrate(across.source, across.target)
    await across.run(across.target, "ALTER TABLE words ADD CHECK (id <> 2)")
    await across.run(across.source, "INSERT INTO words SELECT generate_series(1, 3), 'a'")

    with pytest.raises(TransferError, match=r"words, id 2: .* violates check") as refused:
        await across.copy()
    assert "(2, 'a')" not in str(refused.value)


async def test_a_partition_that_is_missing(upward):
    """SQLite has none, so nothing tells how to make them; the row that belongs there is named."""
    make = (
        "for_sqlite = op.get_bind().dialect.name == 'sqlite'; by = 'PARTITION BY RANGE (id)'; "
        "op.execute('CREATE TABLE games (id int PRIMARY KEY)' + by * (not for_sqlite)); "
        "for_sqlite or op.execute("
        "'CREATE TABLE games_1 PARTITION OF games FOR VALUES FROM (1) TO (10)')"
    )
    upward.write(
        "import sqlalchemy as sa\nfrom sqlalchemy.orm import DeclarativeBase\n"
        "class Base(DeclarativeBase): pass\n"
        "sa.Table('games', Base.metadata, sa.Column('id', sa.Integer, primary_key=True))",
        make,
    )
    await upward.migrate(upward.source)
    await upward.run(upward.source, "INSERT INTO games VALUES (1), (10)")

    with pytest.raises(TransferError, match=r"games, id 10: .*no partition of relation"):
        await upward.copy()


async def test_past_a_pooler(upward, database_url):
    """A transaction of minutes needs a server of its own, as migrations do."""
    await upward.migrate(upward.source)
    await upward.run(upward.source, "INSERT INTO everything (id) VALUES (1)")
    pooled = parse(database_url, direct=upward.target)
    async with (
        Database(upward.source, events=QUIET) as source,
        Database(pooled, events=QUIET) as target,
    ):
        await transfer.copy(source, target, upward.config)

    assert await upward.ask(upward.target, "SELECT id FROM everything") == [(1,)]
