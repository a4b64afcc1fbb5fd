"""The generator: the committed cards are its own, and they make a game."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from operator import attrgetter

import pytest

from mantimon.cards.bundle import SHIPPED_BUNDLE, load_bundle, write_bundle
from mantimon.cards.definition import CardDefinition, CardType, Element, Rarity, Stage
from mantimon.cards.generate import SET_PLANS, generate
from mantimon.cards.wordlists import draw, grouped, pick, rows

DIGEST = """
import hashlib
from mantimon.cards.generate import generate
print(hashlib.sha256(b"".join(generate().values())).hexdigest())
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[CardDefinition]:
    directory = tmp_path_factory.mktemp("made")
    write_bundle(directory, generate())
    return list(load_bundle(directory).cards.values())


def creatures_by_name(cards: list[CardDefinition]) -> dict[str, CardDefinition]:
    return {card.name: card for card in cards if card.type is CardType.CREATURE}


def test_committed_bundle_is_what_the_generator_makes() -> None:
    """The files in the package are the generator's, byte for byte, and there are no others."""
    assert generate() == {path.name: path.read_bytes() for path in SHIPPED_BUNDLE.iterdir()}


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_the_order_of_hashes_changes_nothing(seed: str) -> None:
    """A process with another hash seed makes the same bytes."""
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    other = subprocess.run(
        [sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True
    )

    assert other.stdout.strip() == hashlib.sha256(b"".join(generate().values())).hexdigest()


def test_draws_are_the_same_in_every_version() -> None:
    """A draw depends on its label alone, and is what it was when the bundle was committed."""
    assert draw("a", 1) == draw("a", 1) != draw("a", 2)
    assert [round(draw("version", n), 6) for n in range(3)] == [0.364413, 0.781487, 0.139694]


def test_picks_reach_every_option() -> None:
    """No option is out of reach of a pick, and none is beyond the end."""
    assert {pick("abc", "reach", n) for n in range(100)} == set("abc")


def test_sets_have_their_numbers_of_cards(made: list[CardDefinition]) -> None:
    """There are 372 cards: 286 in M1 and 86 in M1a, each numbered from 1 without a gap."""
    numbers = {plan.code: [c.number for c in made if c.set == plan.code] for plan in SET_PLANS}

    assert numbers == {"M1": list(range(1, 287)), "M1a": list(range(1, 87))}


@pytest.mark.parametrize("plan", SET_PLANS, ids=attrgetter("code"))
def test_all_elements_and_rarities_are_in_each_set(plan, made: list[CardDefinition]) -> None:
    """A set has creatures of all ten elements, and each of eight rarities as often as planned."""
    cards = [card for card in made if card.set == plan.code]

    assert {card.element for card in cards} == {*Element, None}
    assert Counter(card.rarity for card in cards) == plan.prints
    assert (len(Element), len(Rarity)) == (10, 8)


def test_rarer_means_fewer(made: list[CardDefinition]) -> None:
    """Of the plain rarities the rarer has fewer cards, and so it is among the special prints."""
    counts = Counter(card.rarity for card in made)
    plain, special = list(Rarity)[:4], list(Rarity)[4:]

    assert all(
        counts[more] > counts[fewer]
        for group in (plain, special)
        for more, fewer in pairwise(group)
    )


def test_every_line_begins_with_a_basic_creature(made: list[CardDefinition]) -> None:
    """What a creature evolves from is of the stage before it and of the same element and set."""
    by_name = creatures_by_name(made)
    order = list(Stage)

    for card in by_name.values():
        if card.evolves_from is not None:
            earlier = by_name[card.evolves_from]
            assert order.index(earlier.stage) == order.index(card.stage) - 1
            assert (earlier.element, earlier.set) == (card.element, card.set)


def test_there_are_lines_of_three_stages_of_every_element(made: list[CardDefinition]) -> None:
    """Each element has stage 2 creatures, so all three stages."""
    assert {card.element for card in made if card.stage is Stage.STAGE_2} == set(Element)


def test_hp_rises_along_a_line(made: list[CardDefinition]) -> None:
    """A creature has more HP than what it evolves from."""
    by_name = creatures_by_name(made)
    pairs = [(by_name[card.evolves_from], card) for card in by_name.values() if card.evolves_from]

    assert all(earlier.hp < card.hp for earlier, card in pairs)


def test_a_name_is_one_creature(made: list[CardDefinition]) -> None:
    """Cards of one name differ in number, rarity and flavour only: they are printings."""

    def rules(card: CardDefinition) -> tuple[object, ...]:
        return (card.type, card.element, card.stage, card.evolves_from, card.hp, card.attacks)

    assert len({(card.name, rules(card)) for card in made}) == len({card.name for card in made})


def test_special_prints_repeat_a_card_of_their_set(made: list[CardDefinition]) -> None:
    """A gilded, radiant, mythic or crown card has the name of an earlier card of its set."""
    special = set(list(Rarity)[4:])
    plain = {(card.set, card.name) for card in made if card.rarity not in special}

    assert all((card.set, card.name) in plain for card in made)


def test_creatures_can_fight(made: list[CardDefinition]) -> None:
    """Every creature has HP in tens, a weakness, one or two attacks, and at most 4 to retreat."""
    for card in creatures_by_name(made).values():
        assert card.hp % 10 == 0
        assert 40 <= card.hp <= 200
        assert 0 <= card.retreat_cost <= 4
        assert card.weakness.element is not card.element
        assert len({attack.name for attack in card.attacks}) == len(card.attacks) in {1, 2}


def test_attacks_cost_energy_of_the_creature(made: list[CardDefinition]) -> None:
    """An attack needs one to four energy, of the creature's element or neutral, and does damage."""
    for card in creatures_by_name(made).values():
        for attack in card.attacks:
            assert 1 <= len(attack.cost) <= 4
            assert set(attack.cost) <= {card.element, Element.NEUTRAL}
            assert attack.damage >= 10
            assert attack.damage % 10 == 0


def test_two_attacks_of_a_creature_have_different_effects(made: list[CardDefinition]) -> None:
    """No creature says the same thing twice."""
    texts = [[a.text for a in card.attacks if a.text] for card in made]

    assert all(len(found) == len(set(found)) for found in texts)


def test_flavour_never_repeats(made: list[CardDefinition]) -> None:
    """Each creature card has a text of its own, with no slot left open."""
    texts = [card.text for card in made if card.type is CardType.CREATURE]

    assert len(set(texts)) == len(texts)
    assert not any("{" in text or not text.endswith(".") for text in texts)


def test_items_and_supporters_say_what_they_do(made: list[CardDefinition]) -> None:
    """There are both in each set, all with a rule."""
    others = [card for card in made if card.type is not CardType.CREATURE]

    assert all(card.text.endswith(".") for card in others)
    assert {(card.set, card.type) for card in others} == {
        (plan.code, kind) for plan in SET_PLANS for kind in (CardType.ITEM, CardType.SUPPORTER)
    }


def test_ids_are_readable(made: list[CardDefinition]) -> None:
    """An id is the set, the number in three digits and the name, in lower case."""
    assert made[0].id == f"m1-001-{made[0].name.lower()}"
    assert all(card.id.startswith(f"{card.set.lower()}-{card.number:03}-") for card in made)
    assert all(set(card.id) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for card in made)


def test_words_are_listed_once() -> None:
    """No word list has the same entry twice."""
    lists = ("roots", "beasts", "items", "people", "supporters", "element_lore", "beast_lore")

    assert not [
        row for name in lists for row, n in Counter(map(tuple, rows(name))).items() if n > 1
    ]


def test_every_element_has_its_words() -> None:
    """Each list that goes by element has all ten."""
    lists = ("elements", "roots", "places", "modifiers", "abilities", "element_lore")

    assert {name: set(grouped(name)) for name in lists} == {name: set(Element) for name in lists}
