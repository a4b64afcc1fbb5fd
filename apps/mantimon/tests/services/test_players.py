"""Players come in, and are the same player every time, also when they come in twice at once."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from mantimon.db.models import OAuthProvider, User
from mantimon.db.session import get_session
from mantimon.errors import EmailTakenError, InvalidInputError
from mantimon.services.players import Identity, log_in

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


@pytest.mark.holdfast(isolation="database")
async def test_many_first_log_ins_at_once_make_one_player(session):
    """Twenty tasks that come in with one identity, for the first time, are one player."""
    for number in range(5):
        identity = replace(ADA, oauth_id=f"id-{number}", email=f"{number}@example.test")
        players = await asyncio.gather(*(come_in(identity) for _ in range(20)))
        assert len({player.id for player in players}) == 1

    assert await session.scalar(select(func.count()).select_from(User)) == 5


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
    [("A" * 65, "A" * 64), ("A\0d\na\ud800", "Ada"), ("👩\u200d🚀", "👩\u200d🚀"), ("", "")],
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
