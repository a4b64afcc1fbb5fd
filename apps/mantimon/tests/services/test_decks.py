"""Decks from owned cards: the rules, everything that is wrong at once, and a suggestion."""

import asyncio
import random
import uuid
from collections import Counter
from dataclasses import replace

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import DBAPIError

from mantimon.cards.definition import CardType, Stage
from mantimon.db.models import CardSource, Deck
from mantimon.db.session import get_session
from mantimon.errors import InvalidInputError, NotFoundError
from mantimon.services import deck_rules
from mantimon.services.boosters import draw_booster
from mantimon.services.collections import add_copies, get_owned
from mantimon.services.deck_rules import DeckList, find_problems
from mantimon.services.decks import (
    build_deck,
    change_deck,
    delete_deck,
    get_deck,
    list_decks,
    rename_deck,
    revalidate,
    suggest_deck,
)
from mantimon.services.starters import choose_starter

OWN_DATABASE = pytest.mark.holdfast(isolation="database")
LONG = pytest.param("x" * 100_000, id="long")
# More digits than Python writes, for pytest as well.
HUGE = pytest.param(10**5000, id="huge")


@pytest.fixture(scope="module")
def starter(first_set):
    """Give a deck that follows every rule."""
    return choose_starter("tide", first_set)


def problems(deck, cards, owned=None):
    return find_problems(deck, owned=deck.cards if owned is None else owned, cards=cards)


def test_a_deck_that_follows_the_rules(starter, cards):
    """Nothing is wrong with a starter of somebody who owns it."""
    assert problems(starter, cards) == []
    assert starter.size == 60


def test_a_deck_of_one_card(cards):
    """It is told as one card."""
    deck = DeckList(cards={}, energy_cards={"tide": 1})

    assert "the deck has 1 card; it needs 60" in problems(deck, cards)


@pytest.mark.parametrize(("energy", "size"), [(19, 59), (21, 61)])
def test_a_deck_has_sixty_cards(starter, cards, energy, size):
    """A card too few or too many is told with the number."""
    deck = DeckList(cards=starter.cards, energy_cards={"tide": energy})

    assert problems(deck, cards) == [f"the deck has {size} cards; it needs 60"]


def test_cards_must_be_owned(starter, cards):
    """Each card of which too few are owned is told, with both numbers."""
    card, count = next(iter(starter.cards.items()))
    name = cards.get_card(card).name

    few = {**starter.cards, card: count - 1}
    assert problems(starter, cards, owned=few) == [
        f"{name} ({card}): {count} in the deck, {count - 1} owned"
    ]
    assert len(problems(starter, cards, owned={})) == len(starter.cards)


def test_at_most_four_of_a_name(first_set, cards):
    """Five of one printing, or of two printings of one name, are too many."""
    basic = next(card for card in first_set if card.stage is Stage.BASIC)
    counts = Counter(card.name for card in first_set if card.name != basic.name)
    reprinted = counts.most_common(1)[0][0]
    one, other, *_ = [card.id for card in first_set if card.name == reprinted]
    deck = DeckList(cards={basic.id: 5, one: 3, other: 2}, energy_cards={"tide": 50})

    assert problems(deck, cards) == [
        f"{name}: 5 in the deck; 4 of a name are allowed"
        for name in sorted([basic.name, reprinted])
    ]


def test_a_basic_creature_is_needed(first_set, cards):
    """A deck of items alone cannot begin a game."""
    items = [card for card in first_set if card.type is CardType.ITEM]
    deck = DeckList(cards={card.id: 4 for card in items[:5]}, energy_cards={"tide": 40})

    assert problems(deck, cards) == ["the deck has no basic creature, so no game can begin with it"]


def test_unknown_cards_and_energy(starter, cards):
    """Cards and elements that do not exist are told, each."""
    deck = DeckList(cards=starter.cards, energy_cards={"tide": 17, "neutral": 1, "gold": 2})

    assert problems(deck, cards) == ["there is no 'gold' energy", "there is no 'neutral' energy"]
    assert "there is no card 'm9-001'" in problems(DeckList(cards={"m9-001": 1}), cards)


async def test_a_deck_is_stored(session, player, starter, cards):
    """A deck that follows the rules is stored as valid, without errors."""
    await add_copies(session, player.id, starter.cards, CardSource.STARTER)
    deck = await build_deck(session, player.id, "First", starter, cards=cards)
    await session.commit()
    session.expunge_all()

    read = await session.get_one(Deck, deck.id)
    assert (read.name, read.is_valid, read.validation_errors) == ("First", True, None)
    assert (read.cards, read.energy_cards) == (starter.cards, starter.energy_cards)


