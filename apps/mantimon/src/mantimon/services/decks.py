"""Build decks from the cards that a player owns, change them, and check them again.

A deck and what is wrong with it are written together, while its row is locked: whatever happens at
once, the verdict is that of the list beside it. Cards are only ever added to what a player owns,
so a deck that was valid stays so; one that was not may be by now, which `revalidate` finds out.
"""

import uuid
from collections import Counter
from collections.abc import Mapping

from sqlalchemy import Select, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.paging import Page
from mantimon.cards.definition import ENERGY_TYPES, CardDefinition, CardType, Stage
from mantimon.db.models import Deck
from mantimon.errors import InvalidInputError, NotFoundError
from mantimon.services.card_service import CardService
from mantimon.services.collections import get_owned
from mantimon.services.deck_rules import DECK_SIZE, MOST_OF_A_NAME, DeckList, find_problems
from mantimon.services.inputs import fits, require_counts, show
from mantimon.services.paging import read_page

LONGEST_NAME = 100
# A third of a deck is energy; a suggested deck is filled up with it.
_CARDS_SUGGESTED = 40
_ORDER = {Stage.BASIC: 0, Stage.STAGE_1: 1, Stage.STAGE_2: 2, None: 3}


async def build_deck(
    session: AsyncSession, user_id: uuid.UUID, name: str, deck: DeckList, *, cards: CardService
) -> Deck:
    """Store a deck. One that breaks a rule is stored too, as not valid, with all that is wrong.

    Raises:
        InvalidInputError: the name is empty, too long or not printable; a card id or an element
            has not 1 to 64 printable characters; or a count is not between 1 and 10,000. Nothing
            is written.
        sqlalchemy.exc.IntegrityError: there is no such player.
    """
    _require_name(name)
    _require_list(deck)
    stored = Deck(user_id=user_id, name=name)
    _write(stored, deck, owned=await get_owned(session, user_id), cards=cards)
    session.add(stored)
    await session.flush()
    return stored


async def change_deck(
    session: AsyncSession,
    user_id: uuid.UUID,
    deck_id: uuid.UUID,
    deck: DeckList,
    *,
    cards: CardService,
) -> Deck:
    """Replace the list of a player's deck; the verdict on it is made anew.

    Changes of one deck wait for each other, and the last one stays.

    Raises:
        NotFoundError: the player has no such deck. Nothing is written.
        InvalidInputError: as for `build_deck`.
    """
    _require_list(deck)
    stored = await _lock(session, user_id, deck_id)
    _write(stored, deck, owned=await get_owned(session, user_id), cards=cards)
    await session.flush()
    return stored


async def rename_deck(
    session: AsyncSession, user_id: uuid.UUID, deck_id: uuid.UUID, name: str
) -> Deck:
    """Give a player's deck another name.

    Raises:
        NotFoundError: the player has no such deck. Nothing is written.
        InvalidInputError: the name is empty, too long or not printable. Nothing is written.
    """
    _require_name(name)
    stored = await _lock(session, user_id, deck_id)
    stored.name = name
    await session.flush()
    return stored


async def delete_deck(session: AsyncSession, user_id: uuid.UUID, deck_id: uuid.UUID) -> None:
    """Delete a player's deck; the cards stay with the player.

    Raises:
        NotFoundError: the player has no such deck. Nothing is written.
    """
    statement = delete(Deck).where(Deck.id == deck_id, Deck.user_id == user_id)
    if await session.scalar(statement.returning(Deck.id)) is None:
        raise _unknown(user_id, deck_id)


async def get_deck(session: AsyncSession, user_id: uuid.UUID, deck_id: uuid.UUID) -> Deck:
    """Give a player's deck.

    Raises:
        NotFoundError: the player has no such deck.
    """
    return _require(user_id, deck_id, await session.scalar(_of(user_id, deck_id)))


async def list_decks(
    session: AsyncSession,
    user_id: uuid.UUID,
    *,
    after: str | None = None,
    limit: int = 100,
) -> Page[Deck]:
    """Give a page of a player's decks, the oldest first.

    Args:
        session: also one of `Database.read()`.
        user_id: the player.
        after: `next` of the page before.
        limit: 1 to 10,000 of them.

    Raises:
        InvalidInputError: the limit is not between 1 and 10,000.
        ConfigurationError: no page ended at `after`.
    """
    return await read_page(session, Deck, _of(user_id), after=after, limit=limit)


