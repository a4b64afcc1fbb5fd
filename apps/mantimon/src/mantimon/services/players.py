"""Players come in through an OAuth provider, and are the same player every time."""

from dataclasses import dataclass

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.models import clock_timestamp
from mantimon.db.models import OAuthProvider, User
from mantimon.errors import EmailTakenError


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

    Two first log-ins at once make one player. The profile of a known player stays as it is.

    Raises:
        EmailTakenError: the email address belongs to a player with another identity. Who holds
            an address at one provider may not be who holds it at another, so they are not
            joined.
    """
    user = await _returning(session, identity) or await _create(session, identity)
    # Nobody was made: another task did it between the two statements, or the email is taken.
    user = user or await _returning(session, identity)
    if user is None:
        raise EmailTakenError(
            f"{identity.email} already belongs to another account; "
            "log in with the provider that was used the first time"
        )
    return user


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
            display_name=identity.display_name,
            avatar_url=identity.avatar_url,
            last_login=clock_timestamp(),
        )
        .on_conflict_do_nothing()
        .returning(User)
    )
    return (await session.scalars(statement)).one_or_none()
