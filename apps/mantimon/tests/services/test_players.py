"""Players come in, are the same player every time, also when they come in twice at once, and go."""

import asyncio
import uuid
from dataclasses import replace

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from holdfast.errors import CommitUnknownError, ConfigurationError
from mantimon.db.models import CampaignProgress, CardSource, Collection, OAuthProvider, User
from mantimon.db.session import get_session
from mantimon.errors import EmailTakenError, InvalidInputError, NotFoundError
from mantimon.services.collections import add_copies
from mantimon.services.players import (
    Identity,
    delete_player,
    find_player,
    get_player,
    list_players,
    lock_player,
    log_in,
)
from mantimon.services.purse import take_pack

OWN_DATABASE = pytest.mark.holdfast(isolation="database")
KILL = text("SELECT pg_terminate_backend(pg_backend_pid())")

ADA = Identity(
    provider=OAuthProvider.GOOGLE,
    oauth_id="google-1",
    email="ada@example.test",
    display_name="Ada",
    avatar_url="https://example.test/ada.png",
)


async def come_in(identity):
    async with get_session() as session:
        return await log_in(session, identity)


async def test_first_log_in_makes_the_player(session):
    """The player has what the provider said, and has logged in."""
    ada = await come_in(ADA)

    stored = await session.get_one(User, ada.id)
    assert (stored.email, stored.display_name, stored.avatar_url) == (
        ADA.email, ADA.display_name, ADA.avatar_url,
    )  # fmt: skip
    assert stored.last_login is not None


async def test_second_log_in_is_the_same_player(session):
    """The second log-in moves `last_login` and leaves the profile alone."""
    first = await come_in(ADA)
    second = await come_in(replace(ADA, display_name="Somebody", email="new@example.test"))

    assert second.id == first.id
    assert second.last_login > first.last_login
    assert second.updated_at > first.updated_at
    assert (second.display_name, second.email) == ("Ada", ADA.email)


@OWN_DATABASE
async def test_many_first_log_ins_at_once_make_one_player(session):
    """Twenty tasks that come in with one identity, for the first time, are one player."""
    for number in range(5):
        identity = replace(ADA, oauth_id=f"id-{number}", email=f"{number}@example.test")
        players = await asyncio.gather(*(come_in(identity) for _ in range(20)))
        assert len({player.id for player in players}) == 1

    assert await session.scalar(select(func.count()).select_from(User)) == 5


@OWN_DATABASE
async def test_a_first_log_in_waits_for_another(session, until_blocked):
    """While one first log-in is not committed, a second one waits; then both are one player."""
    async with get_session() as own:
        first = await log_in(own, ADA)
        second = asyncio.create_task(come_in(ADA))
        await until_blocked()

    assert (await second).id == first.id
    assert await session.scalar(select(func.count()).select_from(User)) == 1


async def cancel(first, _own):
    first.cancel()


async def kill(_first, own):
    with pytest.raises(DBAPIError):
        await own.execute(KILL)


@OWN_DATABASE
@pytest.mark.parametrize("end", [cancel, kill])
async def test_a_first_log_in_that_never_commits(session, until_blocked, end):
    """When the first of two is cancelled or loses its connection, the second makes the player."""
    sessions = asyncio.Queue()

    async def begin():
        async with get_session() as own:
            await log_in(own, ADA)
            sessions.put_nowait(own)
            await asyncio.Event().wait()

    first = asyncio.create_task(begin())
    own = await sessions.get()
    second = asyncio.create_task(come_in(ADA))
    await until_blocked()
    await end(first, own)

    ada = await second
    first.cancel()
    await asyncio.wait({first})
    assert list(await session.scalars(select(User.id))) == [ada.id]
    assert (await come_in(ADA)).id == ada.id


