"""Users: made once, found by id, subject or e-mail, and gone with all that is theirs."""

import uuid

from sqlalchemy import ColumnElement, delete, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from faceplate.emails import checked_email
from faceplate.errors import FaceplateError, NotFoundError, TakenError
from faceplate.models import User
from faceplate.services.inputs import require_limit, require_name, show
from faceplate.services.refusals import refusing
from holdfast.paging import Page, make_page, read_place

LONGEST_SUBJECT = 255


async def create_user(session: AsyncSession, *, email: str, subject_id: str) -> User:
    """Store a new user.

    Args:
        session: the caller commits.
        email: an address; see `faceplate.emails.checked_email`.
        subject_id: who this is to the identity provider, 1 to 255 printable characters.

    Raises:
        InvalidInputError: one of them is none. Nothing is written.
        TakenError: another user has the address or the subject. The transaction has failed.
    """
    require_name("subject_id", subject_id, LONGEST_SUBJECT)
    user = User(email=email, subject_id=subject_id)
    session.add(user)
    with refusing(_taken(user)):
        await session.flush()
    return user


async def ensure_user(session: AsyncSession, *, email: str, subject_id: str) -> User:
    """Give the user with this subject, made when there is none yet, as at a first log-in.

    Two first log-ins at once make one user. The address of a known user stays as it is.

    Raises:
        InvalidInputError: as for `create_user`.
        TakenError: another user has the address. Who holds an address now may not be who held
            it then, so they are not joined.
    """
    require_name("subject_id", subject_id, LONGEST_SUBJECT)
    known = await _find(session, User.subject_id == subject_id)
    known = known or await _insert(session, checked_email(email), subject_id)
    # Nobody was made: another task did it between the two statements, or the address is taken.
    known = known or await _find(session, User.subject_id == subject_id)
    if known is None:
        raise TakenError(f"e-mail {show(email)} belongs to another user")
    return known


async def get_user(session: AsyncSession, user_id: uuid.UUID) -> User:
    """Give a user.

    Raises:
        NotFoundError: there is no such user.
    """
    user = await session.get(User, user_id)
    if user is None:
        raise NotFoundError(f"there is no user {user_id}")
    return user


async def find_user(
    session: AsyncSession, *, email: str | None = None, subject_id: str | None = None
) -> User | None:
    """Give the user with an address, a subject, or both; None where there is none."""
    wanted = []
    if email is not None:
        wanted.append(User.email == checked_email(email))
    if subject_id is not None:
        wanted.append(User.subject_id == subject_id)
    return await _find(session, *wanted) if wanted else None


async def list_users(
    session: AsyncSession, *, after: str | None = None, limit: int = 100
) -> Page[User]:
    """Give users, the oldest first.

    Args:
        session: also one of `Database.read()`.
        after: `next` of the page before.
        limit: 1 to 10,000 of them.

    Raises:
        InvalidInputError: the limit or the place is none.
    """
    require_limit("limit", limit)
    statement = select(User).order_by(User.created_at, User.id).limit(limit + 1)
    if after is not None:
        statement = statement.where(tuple_(User.created_at, User.id) > read_place(after))
    rows = (await session.scalars(statement)).all()
    return make_page(rows, limit, lambda user: (user.created_at, user.id))


async def delete_user(session: AsyncSession, user_id: uuid.UUID) -> None:
    """Delete a user with all conversations, messages and configurations, in one statement.

    Raises:
        NotFoundError: there is no such user.
    """
    gone = await session.scalar(delete(User).where(User.id == user_id).returning(User.id))
    if gone is None:
        raise NotFoundError(f"there is no user {user_id}")


async def _find(session: AsyncSession, *wanted: ColumnElement[bool]) -> User | None:
    return (await session.scalars(select(User).where(*wanted))).one_or_none()


async def _insert(session: AsyncSession, email: str, subject_id: str) -> User | None:
    # No conflict target: the address may be met as well as the subject, in either order.
    new = insert(User).values(email=email, subject_id=subject_id)
    return (await session.scalars(new.on_conflict_do_nothing().returning(User))).one_or_none()


def _taken(user: User) -> dict[str, FaceplateError]:
    return {
        "ix_users_email": TakenError(f"e-mail {show(user.email)} belongs to another user"),
        "ix_users_subject_id": TakenError(f"subject {show(user.subject_id)} is a user already"),
    }