async def test_everything_that_is_wrong_is_stored(session, player, starter, cards):
    """A deck that breaks several rules is kept, with all of them."""
    card, count = next(iter(starter.cards.items()))
    wrong = DeckList(cards={card: count, "m9-001": 1}, energy_cards={"gold": 1})
    deck = await build_deck(session, player.id, "Wrong", wrong, cards=cards)
    await session.commit()
    session.expunge_all()

    read = await session.get_one(Deck, deck.id)
    assert read.is_valid is False
    assert read.validation_errors == [
        f"the deck has {count + 2} cards; it needs 60",
        "there is no card 'm9-001'",
        "there is no 'gold' energy",
        f"{cards.get_card(card).name} ({card}): {count} in the deck, 0 owned",
    ]


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "nul\x00", "line\nbreak", "\ud800"])
async def test_a_wrong_name_is_refused(session, player, starter, cards, name):
    """A name that is no name is one line, and nothing is written."""
    with pytest.raises(InvalidInputError, match="it has 1 to 100 printable characters") as error:
        await build_deck(session, player.id, name, starter, cards=cards)

    assert "\n" not in str(error.value)
    assert await session.scalar(select(func.count()).select_from(Deck)) == 0


@pytest.mark.parametrize("count", [0, -1, 1.5, "4", None, True, 10_001, HUGE])
async def test_a_wrong_count_is_refused(session, player, starter, cards, count):
    """A count that is none is one line that names the card, and nothing is written."""
    for wrong in (
        DeckList(cards={**starter.cards, "bad": count}, energy_cards={"tide": 20}),
        DeckList(cards=starter.cards, energy_cards={"bad": count}),
    ):
        with pytest.raises(InvalidInputError, match="count of bad: "):
            await build_deck(session, player.id, "Deck", wrong, cards=cards)

    assert await session.scalar(select(func.count()).select_from(Deck)) == 0


@pytest.mark.parametrize("wrong", ["", "nul\0", "\ud800", "x" * 65, LONG, 7])
async def test_a_wrong_id_is_refused(session, player, starter, cards, wrong):
    """What can be no card or element is one short line, and nothing is written."""
    for deck in (
        DeckList(cards={**starter.cards, wrong: 1}, energy_cards={"tide": 20}),
        DeckList(cards=starter.cards, energy_cards={wrong: 1}),
    ):
        with pytest.raises(InvalidInputError, match="is no id; one has 1 to 64") as error:
            await build_deck(session, player.id, "Deck", deck, cards=cards)

        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 200

    assert await session.scalar(select(func.count()).select_from(Deck)) == 0


@pytest.mark.parametrize("seed", range(20))
def test_a_suggestion_follows_the_rules(first_set, cards, seed):
    """Whatever was drawn from some boosters, the suggested deck can be played."""
    rng = random.Random(seed)
    owned = Counter(card.id for _ in range(1 + seed) for card in draw_booster(first_set, rng))
    deck = suggest_deck(owned, cards=cards)

    assert problems(deck, cards, owned=owned) == []


def test_a_suggestion_leaves_out_what_cannot_be_played(first_set, cards):
    """A creature is not chosen without what it evolves from, nor a card that no longer exists."""
    basic = next(card for card in first_set if card.stage is Stage.BASIC)
    orphan = next(
        card
        for card in first_set
        if card.stage is Stage.STAGE_1 and card.evolves_from != basic.name
    )
    deck = suggest_deck({basic.id: 9, orphan.id: 4, "gone": 4}, cards=cards)

    assert deck.cards == {basic.id: 4}
    assert deck.energy_cards == {basic.element: 56}


@pytest.fixture
async def stored(session, player, starter, cards):
    """Give a valid deck of the player's, stored."""
    await add_copies(session, player.id, starter.cards, CardSource.STARTER)
    deck = await build_deck(session, player.id, "First", starter, cards=cards)
    await session.commit()
    return deck


async def change(owner_id, deck_id, deck, cards):
    async with get_session() as own:
        return await change_deck(own, owner_id, deck_id, deck, cards=cards)


async def check(owner_id, deck_id, cards):
    async with get_session() as own:
        return await revalidate(own, owner_id, deck_id, cards=cards)


def without_one(deck):
    """Give a list with one energy less."""
    (element, count), *_ = deck.energy_cards.items()
    return replace(deck, energy_cards={element: count - 1})


