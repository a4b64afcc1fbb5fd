"""What a store refuses, with what, where and what to do; and that nothing is lost by it."""

import asyncio
import uuid

import pytest
from msgspec import Struct
from redis.asyncio import Redis
from sqlalchemy import (
    CHAR,
    BigInteger,
    Column,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    make_url,
    text,
)
from sqlalchemy.orm import Session
from tests.state.conftest import MATCHES, PATIENT, Board, Match, make_store

from holdfast import redis
from holdfast.database import Database
from holdfast.errors import (
    ConfigurationError,
    InvalidValueError,
    OverloadedError,
    StoreUnavailableError,
)
from holdfast.models import uuid7
from holdfast.services import RedisPolicy, RedisServer
from holdfast.state import (
    RefusedError,
    StatePolicy,
    StateRefused,
    StateStore,
    StateTable,
    StateUnreadable,
    StoreFailed,
    examining,
    owning,
)
from holdfast.state.owning import own
from holdfast.state.scripts import RIGHTS


@pytest.mark.parametrize("key", ["one", 1, None, b"1"])
async def test_a_key_of_another_type(store, key):
    """It names the column and its type."""
    with pytest.raises(ConfigurationError, match=r"matches: the key is .*; id is a UUID"):
        await store.load(key)


class More(Board):
    """A state that a store of boards would give back with less."""

    extra: object = None


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (Board(moves=[object()]), "cannot be encoded"),
        (More(extra=1), "is a More, no Board"),
        (Board(moves=["a\0b"]), "has a NUL character in it"),
        (Board(moves=["x" * 3_000]), "takes 3,023 bytes, more than max_bytes"),
        (Board(turn=float("nan")), "could not be loaded again: Expected `int`, got `null`"),
        (Board(moves=[1]), "could not be loaded again: Expected `str`, got `int`"),
    ],
    ids=["not JSON", "a subclass", "NUL", "too large", "NaN", "another type"],
)
async def test_a_state_that_cannot_be_stored(db, client, begin, value, says):
    """It is refused before anything is sent, with its key."""
    store = make_store(db, client, max_bytes=3_000)
    match = await begin()
    entry = await store.load(match)

    with pytest.raises(InvalidValueError, match=f"{match} {says}"):
        await store.save(match, value, expect=entry.version)

    assert await store.load(match) == entry


async def test_a_backslash_before_what_looks_like_a_nul(store, begin):
    """It is text as any other."""
    match = await begin()
    entry = await store.load(match)

    saved = await store.save(match, Board(moves=["\\u0000"]), expect=entry.version)
    assert (await store.read_durable(match)) == entry
    await store.persist(match)
    assert (await store.read_durable(match)).value == saved.value == Board(moves=["\\u0000"])


async def test_columns_that_cannot_be_encoded(db, client, begin):
    """It is said of the columns, not of the state."""
    table = StateTable(model=Match, prefix="match:", columns={"turn": lambda _: object()})
    store = StateStore(db, client, table=table, codec=Board)
    match = await begin()
    entry = await store.load(match)

    with pytest.raises(InvalidValueError, match="has columns that cannot be encoded"):
        await store.save(match, Board(), expect=entry.version)


async def set_state(db, match, state):
    async with db.engine.begin() as connection:
        await connection.execute(
            text("UPDATE matches SET state = CAST(:state AS jsonb) WHERE id = :id"),
            {"state": state, "id": match},
        )


async def test_a_row_that_no_longer_decodes(store, begin, db, facts, client):
    """Whoever loads it is told; a recovery reports it, leaves it alone and goes on."""
    good, bad, other = [await begin() for _ in range(3)]
    await set_state(db, bad, '{"turn": "many"}')

    done = await store.recover()

    assert (done.rows, done.filled, done.unreadable) == (3, 2, [str(bad)])
    assert [each.key for each in facts if isinstance(each, StateUnreadable)] == [str(bad)]
    assert not await client.exists(f"match:{bad}")
    with pytest.raises(InvalidValueError, match=rf"{bad} holds what is no state .*turn"):
        await store.load(bad)
    with pytest.raises(InvalidValueError, match=str(bad)):
        await store.read_durable(bad)
    assert (await store.load(good)).value == (await store.load(other)).value == Board()


