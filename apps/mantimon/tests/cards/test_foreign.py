"""A foreign list becomes a bundle, with every change counted, or is refused with every problem."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mantimon.cards.bundle import write_bundle
from mantimon.cards.definition import CardType, Element, ElementModifier, Rarity, Stage
from mantimon.cards.foreign import ForeignList, read_foreign_list
from mantimon.cards.names import folded
from mantimon.cards.problems import ForeignListError, Problem
from mantimon.services.card_service import CardFilters, CardService
from mantimon.services.inputs import LONGEST_ID, fits

Cards = list[dict[str, Any]]

OWN = Path(__file__).parent / "data" / "foreign.json"
BESIDE = Path(__file__).parents[4].parent / "shared" / "data" / "cards.extra.json"
REAL = Path(os.environ.get("HOLDFAST_CARDS", BESIDE))
# What a value of a list is in the game, as a person would say it.
IS = {
    "element": {
        "fire": "flame", "water": "tide", "grass": "grove", "lightning": "storm",
        "fighting": "stone", "psychic": "dream", "darkness": "shade", "metal": "iron",
        "dragon": "sky", "colorless": "neutral",
    },
    "type": {
        "pokemon": "creature", "item": "item", "tool": "item", "fossil": "item",
        "supporter": "supporter",
    },
    "stage": {"basic": "basic", "1": "stage_1", "2": "stage_2"},
    "rarity": {
        "c": "common", "u": "uncommon", "r": "rare", "rr": "epic", "ar": "gilded", "s": "gilded",
        "sr": "radiant", "sar": "radiant", "ssr": "radiant", "im": "mythic", "ur": "crown",
    },
}  # fmt: skip


@pytest.fixture
def listed() -> Cards:
    return json.loads(OWN.read_text("utf-8"))


@pytest.fixture
def read(tmp_path: Path) -> Callable[[object], ForeignList]:
    """Give a function that reads a list from a file with this content."""

    def read(content: object) -> ForeignList:
        file = tmp_path / "list.json"
        file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return read_foreign_list(file)

    return read


@pytest.fixture
def problems(read: Callable[[object], ForeignList]) -> Callable[[object], list[str]]:
    """Give a function that gives the problems of such a list, as lines without the file."""

    def problems(content: object) -> list[str]:
        with pytest.raises(ForeignListError) as caught:
            read(content)
        lines = [str(problem) for problem in caught.value.problems]
        assert all(line.startswith("list.json: ") for line in lines)
        assert all(line in str(caught.value) for line in lines[:50])
        return [line.removeprefix("list.json: ") for line in lines]

    return problems


def served(file: Path, directory: Path) -> CardService:
    """Import a list and serve it."""
    write_bundle(directory, read_foreign_list(file).encoded())
    return CardService(directory).load()


def test_a_list_is_served(tmp_path: Path, listed: Cards) -> None:
    """Every card of a list is served, by set in the order of the list, and by number."""
    service = served(OWN, tmp_path / "new")

    assert len(service) == len(listed) == 17
    assert [(s.code, s.name, s.cards, s.complete) for s in service.sets] == [
        ("Q2", "Q2", 8, False),
        ("PROMO-Q", "PROMO-Q", 9, False),
    ]
    assert [card.number for card in service] == [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 12]


def test_a_creature_is_taken_whole(tmp_path: Path) -> None:
    """What a list has of a creature is there, in the words of this game."""
    prime = served(OWN, tmp_path / "new").get_card("q2-004-emberon-prime")

    assert prime is not None
    assert (prime.name, prime.set, prime.number) == ("Émberon Prime", "Q2", 4)
    assert (prime.type, prime.rarity) == (CardType.CREATURE, Rarity.EPIC)
    assert (prime.element, prime.stage) == (Element.FLAME, Stage.STAGE_2)
    assert (prime.hp, prime.retreat_cost, prime.evolves_from) == (170, 3, "Émberon")
    assert prime.weakness == ElementModifier(element=Element.SHADE)


def test_what_is_missing_stays_missing(tmp_path: Path) -> None:
    """A creature without HP, retreat cost and weakness is none with 0 of them."""
    owl = served(OWN, tmp_path / "new").get_card("promo-q-001-plainowl")

    assert owl is not None
    assert (owl.hp, owl.retreat_cost, owl.weakness, owl.attacks) == (None, None, None, ())


def test_every_change_is_counted(read: Callable[[object], ForeignList], listed: Cards) -> None:
    """Each value that has another name here, was missing or left out is there, with its cards."""
    found = read(listed).changes

    assert {tuple(map(str, change)): cards for change, cards in found.items()} == {
        ("type", "pokemon", "creature"): 13,
        ("type", "item", "item"): 1,
        ("type", "tool", "item"): 1,
        ("type", "Fossil", "item"): 1,
        ("type", "supporter", "supporter"): 1,
        ("rarity", "C", "common"): 5,
        ("rarity", "U", "uncommon"): 3,
        ("rarity", "R", "rare"): 1,
        ("rarity", "RR", "epic"): 1,
        ("rarity", "AR", "gilded"): 1,
        ("rarity", "S", "gilded"): 1,
        ("rarity", "SR", "radiant"): 1,
        ("rarity", "SAR", "radiant"): 1,
        ("rarity", "SSR", "radiant"): 1,
        ("rarity", "IM", "mythic"): 1,
        ("rarity", "UR", "crown"): 1,
        ("element", "grass", "grove"): 1,
        ("element", "Fire", "flame"): 1,
        ("element", "fire", "flame"): 1,
        ("element", "FIRE", "flame"): 1,
        ("element", "dragon", "sky"): 1,
        ("element", "Colorless", "neutral"): 1,
        ("element", "colorless", "neutral"): 1,
        ("element", "water", "tide"): 1,
        ("element", "Lightning", "storm"): 1,
        ("element", "fighting", "stone"): 1,
        ("element", "psychic", "dream"): 1,
        ("element", "Darkness", "shade"): 1,
        ("element", "metal", "iron"): 1,
        ("element", "null", "nothing"): 1,
        ("stage", "basic", "basic"): 9,
        ("stage", "Basic", "basic"): 1,
        ("stage", "1", "stage_1"): 2,
        ("stage", "2", "stage_2"): 1,
        ("stage", "given", "left out: no creature"): 1,
        ("evolvesFrom", "null", "nothing"): 1,
        ("health", "missing", "nothing"): 1,
        ("retreatCost", "missing", "nothing"): 1,
        ("weakness", "Fire", "flame"): 2,
        ("weakness", "Water", "tide"): 1,
        ("weakness", "water", "tide"): 1,
        ("weakness", "Dark", "shade"): 2,
        ("weakness", "Lightning", "storm"): 1,
        ("weakness", "Fighting", "stone"): 1,
        ("weakness", "Psychic", "dream"): 1,
        ("weakness", "Grass", "grove"): 1,
        ("weakness", "None", "nothing"): 1,
        ("weakness", "null", "nothing"): 1,
        ("weakness", "missing", "nothing"): 1,
        ("image", "given", "left out"): 17,
        ("packs", "given", "left out"): 8,
        ("goodWith", "given", "left out"): 2,
    }


def test_what_an_item_has_of_a_creature_is_left_out(
    read: Callable[[object], ForeignList], listed: Cards
) -> None:
    """Nothing of a creature is taken for an item, and it is said."""
    item = listed[4] | {"element": "water", "health": 40, "weakness": "Fire", "evolvesFrom": "X"}
    found = read([item])

    [card] = found.cards
    assert (card.element, card.hp, card.weakness, card.evolves_from) == (None, None, None, None)
    assert [tuple(change) for change in found.changes if change.became.endswith("creature")] == [
        (field, "given", "left out: no creature")
        for field in ("element", "evolvesFrom", "health", "weakness")
    ]


def test_ids_fit_where_ids_are_kept(read: Callable[[object], ForeignList], listed: Cards) -> None:
    """The longest set, number and name give an id that a collection can hold."""
    longest = listed[0] | {"set": "Q" * 16, "number": 999_999, "name": "Ümlaut " * 28}
    nameless = listed[0] | {"name": "\u2642"}
    cards = read([*listed, longest, nameless | {"number": 90}]).cards

    assert all(fits(card.id, LONGEST_ID) and card.id.isascii() for card in cards)
    assert len({card.id for card in cards}) == len(cards)
    assert cards[-1].id == "q2-090"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"{oops", "is not JSON at line 1, column 2: "),
        (b'[{"set": "Q2",', "is not JSON at line 1, column 15: Input data was truncated"),
        (b'[{"name": "\xfc"}]', "is not UTF-8 at line 1, column"),
        (b"[" * 100_000, "is nested too deeply to be read"),
        (b'[{"packs": ' + b"[" * 100_000, "is nested too deeply to be read"),
        ({"cards": []}, "is an object, not an array of cards"),
        ("cards", "is a string, not an array of cards"),
        ([], "has no cards"),
        ([7], "card 1: is a number, not an object"),
        ([None], "card 1: is null, not an object"),
        ([[]], "card 1: is an array, not an object"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_list_is_named(
    problems: Callable[[object], list[str]], content: object, says: str
) -> None:
    """A file that holds no list of cards is one problem that says what it is."""
    [found] = problems(content)

    assert found.startswith(says)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A file that cannot be read is one line with its name and the reason."""
    with pytest.raises(ForeignListError) as caught:
        read_foreign_list(tmp_path / "none.json")
    with pytest.raises(ForeignListError, match=r"cannot be read: Is a directory$"):
        read_foreign_list(tmp_path)

    reason = "cannot be read: No such file or directory"
    assert str(caught.value) == f"Nothing was imported: none.json: {reason}"