async def revalidate(
    session: AsyncSession,
    user_id: uuid.UUID,
    deck_id: uuid.UUID | None = None,
    *,
    cards: CardService,
) -> list[Deck]:
    """Check a player's deck again, or all of them: more may be owned, or the rules be others.

    Raises:
        NotFoundError: the player has no such deck. Nothing is written.
    """
    if deck_id is None:
        # In one order, so that two that check at once do not wait for each other in a circle.
        decks = list(await session.scalars(_locked(_of(user_id).order_by(Deck.id))))
    else:
        decks = [await _lock(session, user_id, deck_id)]
    owned = await get_owned(session, user_id)
    for deck in decks:
        _judge(deck, owned=owned, cards=cards)
    await session.flush()
    return decks


def suggest_deck(owned: Mapping[str, int], *, cards: CardService) -> DeckList:
    """Choose a deck from owned cards: creatures with what they evolve from, then the rest.

    It is valid when a basic creature is owned. Energy of the element that most of the chosen
    creatures have fills it up.
    """
    known = cards.get_cards(list(owned))
    chosen: dict[str, int] = {}
    names: Counter[str] = Counter()
    for card in sorted(known.values(), key=_play_order):
        if card.evolves_from is not None and card.evolves_from not in names:
            continue
        room = min(MOST_OF_A_NAME - names[card.name], _CARDS_SUGGESTED - names.total())
        count = min(owned[card.id], room)
        if count > 0:
            chosen[card.id] = count
            names[card.name] += count
    energy = _main_element([known[card] for card in chosen])
    return DeckList(cards=chosen, energy_cards={energy: DECK_SIZE - names.total()})


def _write(stored: Deck, deck: DeckList, *, owned: Mapping[str, int], cards: CardService) -> None:
    stored.cards, stored.energy_cards = dict(deck.cards), dict(deck.energy_cards)
    _judge(stored, owned=owned, cards=cards)


def _judge(stored: Deck, *, owned: Mapping[str, int], cards: CardService) -> None:
    deck = DeckList(cards=stored.cards, energy_cards=stored.energy_cards)
    problems = find_problems(deck, owned=owned, cards=cards)
    stored.is_valid, stored.validation_errors = not problems, problems or None


def _of(user_id: uuid.UUID, deck_id: uuid.UUID | None = None) -> Select[Deck]:
    owned = select(Deck).where(Deck.user_id == user_id)
    return owned if deck_id is None else owned.where(Deck.id == deck_id)


async def _lock(session: AsyncSession, user_id: uuid.UUID, deck_id: uuid.UUID) -> Deck:
    return _require(user_id, deck_id, await session.scalar(_locked(_of(user_id, deck_id))))


def _locked(statement: Select[Deck]) -> Select[Deck]:
    return statement.with_for_update().execution_options(populate_existing=True)


def _require(user_id: uuid.UUID, deck_id: uuid.UUID, found: Deck | None) -> Deck:
    if found is None:
        raise _unknown(user_id, deck_id)
    return found


def _unknown(user_id: uuid.UUID, deck_id: uuid.UUID) -> NotFoundError:
    return NotFoundError(f"player {user_id} has no deck {deck_id}")


def _play_order(card: CardDefinition) -> tuple[int, str]:
    return (4 if card.type is CardType.ITEM else _ORDER[card.stage]), card.id


def _main_element(chosen: list[CardDefinition]) -> str:
    elements = Counter(card.element for card in chosen if card.element in ENERGY_TYPES)
    return min(ENERGY_TYPES, key=lambda element: -elements[element])


def _require_name(name: str) -> None:
    if not fits(name, LONGEST_NAME) or not name.strip():
        raise InvalidInputError(
            f"the deck's name is {show(name)}; it has 1 to {LONGEST_NAME} printable characters"
        )


def _require_list(deck: DeckList) -> None:
    require_counts("count", deck.cards, deck.energy_cards)