async def test_what_the_database_refuses_is_set_aside(store, begin, row, facts):
    """The others of its batch are written, and the next state of the key is tried at once."""
    matches = [await begin() for _ in range(7)]
    for match in matches:
        await store.update(match, lambda _: Board(turn=1))
    await store.update(matches[3], lambda _: Board(turn=2**40))

    assert await store.flush() == 6
    assert [(await row(match))[1] for match in matches] == [1, 1, 1, 0, 1, 1, 1]
    [refused] = [each for each in facts if isinstance(each, StateRefused)]
    assert refused.key == str(matches[3])
    assert refused.reason.startswith("NumericValueOutOfRangeError")
    assert (await store.stats()).refused == 1
    assert [each.name for each in await store.check() if not each.ok] == ["refused"]
    assert await store.flush() == 0, "not tried again at once"
    with pytest.raises(RefusedError, match=f"{matches[3]}: .* NumericValueOutOfRange.*; save one"):
        await store.persist(matches[3])

    await store.update(matches[3], lambda _: Board(turn=3))

    assert await store.flush() == 1
    assert (await row(matches[3]))[1] == 3
    assert (await store.stats()).refused == 0
    assert all(each.ok for each in await store.check())


async def test_a_column_of_a_domain_that_takes_no_null(store, db, begin, row, client):
    """It is not the store's, and stays as it is; nor has another one a name that is ours."""
    async with db.engine.begin() as connection:
        await connection.execute(text("CREATE DOMAIN place AS integer NOT NULL"))
        await connection.execute(text("ALTER TABLE matches ADD place place DEFAULT 7, ADD t text"))
    match, ahead = await begin(), await begin()
    for each in (match, ahead):
        await store.update(each, lambda _: Board(turn=1))
    await client.hset(f"match:{ahead}", "r", "of-another-life")

    await store.persist(match)
    await store.load(ahead)

    assert [(await row(each))[1] for each in (match, ahead)] == [1, 1]
    async with db.read() as session:
        assert (await session.scalars(text("SELECT place FROM matches"))).all() == [7, 7]


async def test_what_was_refused_is_tried_again(db, client, begin, row):
    """After a while, since the database may have been changed."""
    store = make_store(db, client, refused_delay=0)
    match = await begin()
    async with db.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE matches ADD CONSTRAINT few CHECK (turn < 5)"))
    await store.update(match, lambda _: Board(turn=6))
    assert await store.flush() == 0

    async with db.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE matches DROP CONSTRAINT few"))

    assert await store.flush() == 1
    assert (await row(match))[1] == 6
    assert (await store.stats()).refused == 0


async def test_too_many_wait_to_be_written(db, client, begin):
    """No other key is saved then; one that waits already is."""
    store = make_store(db, client, dirty_limit=2)
    one, two, three = [await begin() for _ in range(3)]
    await store.update(one, lambda _: Board(turn=1))
    await store.update(two, lambda _: Board(turn=1))

    with pytest.raises(OverloadedError, match="too many states wait"):
        await store.update(three, lambda _: Board(turn=1))
    await store.update(one, lambda _: Board(turn=2))
    assert [each.name for each in await store.check() if not each.ok] == ["writing"]

    await store.flush()
    await store.update(three, lambda _: Board(turn=1))


@pytest.fixture
def away(db, facts) -> StateStore[Board]:
    """Give a store whose Redis is not there."""
    return make_store(db, redis.client("redis://:sesame@127.0.0.1:1/0"), facts)