@pytest.mark.parametrize("field", ["set", "number", "name", "type", "rarity"])
@pytest.mark.parametrize("how", ["missing", "null"])
def test_what_every_card_has(
    problems: Callable[[object], list[str]], listed: Cards, field: str, how: str
) -> None:
    """A card without a set, number, name, type or rarity is named, as far as it says what it is."""
    if how == "null":
        listed[2][field] = None
    else:
        del listed[2][field]
    [found] = problems(listed)

    assert found.startswith("card 3, ")
    assert ("Q2" in found) is (field != "set")
    assert f": {field}: " in found
    assert found.endswith("is missing" if how == "missing" else ", got `null`")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"type": "gadget"}, "type: 'gadget' is not known; known are pokemon, item, tool, fossil,"),
        ({"rarity": "XX"}, "rarity: 'XX' is not known; known are c, u, r, rr, ar, s, sr, sar, ssr"),
        ({"element": "plasma"}, "element: 'plasma' is not known; known are fire, water, grass,"),
        ({"weakness": "Plasma"}, "weakness: 'Plasma' is not known; known are fire, water, grass,"),
        ({"stage": 3}, "stage: 3 is not known; known are basic, 1, 2"),
        ({"stage": True}, "stage: expected `int | str | null`, got `bool`"),
        ({"element": None}, "element: is missing from a creature"),
        ({"stage": None}, "stage: is missing from a creature"),
        ({"evolvesFrom": None}, "evolvesFrom: is missing from a stage_1 creature"),
        ({"stage": "basic"}, "evolvesFrom: is given, but a basic creature evolves from nothing"),
        ({"evolvesFrom": ""}, "evolvesFrom: expected `str` of length >= 1"),
        ({"health": 0}, "health: expected `int` >= 1"),
        ({"health": "110"}, "health: expected `int | null`, got `str`"),
        ({"health": 10**30}, "health: expected `int` <= 999999"),
        ({"retreatCost": -1}, "retreatCost: expected `int` >= 0"),
        ({"number": 0}, "number: expected `int` >= 1"),
        ({"number": "2"}, "number: expected `int`, got `str`"),
        ({"number": True}, "number: expected `int`, got `bool`"),
        ({"number": 10**30}, "number: expected `int` <= 999999"),
        ({"name": " "}, "name: expected `str` matching regex"),
        ({"name": "x" * 201}, "name: expected `str` of length <= 200"),
        ({"name": ["Émberon"]}, "name: expected `str`, got `array`"),
        ({"set": ""}, "set: '' cannot name a file: 1 to 16 letters and digits, such as A1a or"),
        ({"set": "../Q2"}, "set: '../Q2' cannot name a file"),
        ({"set": "_index"}, "set: '_index' cannot name a file"),
        ({"set": "Q2\n"}, "set: 'Q2\\n' cannot name a file"),
        ({"set": "Q" * 17}, "set: 'QQQQQQQQQQQQQQQQQ' cannot name a file"),
        ({"set": "q2"}, "set: differs from 'Q2' only in case, and a file would have both names"),
        ({"number": 3}, "number: 3 of Q2 is already that of card 1, Q2 3 Mossling"),
    ],
    ids=lambda value: "" if isinstance(value, str) else repr(value)[:25],
)
def test_what_cannot_be_taken_is_named(
    problems: Callable[[object], list[str]], listed: Cards, change: dict[str, object], says: str
) -> None:
    """What is wrong with one field of one card is one line, with the card and the field."""
    listed[2] |= change
    [found] = problems(listed)

    card, said = found.split(": ", 1)
    assert card.startswith("card 3")
    assert said.startswith(says)
    assert len(found) < 250


