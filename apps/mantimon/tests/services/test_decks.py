"""Decks from owned cards: the rules, everything that is wrong at once, and a suggestion."""

import random
from collections import Counter

import pytest
from sqlalchemy import func, select

from mantimon.cards.definition import CardType, Stage
from mantimon.db.models import CardSource, Deck
from mantimon.errors import InvalidInputError
from mantimon.services.boosters import draw_booster
from mantimon.services.collections import add_copies
from mantimon.services.deck_rules import DeckList, find_problems
from mantimon.services.decks import build_deck, suggest_deck
from mantimon.services.starters import choose_starter

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