async def test_no_redis(away, begin, facts):
    """Everything fails with one kind of error; only the row answers."""
    match = await begin(turn=4)
    entry = await away.read_durable(match)
    assert entry.value == Board(turn=4)

    for call in (
        lambda: away.load(match),
        lambda: away.save(match, Board(), expect=1),
        lambda: away.update(match, lambda board: board),
        lambda: away.persist(match),
        lambda: away.delete(match),
        away.recover,
        away.flush,
        away.stats,
        away.verify,
    ):
        with pytest.raises(StoreUnavailableError) as caught:
            await call()
        assert type(caught.value) is StoreUnavailableError
        assert "sesame" not in str(caught.value)
    assert {each.what for each in facts if isinstance(each, StoreFailed)} >= {"load", "save"}
    [check] = [each for each in await away.check() if not each.ok]
    assert check.name == "redis"
    assert check.said.startswith("127.0.0.1:1/0: ")
    assert (await away.read_durable(match)).value == Board(turn=4)


async def test_a_server_that_is_no_cluster(db):
    """Which client is right is said at the start, at the first use, and by what looks at it."""
    async with RedisServer(policy=RedisPolicy(listen="127.0.0.1")) as server:
        url = f"redis+cluster://{server.url().partition('://')[2].rpartition('/')[0]}"
        client = redis.cluster(url, policy=PATIENT)
        store = make_store(db, client)

        for call in (store.open, store.stats, store.flush, lambda: store.load(uuid7())):
            with pytest.raises(ConfigurationError, match=r"make the client by redis\.client"):
                await call()
        [check] = await store.check()
        await client.aclose()

    assert (check.name, check.state) == ("redis", "failed")
    assert "redis://" in check.said