async def test_a_deck_with_everything_wrong(session, player, first_set, cards):
    """An unknown card, 61 cards, five of a name, no basic, not owned: all are told at once."""
    item = next(card for card in first_set if card.type is CardType.ITEM)
    deck = DeckList(cards={item.id: 5, "m9-001": 1}, energy_cards={"tide": 55})
    await add_copies(session, player.id, {item.id: 2}, CardSource.REWARD)
    built = await build_deck(session, player.id, "Wrong", deck, cards=cards)

    assert built.is_valid is False
    assert built.validation_errors == [
        "the deck has 61 cards; it needs 60",
        "there is no card 'm9-001'",
        f"{item.name} ({item.id}): 5 in the deck, 2 owned",
        f"{item.name}: 5 in the deck; 4 of a name are allowed",
        "the deck has no basic creature, so no game can begin with it",
    ]


async def test_a_changed_list(session, stored, starter, cards):
    """A list takes the place of the one before, with what is wrong with it; then with nothing."""
    wrong = await change_deck(session, stored.user_id, stored.id, without_one(starter), cards=cards)
    assert (wrong.is_valid, wrong.validation_errors) == (
        False, ["the deck has 59 cards; it needs 60"],
    )  # fmt: skip
    await change_deck(session, stored.user_id, stored.id, starter, cards=cards)
    await session.commit()
    session.expunge_all()

    read = await session.get_one(Deck, stored.id)
    assert (read.name, read.cards, read.energy_cards) == (
        "First", starter.cards, starter.energy_cards,
    )  # fmt: skip
    assert (read.is_valid, read.validation_errors) == (True, None)
    assert read.updated_at > read.created_at


async def test_a_changed_name(session, stored, starter):
    """A deck gets another name and keeps its list."""
    await rename_deck(session, stored.user_id, stored.id, "Second")
    await session.commit()
    session.expunge_all()

    read = await session.get_one(Deck, stored.id)
    assert (read.name, read.cards, read.is_valid) == ("Second", starter.cards, True)


async def test_a_deleted_deck(session, stored, starter):
    """A deck goes; its cards stay with the player."""
    await delete_deck(session, stored.user_id, stored.id)

    assert (await list_decks(session, stored.user_id)).items == []
    assert await get_owned(session, stored.user_id) == starter.cards


async def test_pages_of_decks(session, player, rival, make, store):
    """Page by page every deck of a player is listed once, the oldest first, and nobody else's."""
    player_id = player.id
    decks = [make.deck(player, name=f"Deck {number}") for number in range(5)]
    await store(make.deck(rival), *decks)

    first = await list_decks(session, player_id, limit=3)
    last = await list_decks(session, player_id, after=first.next, limit=2)
    assert [deck.name for deck in first.items] == ["Deck 0", "Deck 1", "Deck 2"]
    assert [deck.name for deck in last.items] == ["Deck 3", "Deck 4"]
    assert last.next is None


async def test_the_deck_of_another(session, rival, stored, starter, cards):
    """Another player's deck is as little found as none: one line names both, nothing is changed."""
    for owner, deck_id in ((rival.id, stored.id), (stored.user_id, uuid.uuid4())):
        for asked in (
            get_deck(session, owner, deck_id),
            change_deck(session, owner, deck_id, starter, cards=cards),
            rename_deck(session, owner, deck_id, "Mine"),
            delete_deck(session, owner, deck_id),
            revalidate(session, owner, deck_id, cards=cards),
        ):
            with pytest.raises(NotFoundError, match=f"^player {owner} has no deck {deck_id}$"):
                await asked

    assert (await get_deck(session, stored.user_id, stored.id)).name == "First"


@pytest.mark.parametrize("count", [0, -1, True, 1.5, None, 10_001, HUGE])
async def test_a_change_to_a_wrong_count(session, stored, starter, cards, count):
    """A list with a count that is none is refused, and the deck stays as it is."""
    wrong = DeckList(cards={**starter.cards, "bad": count})
    with pytest.raises(InvalidInputError, match="count of bad: "):
        await change_deck(session, stored.user_id, stored.id, wrong, cards=cards)

    assert (await get_deck(session, stored.user_id, stored.id)).cards == starter.cards


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "nul\x00", "\ud800"])
async def test_a_change_to_a_wrong_name(session, stored, name):
    """A name that is none is refused, and the deck keeps its own."""
    with pytest.raises(InvalidInputError, match="it has 1 to 100 printable characters"):
        await rename_deck(session, stored.user_id, stored.id, name)

    assert (await get_deck(session, stored.user_id, stored.id)).name == "First"