def test_everything_is_named_at_once(
    problems: Callable[[object], list[str]], listed: Cards
) -> None:
    """Problems of several cards and fields come in one error, in the order of the list."""
    listed[0] |= {"rarity": "XX", "element": "plasma", "number": "3"}
    listed[1] |= {"type": "gadget", "name": None}
    listed[2] |= {"number": 4}
    listed.insert(5, "Rope Belt")

    assert [line.split(";")[0] for line in problems(listed)] == [
        "card 1, Q2 Mossling: number: expected `int`, got `str`",
        "card 1, Q2 Mossling: rarity: 'XX' is not known",
        "card 1, Q2 Mossling: element: 'plasma' is not known",
        "card 2, Q2 1: name: expected `str`, got `null`",
        "card 2, Q2 1: type: 'gadget' is not known",
        "card 4, Q2 4 Émberon Prime: number: 4 of Q2 is already that of card 3, Q2 4 Émberon",
        "card 6: is a string, not an object",
    ]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e6, 1e6) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    position=st.integers(0, 16),
    field=st.sampled_from(sorted({name for card in json.loads(OWN.read_text()) for name in card})),
    junk=JUNK,
)
@example(position=0, field="set", junk="Q2-1")
@example(position=0, field="set", junk="PROMO-Q")
@example(position=1, field="name", junk="\x00\x1b[31m\u202e")
def test_a_list_is_served_or_refused(
    tmp_path_factory: pytest.TempPathFactory, position: int, field: str, junk: object
) -> None:
    """Whatever stands in a field, what was read loads as a bundle, or there are named problems."""
    cards = json.loads(OWN.read_text("utf-8"))
    cards[position][field] = junk
    folder = tmp_path_factory.mktemp("junk")
    (folder / "list.json").write_text(json.dumps(cards))

    named: Sequence[Problem] = ()
    try:
        served(folder / "list.json", folder / "new")
    except ForeignListError as error:
        named = error.problems

    assert bool(named) is not (folder / "new").exists()
    assert all(problem.card and problem.field for problem in named)