@OWN_DATABASE
async def test_a_log_in_that_is_cancelled_while_it_waits(session, until_blocked):
    """The one that it waits for makes the player, and the cancelled one can come again."""
    async with get_session() as own:
        first = await log_in(own, ADA)
        second = asyncio.create_task(come_in(ADA))
        await until_blocked()
        second.cancel()
        await asyncio.wait({second})

    assert second.cancelled()
    assert (await come_in(ADA)).id == first.id
    assert await session.scalar(select(func.count()).select_from(User)) == 1


@OWN_DATABASE
async def test_two_identities_with_one_address_at_once(session, until_blocked):
    """The later of two first log-ins with one address waits, and is refused."""
    async with get_session() as own:
        await log_in(own, ADA)
        second = asyncio.create_task(come_in(replace(ADA, oauth_id="other")))
        await until_blocked()

    with pytest.raises(EmailTakenError, match=r"^ada@example\.test already belongs"):
        await second
    assert await session.scalar(select(func.count()).select_from(User)) == 1


@pytest.mark.parametrize("reached", [False, True])
async def test_a_log_in_whose_connection_is_lost(database, faults, reached):
    """The log-in is done again on another connection, and makes one player."""
    faults.drop_connection(at="INSERT", reached=reached)
    ada = await database.run(log_in, ADA)

    async with database.read() as session:
        assert list(await session.scalars(select(User.id))) == [ada.id]


@pytest.mark.parametrize("reached", [False, True])
async def test_a_log_in_that_may_be_stored(database, faults, reached):
    """Whether or not a lost COMMIT was done, coming in again gives the one player."""
    faults.drop_connection(at="COMMIT", reached=reached)
    with pytest.raises(CommitUnknownError):
        await database.run(log_in, ADA)
    ada = await database.run(log_in, ADA)

    async with database.read() as session:
        assert list(await session.scalars(select(User.id))) == [ada.id]


async def test_the_same_id_at_another_provider_is_another_player(session):
    """An identity is the provider and the id."""
    google = await come_in(ADA)
    discord = await come_in(replace(ADA, provider=OAuthProvider.DISCORD, email="d@example.test"))

    assert google.id != discord.id


async def test_the_email_of_another_player_is_refused(session):
    """An email address opens nobody else's account: one line says so, and nothing is written."""
    await come_in(ADA)

    with pytest.raises(EmailTakenError, match="already belongs to another account") as error:
        await come_in(replace(ADA, provider=OAuthProvider.DISCORD))

    assert "\n" not in str(error.value)
    assert await session.scalar(select(func.count()).select_from(User)) == 1


async def test_the_session_is_usable_after_a_refusal(session):
    """A refused log-in does not spoil the transaction of the caller."""
    await come_in(ADA)

    with pytest.raises(EmailTakenError):
        await log_in(session, replace(ADA, oauth_id="other"))
    assert (await log_in(session, ADA)).display_name == "Ada"


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("A" * 65, "A" * 64),
        ("A\0d\na\ud800", "Ada"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("", "Player"),
        (" \u200b\u202e", "Player"),
    ],
)
async def test_a_display_name_is_made_to_fit(session, given, stored):
    """A name that cannot be stored as it is keeps nobody out."""
    ada = await come_in(replace(ADA, display_name=given))

    assert (await session.get_one(User, ada.id)).display_name == stored


@pytest.mark.parametrize(
    "given", ["", "https://" + "x" * 2048, "https://a/\0", "https://\ud800", "javascript:alert(1)"]
)
async def test_an_avatar_that_cannot_be_used_is_left_out(session, given):
    """The player comes in without it."""
    ada = await come_in(replace(ADA, avatar_url=given))

    assert (await session.get_one(User, ada.id)).avatar_url is None


@pytest.mark.parametrize("wrong", ["", " ", "x" * 321, "a\0", "\ud800"])
@pytest.mark.parametrize("field", ["oauth_id", "email"])
async def test_an_identity_that_is_none_is_refused(session, field, wrong):
    """Who somebody is is never mended: one line names the field, and nothing is written."""
    with pytest.raises(InvalidInputError, match=f"^{field} from the provider is") as error:
        await come_in(replace(ADA, **{field: wrong}))

    assert "\n" not in str(error.value)
    assert await session.scalar(select(func.count()).select_from(User)) == 0


