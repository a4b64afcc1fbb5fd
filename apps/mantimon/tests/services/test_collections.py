"""Adding cards is atomic: whatever happens at once, no card is lost."""

import asyncio
import random
import uuid
from collections import Counter

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from holdfast.testing import count_statements
from mantimon.db.models import CardSource, Collection
from mantimon.db.session import get_session
from mantimon.errors import InvalidInputError
from mantimon.services.boosters import open_booster
from mantimon.services.collections import add_copies, get_owned, list_owned
from mantimon.services.inputs import LARGEST_STORED

# More digits than Python writes, for pytest as well.
HUGE = pytest.param(10**5000, id="huge")
OWN_DATABASE = pytest.mark.holdfast(isolation="database")


async def add(player, copies, source=CardSource.BOOSTER):
    async with get_session() as session:
        return await add_copies(session, player.id, copies, source)


async def test_new_cards_are_owned(session, player):
    """Cards that a player did not have are there, with their source and time."""
    assert await add(player, {"b": 2, "a": 1}, CardSource.STARTER) == {"a": 1, "b": 2}

    rows = (await session.scalars(select(Collection).order_by(Collection.card_definition_id))).all()
    assert [(row.card_definition_id, row.quantity) for row in rows] == [("a", 1), ("b", 2)]
    assert {row.source for row in rows} == {CardSource.STARTER}
    assert {row.id.version for row in rows} == {7}


async def test_more_copies_are_added(session, player):
    """Copies of an owned card are added to it; how it first came is kept."""
    await add(player, {"a": 1}, CardSource.STARTER)
    before = (await session.scalars(select(Collection))).one()
    await session.commit()
    session.expunge_all()

    assert await add(player, {"a": 3, "b": 1}) == {"a": 4, "b": 1}

    row = (await session.scalars(select(Collection).where(Collection.quantity == 4))).one()
    assert (row.id, row.source, row.obtained_at) == (before.id, "starter", before.obtained_at)
    assert row.updated_at > before.updated_at


async def test_many_cards_are_one_statement(db, session, player):
    """Any number of cards is one statement."""
    copies = {f"card-{number:04}": 1 + number % 4 for number in range(372)}

    with count_statements(db, at_most=1):
        assert await add_copies(session, player.id, copies, CardSource.REWARD) == copies
    assert await get_owned(session, player.id) == copies


async def test_nothing_to_add(session, player):
    """An empty booster is no error."""
    assert await add(player, {}) == {}


@OWN_DATABASE
async def test_two_boosters_at_once_lose_no_card(session, begin, cards):
    """Sixty boosters opened at once, all for one player: every card drawn is owned."""
    player_id = await begin(booster_packs=60)

    async def open_one(number):
        async with get_session() as own:
            rng = random.Random(number)
            return await open_booster(own, player_id, "M1", cards=cards, rng=rng)

    boosters = await asyncio.gather(*map(open_one, range(60)))

    drawn = Counter(card.id for booster in boosters for card in booster)
    assert await get_owned(session, player_id) == drawn
    assert drawn.total() == 600


@OWN_DATABASE
async def test_the_same_cards_in_any_order_at_once(session, player):
    """Tasks that add the same cards, each in another order, neither lose one nor deadlock."""
    ids = [f"card-{number:02}" for number in range(40)]

    async def add_shuffled(number):
        shuffled = random.Random(number).sample(ids, len(ids))
        await add(player, dict.fromkeys(shuffled, 2))

    await asyncio.gather(*map(add_shuffled, range(50)))

    assert await get_owned(session, player.id) == dict.fromkeys(ids, 100)


async def test_players_own_their_own_cards(session, player, rival):
    """What one player gets, another does not have."""
    await add(player, {"a": 1})
    await add(rival, {"a": 2, "b": 1})

    assert await get_owned(session, player.id) == {"a": 1}
    assert await get_owned(session, rival.id) == {"a": 2, "b": 1}


@pytest.mark.parametrize("quantity", [0, -1, 10_001, HUGE, 1.5, "2", None, True])
async def test_a_wrong_quantity_is_refused(session, player, quantity):
    """A quantity below one is one line that names the card; nothing is written."""
    with pytest.raises(
        InvalidInputError, match=r"quantity of bad: .*; it is between 1 and"
    ) as error:
        await add(player, {"good": 1, "bad": quantity})

    assert "\n" not in str(error.value)
    assert await session.scalar(select(func.count()).select_from(Collection)) == 0


@pytest.mark.parametrize("wrong", ["", "nul\0", "\ud800", "x" * 65, 7])
async def test_a_wrong_id_is_refused(session, player, wrong):
    """What can be no card id is one line, and nothing is written."""
    with pytest.raises(InvalidInputError, match="is no id; one has 1 to 64 printable characters"):
        await add(player, {"good": 1, wrong: 1})

    assert await session.scalar(select(func.count()).select_from(Collection)) == 0


async def test_more_than_the_table_holds_is_refused(session, player):
    """A quantity that would pass the column's range is one line; what was owned stays."""
    await add(player, {"a": 1, "b": 1})
    await session.execute(update(Collection).values(quantity=LARGEST_STORED))
    await session.commit()

    with pytest.raises(InvalidInputError, match="more than 2147483647 copies of a card") as error:
        await add(player, {"a": 1, "c": 1})

    assert "\n" not in str(error.value)
    assert await get_owned(session, player.id) == {"a": LARGEST_STORED, "b": LARGEST_STORED}


async def test_all_wrong_quantities_are_named(session, player):
    """Every wrong quantity is named at once."""
    with pytest.raises(InvalidInputError, match="quantity of a: 0, c: -2; it is"):
        await add(player, {"a": 0, "b": 1, "c": -2})


async def test_an_unknown_player_is_refused(session, make):
    """Cards for a player who does not exist are refused by the database."""
    nobody = make.user(id=uuid.uuid4())

    with pytest.raises(IntegrityError, match="fk_collections_user_id_users"):
        await add(nobody, {"a": 1})


async def test_a_rolled_back_booster_leaves_nothing(session, player):
    """What a transaction added goes with it."""
    player_id = player.id
    await add_copies(session, player_id, {"a": 1}, CardSource.BOOSTER)
    await session.rollback()

    assert await get_owned(session, player_id) == {}


async def test_pages_of_what_is_owned(session, player, rival):
    """Page by page every card is listed once, as they came, and nobody else's."""
    await add(player, {"b": 1, "c": 2})
    await add(rival, {"a": 1, "z": 1})
    await add(player, {"a": 3, "d": 4, "c": 1})

    first = await list_owned(session, player.id, limit=3)
    last = await list_owned(session, player.id, after=first.next, limit=1)
    listed = [(row.card_definition_id, row.quantity) for row in [*first.items, *last.items]]
    assert listed == [("b", 1), ("c", 3), ("a", 3), ("d", 4)]
    assert last.next is None
