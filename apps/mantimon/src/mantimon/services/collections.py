"""Add cards to what a player owns, and read it."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.models import clock_timestamp
from holdfast.paging import Page
from mantimon.db.models import CardSource, Collection
from mantimon.errors import InvalidInputError
from mantimon.services.inputs import LARGEST_STORED, require_counts
from mantimon.services.paging import read_page

_OUT_OF_RANGE = "22003"  # numeric_value_out_of_range


async def add_copies(
    session: AsyncSession, user_id: uuid.UUID, copies: Mapping[str, int], source: CardSource
) -> dict[str, int]:
    """Add copies of cards in one atomic statement; return the new quantities by card id.

    Any number of tasks may do so at once for one player: no card is lost, and since every
    statement takes its rows in the order of the card ids, none waits for another in a circle.
    That holds for one call in a transaction: add up what is to be added, then call.
    `Collection` objects that the session has loaded are not refreshed.

    Args:
        session: the caller commits.
        user_id: the player.
        copies: how many of each card id, 1 to 10,000; an id has 1 to 64 printable characters.
        source: noted for cards that the player did not have yet.

    Raises:
        InvalidInputError: an id or a quantity is none; it names all of them. Or a player would
            own more than the table can hold; the transaction has failed then. Nothing is written.
        sqlalchemy.exc.IntegrityError: there is no such player.
    """
    require_counts("quantity", copies)
    if not copies:
        return {}
    new = insert(Collection)
    statement = new.on_conflict_do_update(
        index_elements=["user_id", "card_definition_id"],
        set_={
            "quantity": Collection.quantity + new.excluded.quantity,
            "updated_at": clock_timestamp(),
        },
    ).returning(Collection.card_definition_id, Collection.quantity)
    rows = [
        {"user_id": user_id, "card_definition_id": card, "quantity": copies[card], "source": source}
        for card in sorted(copies)
    ]
    with _refusing_too_many():
        return dict((await session.execute(statement, rows)).all())


async def get_owned(session: AsyncSession, user_id: uuid.UUID) -> dict[str, int]:
    """Give the quantity of every card that a player owns, by card id in order."""
    statement = (
        select(Collection.card_definition_id, Collection.quantity)
        .where(Collection.user_id == user_id)
        .order_by(Collection.card_definition_id)
    )
    return dict((await session.execute(statement)).all())


async def list_owned(
    session: AsyncSession, user_id: uuid.UUID, *, after: str | None = None, limit: int = 100
) -> Page[Collection]:
    """Give a page of the cards that a player owns, in the order in which they first came.

    Args:
        session: also one of `Database.read()`.
        user_id: the player.
        after: `next` of the page before.
        limit: 1 to 10,000 of them.

    Raises:
        InvalidInputError: the limit is not between 1 and 10,000.
        ConfigurationError: no page ended at `after`.
    """
    owned = select(Collection).where(Collection.user_id == user_id)
    return await read_page(session, Collection, owned, after=after, limit=limit)


@contextmanager
def _refusing_too_many() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _OUT_OF_RANGE:
            raise
        raise InvalidInputError(
            f"a player cannot own more than {LARGEST_STORED} copies of a card; "
            "roll the transaction back"
        ) from error