async def test_all_that_is_wrong_with_an_identity_is_named(session):
    """A wrong id and a wrong address are one error."""
    with pytest.raises(InvalidInputError, match=r"^oauth_id from .*; email from the provider is"):
        await come_in(replace(ADA, oauth_id="", email="a\0"))


async def test_find_a_player(session, player):
    """A player is found by id and by exactly the address."""
    player_id, email = player.id, player.email

    assert (await get_player(session, player_id)).email == email
    assert (await lock_player(session, player_id)).email == email
    for named in (email, str(player_id), player_id.hex.upper()):
        assert (await find_player(session, named)).id == player_id


@pytest.mark.parametrize(
    "named", ["PLAYER1@example.test", "nobody@example.test", "", "nul\0", "\ud800", "x" * 9_999]
)
async def test_somebody_who_is_not_found(session, player, named):
    """What names nobody is repeated in one short line."""
    with pytest.raises(NotFoundError, match=r"^there is no player '") as error:
        await find_player(session, named)

    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("use", [get_player, lock_player, delete_player])
async def test_a_player_who_does_not_exist(session, use):
    """One line names the id."""
    nobody = uuid.uuid4()

    with pytest.raises(NotFoundError, match=f"^there is no player {nobody}$"):
        await use(session, nobody)


async def test_pages_of_players(session, store, make):
    """Page by page every player is listed once, the oldest first, and no page is empty."""
    players = [make.user() for _ in range(6)]
    await store(*players)
    ids = list(await session.scalars(select(User.id).order_by(User.created_at, User.id)))

    first = await list_players(session, limit=4)
    last = await list_players(session, after=first.next, limit=2)
    assert [player.id for player in [*first.items, *last.items]] == ids
    assert len(first.items) == 4
    assert last.next is None


@pytest.mark.parametrize("after", ["", "nowhere", "7-7", "\ud800"])
async def test_a_page_after_nothing(session, after):
    """What no page gave as `next` is one line."""
    with pytest.raises(ConfigurationError, match=r"^after is .*the page before has given"):
        await list_players(session, after=after)


@pytest.mark.parametrize("limit", [0, -1, 10_001, 1.5, True, None])
async def test_a_page_without_a_size(session, limit):
    """A limit that is none is one line."""
    with pytest.raises(InvalidInputError, match=r"^limit is .*; it is between 1 and 10000$"):
        await list_players(session, limit=limit)


async def test_a_player_is_deleted_with_everything(session, player, rival, begin):
    """What the player owns goes along; others keep theirs."""
    rivals = rival.id
    player_id = await begin()
    for each in (player_id, rivals):
        await add_copies(session, each, {"a": 1}, CardSource.REWARD)
    await delete_player(session, player_id)
    await session.commit()

    assert list(await session.scalars(select(User.id))) == [rivals]
    assert list(await session.scalars(select(Collection.user_id))) == [rivals]
    assert await session.scalar(select(func.count()).select_from(CampaignProgress)) == 0


@OWN_DATABASE
async def test_a_player_is_deleted_while_opening_a_booster(session, begin, until_blocked):
    """The deletion waits for the booster, and neither is turned away as a deadlock."""
    player_id = await begin(booster_packs=1)

    async with get_session() as own:
        await take_pack(own, player_id)
        deletion = asyncio.create_task(remove(player_id))
        await until_blocked()
        await add_copies(own, player_id, {"a": 1}, CardSource.BOOSTER)

    await deletion
    assert await session.scalar(select(func.count()).select_from(User)) == 0


async def remove(player_id):
    async with get_session() as session:
        await delete_player(session, player_id)