def test_the_cards_are_given_as_they_are_read(listed: Cards) -> None:
    """Whoever watches sees every card go by."""
    seen: list[object] = []

    def watch(cards: list[object]) -> Iterator[object]:
        for card in cards:
            seen.append(card)
            yield card

    read_foreign_list(OWN, watch=watch)
    assert seen == listed


def kind_of(card: dict[str, Any], field: str) -> str | None:
    """Say what a card of a list is here, looking at nothing but the list."""
    is_creature = card["type"].lower() == "pokemon"
    if field in {"element", "stage"} and not is_creature:
        return None
    return IS[field][str(card[field]).lower()]


@pytest.fixture(scope="module", params=["own", "real"])
def imported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[CardService, Cards]:
    """Give a service over an imported list, and the list as it was: a small one and a real one."""
    file = OWN if request.param == "own" else REAL
    if file is REAL and "HOLDFAST_CARDS" not in os.environ and not file.exists():
        pytest.skip(
            "there is no real list beside the project: "
            "HOLDFAST_CARDS=cards.extra.json pytest apps/mantimon/tests/cards/test_foreign.py"
        )
    service = served(file, tmp_path_factory.mktemp("served") / "cards")
    return service, json.loads(file.read_text("utf-8"))


def test_no_name_is_copied(imported: tuple[CardService, Cards], cards: CardService) -> None:
    """The game's own cards have names that no list of another game has."""
    theirs = {folded(card["name"]) for card in imported[1]}

    assert {folded(card.name) for card in cards} & theirs == set()


