"""Players come in through an OAuth provider, are the same player every time, and may leave."""

import uuid
from dataclasses import dataclass
from unicodedata import category

from sqlalchemy import Select, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.models import clock_timestamp
from holdfast.paging import Page
from mantimon.db.models import ActiveGame, CampaignProgress, OAuthProvider, User
from mantimon.errors import EmailTakenError, InvalidInputError, NotFoundError
from mantimon.services.inputs import fits, show
from mantimon.services.paging import read_page

# The lengths of the columns.
LONGEST_OAUTH_ID = 255
LONGEST_EMAIL = 320
LONGEST_NAME = 64
LONGEST_AVATAR = 2048
NAMELESS = "Player"
_UNWANTED = frozenset({"Cc", "Cs"})  # control characters, and halves of one


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What an OAuth provider says about somebody who logs in."""

    provider: OAuthProvider
    oauth_id: str
    email: str
    display_name: str
    avatar_url: str | None = None


async def log_in(session: AsyncSession, identity: Identity) -> User:
    """Give the player with this identity, made at the first log-in, and note the time.

    Two first log-ins at once make one player: the second waits for the first, and makes the
    player itself when that one dies or is rolled back. The profile of a known player stays as it
    is.

    Nobody is kept out by a provider's taste in names: a display name is stored without control
    characters and cut to 64 characters, and an avatar that is no http(s) URL of at most 2048
    printable characters is left out. Who somebody is must be exact, so it is never mended.

    Raises:
        InvalidInputError: `oauth_id` (1 to 255) or `email` (1 to 320) is empty, too long or not
            printable; both are named. Nothing is written.
        EmailTakenError: the email address belongs to a player with another identity. Who holds
            an address at one provider may not be who holds it at another, so they are not
            joined.
    """
    _require_exact(identity)
    user = await _returning(session, identity) or await _create(session, identity)
    # Nobody was made: another task did it between the two statements, or the email is taken.
    user = user or await _returning(session, identity)
    if user is None:
        raise EmailTakenError(
            f"{identity.email} already belongs to another account; "
            "log in with the provider that was used the first time"
        )
    return user


async def get_player(session: AsyncSession, user_id: uuid.UUID) -> User:
    """Give a player.

    Raises:
        NotFoundError: there is no such player.
    """
    return _require(user_id, await session.scalar(_of(user_id)))


async def lock_player(session: AsyncSession, user_id: uuid.UUID) -> User:
    """Give a player as the account is now, and let nobody else change it in the meantime.

    Others wait until the transaction ends; reading, and storing what belongs to the player, goes
    on.

    Raises:
        NotFoundError: there is no such player.
    """
    locked = _of(user_id).with_for_update(key_share=True)
    return _require(user_id, await session.scalar(locked))


async def find_player(session: AsyncSession, named: str) -> User:
    """Give the player that an id, or exactly the e-mail address, names.

    Raises:
        NotFoundError: there is no such player.
    """
    try:
        return await get_player(session, uuid.UUID(named))
    except ValueError:
        user = await _with_email(session, named)
    if user is None:
        raise NotFoundError(f"there is no player {show(named)}")
    return user


async def list_players(
    session: AsyncSession, *, after: str | None = None, limit: int = 100
) -> Page[User]:
    """Give a page of the players, the oldest account first.

    Args:
        session: also one of `Database.read()`.
        after: `next` of the page before.
        limit: 1 to 10,000 of them.

    Raises:
        InvalidInputError: the limit is not between 1 and 10,000.
        ConfigurationError: no page ended at `after`.
    """
    return await read_page(session, User, select(User), after=after, limit=limit)


async def delete_player(session: AsyncSession, user_id: uuid.UUID) -> None:
    """Delete a player with all that is the player's; games that were played stay without a name.

    Raises:
        NotFoundError: there is no such player. Nothing is written.
    """
    # In the order in which the end of a game and a booster take the rows, so that none waits for
    # another in a circle.
    playing = or_(ActiveGame.player1_id == user_id, ActiveGame.player2_id == user_id)
    games = select(ActiveGame.id).where(playing).order_by(ActiveGame.id)
    await session.execute(games.with_for_update())
    campaign = select(CampaignProgress.id).where(CampaignProgress.user_id == user_id)
    await session.execute(campaign.with_for_update())
    gone = await session.scalar(delete(User).where(User.id == user_id).returning(User.id))
    if gone is None:
        raise _unknown(user_id)


async def _with_email(session: AsyncSession, email: str) -> User | None:
    if not fits(email, LONGEST_EMAIL):
        return None
    return (await session.scalars(select(User).where(User.email == email))).one_or_none()


def _of(user_id: uuid.UUID) -> Select[User]:
    # As it is stored, not as the session has seen it before.
    return select(User).where(User.id == user_id).execution_options(populate_existing=True)


def _require(user_id: uuid.UUID, user: User | None) -> User:
    if user is None:
        raise _unknown(user_id)
    return user


def _unknown(user_id: uuid.UUID) -> NotFoundError:
    return NotFoundError(f"there is no player {user_id}")


async def _returning(session: AsyncSession, identity: Identity) -> User | None:
    statement = (
        update(User)
        .where(User.oauth_provider == identity.provider, User.oauth_id == identity.oauth_id)
        .values(last_login=clock_timestamp())
        .returning(User)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    return (await session.scalars(statement)).one_or_none()


async def _create(session: AsyncSession, identity: Identity) -> User | None:
    # No conflict target: the email may be met as well as the identity, in either order.
    statement = (
        insert(User)
        .values(
            oauth_provider=identity.provider,
            oauth_id=identity.oauth_id,
            email=identity.email,
            display_name=_name(identity.display_name),
            avatar_url=_avatar(identity.avatar_url),
            last_login=clock_timestamp(),
        )
        .on_conflict_do_nothing()
        .returning(User)
    )
    return (await session.scalars(statement)).one_or_none()


def _require_exact(identity: Identity) -> None:
    exact = (
        ("oauth_id", identity.oauth_id, LONGEST_OAUTH_ID),
        ("email", identity.email, LONGEST_EMAIL),
    )
    wrong = [
        f"{field} from the provider is {show(value)}; it has 1 to {most} printable characters"
        for field, value, most in exact
        if not fits(value, most) or not value.strip()
    ]
    if wrong:
        raise InvalidInputError("; ".join(wrong))


def _name(given: str) -> str:
    kept = "".join(each for each in given if category(each) not in _UNWANTED)[:LONGEST_NAME]
    seen = any(each.isprintable() and not each.isspace() for each in kept)
    return kept if seen else NAMELESS


def _avatar(given: str | None) -> str | None:
    usable = given and fits(given, LONGEST_AVATAR) and given.startswith(("https://", "http://"))
    return given if usable else None
