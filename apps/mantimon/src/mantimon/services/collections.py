"""Add cards to what a player owns, and read it."""

import uuid
from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.models import clock_timestamp
from mantimon.db.models import CardSource, Collection
from mantimon.errors import InvalidInputError

MOST_COPIES_AT_ONCE = 10_000  # far above any gift; keeps a slip of the pen out of the table


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
        copies: how many of each card id, at least one.
        source: noted for cards that the player did not have yet.

    Raises:
        InvalidInputError: a quantity is below one; it names all of them. Nothing is written.
        sqlalchemy.exc.IntegrityError: there is no such player.
    """
    _require_quantities(copies)
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
    return dict((await session.execute(statement, rows)).all())


async def get_owned(session: AsyncSession, user_id: uuid.UUID) -> dict[str, int]:
    """Give the quantity of every card that a player owns, by card id in order."""
    statement = (
        select(Collection.card_definition_id, Collection.quantity)
        .where(Collection.user_id == user_id)
        .order_by(Collection.card_definition_id)
    )
    return dict((await session.execute(statement)).all())


def _require_quantities(copies: Mapping[str, int]) -> None:
    wrong = [
        f"{card}: {quantity!r}"
        for card, quantity in sorted(copies.items())
        if not isinstance(quantity, int) or not 1 <= quantity <= MOST_COPIES_AT_ONCE
    ]
    if wrong:
        raise InvalidInputError(
            f"quantity of {', '.join(wrong)}; it is between 1 and {MOST_COPIES_AT_ONCE}"
        )