@pytest.fixture
async def guarded():
    """Give a Redis that wants a password, and may drop keys."""
    policy = RedisPolicy(
        listen="127.0.0.1", settings={"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}
    )
    async with RedisServer(policy=policy) as server:
        yield server


async def test_a_wrong_password(db, guarded):
    """It is said, without the password."""
    url = guarded.url()
    _, _, place = url.partition("@")
    async with redis.client(f"redis://:sesame@{place}") as client:
        store = make_store(db, client)

        for call in (store.open, lambda: store.load(uuid7())):
            with pytest.raises(StoreUnavailableError, match="the password of its URL") as caught:
                await call()

    assert "sesame" not in str(caught.value)


async def test_a_redis_that_drops_keys(db, guarded):
    """It is refused at the start and fails a check, with the reason and the command."""
    async with redis.client(guarded.url()) as client:
        store = make_store(db, client)

        with pytest.raises(ConfigurationError, match=r"allkeys-lru.*CONFIG SET maxmemory-policy"):
            await store.open()
        with pytest.raises(ConfigurationError):
            async with store.flushing():
                pass
        (memory,) = [each for each in await store.check() if each.name == "memory"]
        assert (memory.state, memory.advice) == ("failed", "CONFIG SET maxmemory-policy noeviction")

        await client.config_set("maxmemory-policy", "noeviction")
        await store.open()
        assert {each.state for each in await store.check()} == {"ok"}


@pytest.mark.parametrize("given", [{}, {"retry": None, "retry_on_error": [OSError]}])
async def test_a_client_that_sends_again(db, given):
    """Redis would do a save twice; and answers that were decoded cannot be read."""
    async with Redis(decode_responses=True, **given) as client:
        with pytest.raises(ConfigurationError) as caught:
            make_store(db, client)

    assert "sends commands again by itself" in str(caught.value)
    assert "decode_responses" in str(caught.value)


@pytest.mark.parametrize(("expect", "shown"), [(None, "None"), (2**64, "too large")])
async def test_a_save_that_expects_no_version(store, begin, expect, shown):
    """None is what nobody loaded, and no version has more bits than a bigint."""
    with pytest.raises(ConfigurationError, match=f"expect is {shown}; it is the version of what"):
        await store.save(await begin(), Board(), expect=expect)


@pytest.mark.parametrize(
    ("name", "prefix", "says"),
    [
        ("other_matches", "match:", "the prefix 'match:' belongs to public.matches of database"),
        ("other_matches", "match:old:", "the prefix 'match:' belongs to public.matches"),
        ("other_matches", "ma", "the prefix 'match:' belongs to public.matches"),
        ("matches", "match2:", "in this Redis that table has the prefix 'match:'"),
    ],
)
async def test_a_prefix_that_another_table_has(*, store, db, client, name, prefix, says):
    """Two stores would delete each other's states; the first has it, whenever it comes."""
    await store.open()
    async with db.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE other_matches (LIKE matches INCLUDING ALL)"))
    table = StateTable[Board](
        model=Match.__table__.to_metadata(MetaData(), name=name), prefix=prefix
    )

    with pytest.raises(ConfigurationError, match=says) as caught:
        await StateStore(db, client, table=table, codec=Board).open()

    assert "HDEL holdfast:state:owners match:" in str(caught.value)
    assert await client.hlen("holdfast:state:owners") == 1
    await make_store(db, client).open()
    await client.hdel("holdfast:state:owners", "match:")
    await StateStore(db, client, table=table, codec=Board).open()


@pytest.mark.parametrize(
    ("prefix", "owner", "says"),
    [
        ("match:old:", "others of database app", "belongs to"),
        ("match2:", "matches of database app", "that table has the prefix"),
        ("match:", "matches of database app", None),
    ],
    ids=["meeting prefixes", "one table", "the same"],
)
async def test_two_that_come_first(client, monkeypatch, prefix, owner, says):
    """Both have read that nobody is there: one of them has its prefix, and the other is told."""
    read, both = owning._read, asyncio.Barrier(2)
    waits = 2

    async def read_at_once(of):
        nonlocal waits
        found = await read(of)
        if waits:
            waits -= 1
            await both.wait()
        return found

    monkeypatch.setattr(owning, "_read", read_at_once)
    answers = await asyncio.gather(
        own(client, "match:", "matches of database app"),
        own(client, prefix, owner),
        return_exceptions=True,
    )

    refused = [each for each in answers if each is not None]
    assert len(refused) == (1 if says else 0)
    assert all(isinstance(each, ConfigurationError) and says in str(each) for each in refused)
    assert await client.hlen("holdfast:state:owners") == 1


async def test_a_role_that_may_not_know_its_server(client):
    """Its prefix is its own, whichever of the two came first."""
    await own(client, "match:", "matches of database app")
    await own(client, "match:", "matches of database app of server 1")
    await client.delete("holdfast:state:owners")
    await own(client, "match:", "matches of database app of server 1")
    await own(client, "match:", "matches of database app")

    with pytest.raises(ConfigurationError, match="belongs to matches of database app of server 1"):
        await own(client, "match:", "matches of database app of server 2")


@pytest.fixture
async def limited(client, redis_url):
    """Give a function that makes a client whose user has some rights only."""
    clients = []
    user = f"game-{uuid.uuid4()}"  # of the server, which others test on as well

    async def made(rights: str) -> Redis:
        await client.execute_command("ACL", "SETUSER", user, "reset", "on", ">x", *rights.split())
        url = make_url(redis_url)
        clients.append(redis.client(url.set(username=user, password="x").render_as_string(False)))
        return clients[-1]

    yield made
    for each in clients:
        await each.aclose()
    await client.execute_command("ACL", "DELUSER", user)


async def test_the_rights_that_a_store_needs(db, begin, limited, row):
    """What the message says is enough for everything."""
    rights = RIGHTS.replace("<prefix>", "match:")
    rights = rights.replace(", in a cluster", "").replace(", and to be looked at", "")
    store = make_store(db, await limited(rights))
    match = await begin()

    async with store.flushing():
        await store.recover()
        await store.update(match, lambda _: Board(turn=1))
    await store.persist(match)
    assert (await store.stats()).keys == 1
    assert (await store.verify()).same == 1
    assert all(each.ok for each in await store.check())
    assert await store.delete(match)


async def test_a_user_of_redis_without_rights(db, begin, limited):
    """It is told which, and what a store needs."""
    match = await begin()
    for rights, call in (
        ("~* +@all -eval -evalsha", lambda store: store.load(match)),
        ("~* +@all -hset", lambda store: store.load(match)),
        ("~* +@all -info", lambda store: store.open()),
        ("~* +@all -scan", lambda store: store.verify()),
        ("~* +@all -scan", lambda store: store.stats()),
    ):
        store = make_store(db, await limited(rights))
        with pytest.raises(
            ConfigurationError, match=r"not allowed here .* \+eval \+evalsha \+info"
        ):
            await call(store)


async def test_a_deletion_that_expects_no_version(store, begin):
    """An entry is not its version."""
    match = await begin()
    entry = await store.load(match)

    for wrong in (entry, True, "1"):
        with pytest.raises(ConfigurationError, match="it is the version of what load"):
            await store.delete(match, expect=wrong)
    with pytest.raises(ConfigurationError, match="is no entry that load"):
        await store.persist(match, entry.version)


async def test_an_entry_of_another_store(store, db, client, begin):
    """A key that both have is that of two states."""
    match = await begin()
    table = StateTable[Board](model=Match, prefix="other:")
    other = StateStore(db, client, table=table, codec=Board)

    with pytest.raises(ConfigurationError, match="the entry is that of other:"):
        await store.persist(match, await other.load(match))


async def test_a_row_that_is_mended(store, begin, db):
    """What was wrong with it is not what Redis goes on with."""
    match = await begin()
    await set_state(db, match, '{"turn": "first"}')
    with pytest.raises(InvalidValueError, match="mend the row"):
        await store.load(match)
    await set_state(db, match, '{"turn": 1}')

    assert (await store.load(match)).value == Board(turn=1)


async def test_a_row_without_a_state(store, begin, db):
    """It is unreadable, and no other one is harmed by it."""
    match, other = await begin(), await begin()
    async with db.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE matches ALTER state DROP NOT NULL"))
        await connection.execute(
            text("UPDATE matches SET state = NULL WHERE id = :id"), {"id": match}
        )

    for call in (store.load, store.read_durable):
        with pytest.raises(InvalidValueError, match="holds what is no state of this store"):
            await call(match)
    assert (await store.recover()).unreadable == [str(match)]
    assert (await store.load(other)).value == Board()


SECURED = """
    CREATE POLICY few ON matches USING (true) WITH CHECK (turn < 5);
    ALTER TABLE matches ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
"""
RAISES = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.turn > 4 THEN RAISE 'no' USING ERRCODE = 'GA013'; END IF; RETURN NEW; END $$;
    CREATE TRIGGER refuse BEFORE UPDATE ON matches FOR EACH ROW EXECUTE FUNCTION refuse()
"""


@pytest.mark.parametrize("rule", [SECURED, RAISES], ids=["policy", "trigger"])
async def test_whatever_refuses_a_row_stops_no_other(store, db, begin, row, rule):
    """By a policy, or with an error that PostgreSQL does not know."""
    async with db.engine.begin() as connection:
        for statement in rule.rsplit(";\n", 1):
            await connection.execute(text(statement))
    matches = [await begin() for _ in range(3)]
    for turn, match in enumerate(matches, start=3):
        await store.update(match, lambda _, turn=turn: Board(turn=turn))

    assert await store.flush() == 2
    assert [(await row(match))[1] for match in matches] == [3, 4, 0]
    assert (await store.stats()).refused == 1


async def test_a_role_without_rights(store, db, begin):
    """It is told at the start, and at the first use."""
    match = await begin()
    async with db.engine.begin() as connection:
        await connection.execute(text("REVOKE UPDATE ON matches FROM CURRENT_USER"))

    with pytest.raises(ConfigurationError, match="may not read and update matches"):
        await store.open()
    with pytest.raises(ConfigurationError, match="permission denied for table matches"):
        await store.load(match)


async def test_a_key_that_is_somebody_elses(store, begin, client):
    """Two things under one prefix are no good."""
    match = await begin()
    await client.set(f"match:{match}", "mine")

    with pytest.raises(ConfigurationError, match="each store has a prefix of its own"):
        await store.load(match)


async def test_a_database_without_the_table(database_url, client):
    """Before anything is saved."""
    async with Database(database_url) as db:
        with pytest.raises(ConfigurationError, match=r"no table matches.*migrate it"):
            await make_store(db, client).open()


async def test_a_table_that_is_made_otherwise(database_url, client):
    """Everything that is wrong with it, at once."""
    async with Database(database_url) as db, db.engine.begin() as connection:
        await connection.execute(
            text("CREATE TABLE matches (id uuid PRIMARY KEY, state bytea, turn int, version int)")
        )
    async with Database(database_url) as db:
        with pytest.raises(ConfigurationError) as caught:
            await make_store(db, client).open()

    said = str(caught.value)
    assert "column state is bytea; it has to be JSONB, JSON or text" in said
    assert "column version has to be BIGINT NOT NULL" in said
    assert "CREATE SEQUENCE IF NOT EXISTS holdfast_epoch" in said


NEARLY = "(provider = icu, locale = 'und-u-ks-level1', deterministic = false)"


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("char(5)", "column id is character, which may take different texts for one key"),
        ('text COLLATE "nearly"', "column id is text of such a collation"),
    ],
)
async def test_a_key_that_is_not_exact(db, client, kind, says):
    """Several texts for one row would be several states in Redis."""
    async with db.engine.begin() as connection:
        for statement in (
            f"CREATE COLLATION nearly {NEARLY}",
            f"CREATE TABLE odd (id {kind} PRIMARY KEY, state jsonb, version bigint NOT NULL)",
        ):
            await connection.execute(text(statement))
    table = table_of(Column("id", Text, primary_key=True), *map(again, STORED))

    with pytest.raises(ConfigurationError, match=says):
        await StateStore(db, client, table=table, codec=Board).open()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("ALTER TABLE matches ALTER version DROP DEFAULT", "no default by which each new row"),
        ("ALTER SEQUENCE holdfast_epoch CACHE 32", "gives numbers out of order"),
    ],
)
async def test_versions_that_could_come_again(store, db, change, says):
    """What gives out epochs has to be as the migration made it."""
    async with db.engine.begin() as connection:
        await connection.execute(text(change))

    with pytest.raises(ConfigurationError, match=says):
        await store.open()


async def test_a_sqlite_database(client):
    """A store's rows are in PostgreSQL."""
    async with Database("sqlite:///:memory:") as db:
        with pytest.raises(ConfigurationError, match="the database is sqlite"):
            await make_store(db, client).open()


def table_of(*columns, **names):
    made = Table("odd", MetaData(), *columns)
    return StateTable(model=made, **{"prefix": "odd:"} | names)


def again(column):
    return Column(column.name, column.type, primary_key=column.primary_key)


KEY = Column("id", Uuid, primary_key=True)
STORED = [Column("state", Text), Column("version", BigInteger)]


@pytest.mark.parametrize(
    ("columns", "names", "says"),
    [
        ([KEY], {}, "it has no column state; it has no column version: state_version() makes it"),
        ([Column("a", Integer), Column("state", Text)], {}, "its primary key has to be one column"),
        (
            [Column("id", Uuid, primary_key=True), Column("n", Integer, primary_key=True)],
            {},
            "its primary key has to be one column",
        ),
        (
            [KEY, *STORED],
            {"columns": {"turn": lambda state: state, "version": lambda state: state}},
            "it has no column turn; columns has version, which the store itself writes",
        ),
        ([KEY, Column("state", Text), Column("version", Text)], {}, "version has to be a BIGINT"),
        (
            [KEY, *STORED],
            {"prefix": "game:{game_id}"},
            "prefix is 'game:{game_id}'; it is text such as 'game:'",
        ),
        ([KEY, *STORED], {"prefix": ""}, "prefix is"),
        (
            [Column("id", CHAR(36), primary_key=True), *STORED],
            {},
            "its key id has to be a UUID, an integer or text",
        ),
    ],
)
def test_a_table_that_cannot_keep_states(columns, names, says):
    """It is said where it is declared, before there is any server."""
    with pytest.raises(ConfigurationError) as caught:
        table_of(*map(again, columns), **names)

    assert says in str(caught.value)


def test_a_model_that_is_none():
    """A class that is not mapped has no table."""
    with pytest.raises(ConfigurationError, match="it is a mapped class or a table"):
        StateTable(model=uuid.UUID, prefix="odd:")


async def test_parts_that_are_something_else(db):
    """All are named at once, by their types: what was given may hold a password."""
    with pytest.raises(ConfigurationError) as caught:
        StateStore(db.engine, "redis://:sesame@db.example", table=Match, codec=Board)

    assert str(caught.value) == (
        "state store: the client is of the type str; holdfast.redis makes one; the database is "
        "of the type AsyncEngine; it is a holdfast.database.Database; the table is the class "
        "Match; StateTable(model=…, prefix=…) makes one"
    )


async def test_a_session_that_is_not_asynchronous(store, begin, db):
    """It is refused before anything is closed or deleted."""
    match = await begin()
    entry = await store.update(match, lambda _: Board(turn=4))

    for session in (Session(), db):
        with pytest.raises(ConfigurationError, match="it is an AsyncSession"):
            await store.delete(match, session=session)

    assert await store.load(match) == entry


def test_a_codec_that_is_none(db, client):
    """Neither msgspec nor pydantic can make it from JSON."""

    class Plain:
        pass

    class Recursive(Struct):
        parts: "Plain"

    with pytest.raises(ConfigurationError, match="is no type of states"):
        StateStore(db, client, table=MATCHES, codec=Recursive)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"timeout": 0}, "timeout is 0; it is a number above 0"),
        ({"timeout": "1"}, "timeout is '1'"),
        ({"batch_size": 0}, "batch_size is 0; it is a whole number above 0"),
        ({"lease": 1.0, "flush_timeout": 2.0}, "shorter than two statements with flush_timeout"),
    ],
)
def test_limits_that_cannot_be(limits, says):
    """They are refused where the policy is made."""
    with pytest.raises(ConfigurationError, match=says):
        StatePolicy(**limits)


