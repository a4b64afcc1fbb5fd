"""Call use cases on the database that the settings name."""

import uuid

from sqlalchemy.ext.asyncio import AsyncSession

from faceplate.config import get_settings
from faceplate.db.session import make_database
from faceplate.errors import NotFoundError
from faceplate.models import User
from faceplate.services.users import find_user, get_user
from holdfast.cli import Runner

_runner = Runner(
    # A command asks one thing after the other.
    lambda: make_database(get_settings().database_url.get_secret_value(), connections=1)
)
do, ask = _runner.do, _runner.ask


async def require_user(session: AsyncSession, named: str) -> User:
    """Give the user that an id or an e-mail address names.

    Raises:
        InvalidInputError: it is neither.
        NotFoundError: there is no such user.
    """
    try:
        return await get_user(session, uuid.UUID(named))
    except ValueError:
        user = await find_user(session, email=named)
    if user is None:
        raise NotFoundError(f"there is no user {named}")
    return user