def test_every_kind_has_as_many_cards_as_the_list(
    imported: tuple[CardService, Cards],
) -> None:
    """A loop over the list counts as many cards of every kind as a search finds."""
    service, cards = imported
    kinds = {"element": Element, "type": CardType, "stage": Stage, "rarity": Rarity}

    for field, members in kinds.items():
        counts = Counter(kind_of(card, field) for card in cards)
        for member in members:
            found = service.search_cards(CardFilters(**{field: member}))
            assert len(found) == counts[member], member
    for code, count in Counter(card["set"] for card in cards).items():
        assert len(service.search_cards(CardFilters(set=code))) == count
    assert service.stats().total == len(cards)


def test_every_range_has_as_many_cards_as_the_list(imported: tuple[CardService, Cards]) -> None:
    """So do ranges of HP and retreat cost, with either end open."""
    service, cards = imported
    for name, field, values in (
        ("hp", "health", (1, 49, 50, 51, 110, 111, 170, 300)),
        ("retreat", "retreatCost", (0, 1, 2, 3, 4, 5)),
    ):
        for low in values:
            having = [card for card in cards if card.get(field) is not None]
            least = [card for card in having if card[field] >= low]
            most = [card for card in having if card[field] <= low]
            assert len(service.search_cards(CardFilters(**{f"{name}_min": low}))) == len(least)
            assert len(service.search_cards(CardFilters(**{f"{name}_max": low}))) == len(most)


def test_every_name_is_found_in_the_list(imported: tuple[CardService, Cards]) -> None:
    """Each name finds every card that has it, in any case, and is found by its beginning."""
    service, cards = imported
    for name in {card["name"] for card in cards}:
        expected = {
            (card["set"], card["number"])
            for card in cards
            if name.casefold() in card["name"].casefold()
        }
        found = service.search_cards(CardFilters(name=name.upper()))
        assert {(card.set, card.number) for card in found} == expected, name


def test_filters_of_a_list_narrow_each_other(imported: tuple[CardService, Cards]) -> None:
    """Every element, stage and rarity of a set together, as a loop has them."""
    service, cards = imported
    fields = ("element", "stage", "rarity")
    counts = Counter((card["set"], *(kind_of(card, field) for field in fields)) for card in cards)

    for (code, *kinds), count in counts.items():
        if None not in kinds:
            wanted = CardFilters(set=code, **dict(zip(fields, kinds, strict=True)))
            assert len(service.search_cards(wanted)) == count


def test_each_card_is_that_of_the_list(imported: tuple[CardService, Cards]) -> None:
    """Set, number, name, HP, retreat cost and what it evolves from are those of the list."""
    service, cards = imported
    found = {(card.set, card.number): card for card in service}

    assert len(found) == len(cards)
    for card in cards:
        made = found[card["set"], card["number"]]
        assert made.name == card["name"]
        assert (made.hp, made.retreat_cost) == (card.get("health"), card.get("retreatCost"))
        assert made.evolves_from == card.get("evolvesFrom")
        weakness = str(card.get("weakness")).lower().replace("none", "") or None
        weakness = {"dark": "darkness"}.get(weakness, weakness)
        assert (made.weakness and made.weakness.element) == IS["element"].get(weakness)


@pytest.mark.parametrize("imported", ["real"], indirect=True)
def test_a_real_list_has_2522_cards(imported: tuple[CardService, Cards]) -> None:
    """The real list has 15 sets, the first two of them together 372 cards."""
    service, _ = imported

    assert (len(service), len(service.sets)) == (2522, 15)
    assert len(service.get_cards_by_set("A1")) + len(service.get_cards_by_set("A1a")) == 372