async def test_what_a_trigger_refuses_is_set_aside(store, db, begin, row):
    """As what a constraint refuses: the others of its batch are written."""
    matches = [await begin() for _ in range(3)]
    async with db.engine.begin() as connection:
        await connection.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "IF NEW.turn = 13 THEN RAISE EXCEPTION 'unlucky'; END IF; RETURN NEW; END $$"
            )
        )
        await connection.execute(
            text("CREATE TRIGGER r BEFORE UPDATE ON matches FOR EACH ROW EXECUTE FUNCTION refuse()")
        )
    for match, turn in zip(matches, (1, 13, 1), strict=True):
        await store.update(match, lambda _, turn=turn: Board(turn=turn))

    assert await store.flush() == 2
    assert [(await row(match))[1] for match in matches] == [1, 0, 1]
    assert (await store.stats()).refused == 1


async def test_a_change_that_returns_nothing(store, begin):
    """It is refused, and the state is as it was."""
    match = await begin(turn=2)

    with pytest.raises(InvalidValueError, match="is a NoneType, no Board"):
        await store.update(match, lambda board: None)

    assert (await store.load(match)).value == Board(turn=2)


async def test_an_entry_of_another_key(store, begin, row):
    """It names both, and nothing is written."""
    one, other = await begin(turn=1), await begin(turn=2)
    entry = await store.update(one, lambda _: Board(turn=9))
    await store.load(other)

    with pytest.raises(ConfigurationError, match=f"{other}: the entry is that of match:{one}"):
        await store.persist(other, entry)

    assert (await row(other))[1] == 2


async def test_a_server_that_goes_away_while_it_is_named(db, client, monkeypatch):
    """It is away: by half of its name the table would be another one, whose prefix this is not."""
    with monkeypatch.context() as patch:
        patch.setattr(examining, "_SERVER", text("SELECT pg_terminate_backend(pg_backend_pid())"))
        with pytest.raises(StoreUnavailableError):
            await make_store(db, client).open()

    assert await client.hlen("holdfast:state:owners") == 0
    await make_store(db, client).open()


async def test_a_role_that_may_not_know_the_server(db, client, monkeypatch):
    """The table is known by what the role may know."""
    monkeypatch.setattr(examining, "_SERVER", text("SELECT oid FROM pg_authid"))

    await make_store(db, client).open()

    owner = (await client.hget("holdfast:state:owners", "match:")).decode()
    assert owner.startswith("public.matches of database ")
    assert " of server " not in owner