async def test_checked_again_when_more_is_owned(session, player, starter, cards):
    """A deck of cards that were not owned is valid once they are, and only when it is checked."""
    deck = await build_deck(session, player.id, "Dream", starter, cards=cards)
    assert "0 owned" in deck.validation_errors[0]
    await add_copies(session, player.id, starter.cards, CardSource.REWARD)
    await session.commit()
    assert deck.is_valid is False

    await revalidate(session, player.id, deck.id, cards=cards)
    await session.commit()
    session.expunge_all()
    read = await session.get_one(Deck, deck.id)
    assert (read.is_valid, read.validation_errors) == (True, None)


async def test_all_are_checked_again_when_the_rules_change(
    session, stored, starter, cards, monkeypatch
):
    """Each deck of a player is judged by the rules of now."""
    await build_deck(session, stored.user_id, "Short", without_one(starter), cards=cards)
    await session.commit()
    monkeypatch.setattr(deck_rules, "DECK_SIZE", 59)

    checked = await revalidate(session, stored.user_id, cards=cards)
    assert [(deck.name, deck.is_valid, deck.validation_errors) for deck in checked] == [
        ("First", False, ["the deck has 60 cards; it needs 59"]),
        ("Short", True, None),
    ]


async def test_nothing_to_check(session, player, cards):
    """Nobody needs to have a deck."""
    assert await revalidate(session, player.id, cards=cards) == []


@OWN_DATABASE
async def test_a_check_waits_for_a_change(session, stored, starter, cards, until_blocked):
    """The verdict of a check is on the list that is stored, not on the one before it."""
    await session.execute(update(Deck).values(is_valid=False, validation_errors=["old"]))
    await session.commit()
    player_id, deck_id = stored.user_id, stored.id
    async with get_session() as own:
        await change_deck(own, player_id, deck_id, without_one(starter), cards=cards)
        checking = asyncio.create_task(check(player_id, deck_id, cards))
        await until_blocked()

    [checked] = await checking
    assert checked.energy_cards == without_one(starter).energy_cards
    assert checked.validation_errors == ["the deck has 59 cards; it needs 60"]


@OWN_DATABASE
async def test_changes_at_once(session, stored, starter, cards):
    """Of many changes and checks at once one list stays whole, with its own verdict."""
    player_id, deck_id = stored.user_id, stored.id
    lists = [starter, without_one(starter), DeckList(cards={}, energy_cards={"tide": 60})]
    await asyncio.gather(
        *(change(player_id, deck_id, lists[number % 3], cards) for number in range(15)),
        *(check(player_id, None, cards) for _ in range(5)),
    )

    await session.refresh(stored)
    now = DeckList(cards=stored.cards, energy_cards=stored.energy_cards)
    assert now in lists
    wrong = problems(now, cards, owned=starter.cards)
    assert (stored.is_valid, stored.validation_errors or []) == (not wrong, wrong)


@OWN_DATABASE
async def test_a_change_that_is_cut_off(faults, session, stored, starter, cards):
    """When the connection dies before the end, list and verdict are those from before."""
    faults.drop_connection(at="UPDATE", reached=True)
    with pytest.raises(DBAPIError):
        await change(stored.user_id, stored.id, without_one(starter), cards)

    await session.refresh(stored)
    assert (stored.energy_cards, stored.is_valid) == (starter.energy_cards, True)


@OWN_DATABASE
async def test_a_change_to_a_deck_that_goes(session, stored, starter, cards, until_blocked):
    """A change that waits for a deletion finds no deck, and brings none back."""
    player_id, deck_id = stored.user_id, stored.id
    async with get_session() as own:
        await delete_deck(own, player_id, deck_id)
        changing = asyncio.create_task(change(player_id, deck_id, starter, cards))
        await until_blocked()

    with pytest.raises(NotFoundError, match="has no deck"):
        await changing
    assert await session.scalar(select(func.count()).select_from(Deck)) == 0


async def test_a_count_that_is_none_of_what_is_there_twice(session, player, cards):
    """A name among the cards and the energies is compared with neither, only said."""
    odd = DeckList(cards={"tide": 1}, energy_cards={"tide": None})

    with pytest.raises(InvalidInputError, match=r"^count of tide: None; it is between 1 and"):
        await build_deck(session, player.id, "Odd", odd, cards=cards)
