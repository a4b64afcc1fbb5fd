"""Searching cards: every filter against a plain loop, names, order, pages and wrong questions."""

import copy
import dataclasses
import pickle
import threading
from itertools import pairwise
from unicodedata import combining, normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mantimon.cards.bundle import encode_bundle, write_bundle
from mantimon.cards.definition import CardDefinition, CardType, Element, Rarity, Stage
from mantimon.cards.names import folded
from mantimon.services.card_index import SearchIndex
from mantimon.services.card_service import (
    CardFilters,
    CardOrder,
    CardQueryError,
    CardService,
)

NAMES = ["Flabébé", "Straße", "ÆSIR", "İstanbul", "Nidoran♂", "Farfetch\u2019d", "Lily-of-the-Moss"]
FIELDS = ("element", "type", "stage", "set", "rarity")
NUMBERS = {"hp": "hp", "retreat_cost": "retreat"}


@pytest.fixture(scope="module")
def service() -> CardService:
    return CardService().load()


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> CardService:
    """Give a service over cards with names that are hard to find."""
    cards = [
        CardDefinition(
            id=f"x-{n}", set="X", number=n, name=name, type=CardType.ITEM,
            rarity=Rarity.COMMON, text="Tie a knot.",
        )
        for n, name in enumerate(NAMES, start=1)
    ]  # fmt: skip
    directory = tmp_path_factory.mktemp("named")
    write_bundle(directory, encode_bundle({"X": "Ten"}, cards))
    return CardService(directory)


def matches(card: CardDefinition, wanted: dict[str, object]) -> bool:
    """Tell whether a card meets filters, in as many words."""
    for field in FIELDS:
        if wanted.get(field) is not None and getattr(card, field) != wanted[field]:
            return False
    for field, name in NUMBERS.items():
        value, low, high = (
            getattr(card, field),
            wanted.get(f"{name}_min"),
            wanted.get(f"{name}_max"),
        )
        if (low, high) != (None, None) and value is None:
            return False
        if low is not None and value < low:
            return False
        if high is not None and value > high:
            return False
    plain = normalize("NFKD", str(wanted.get("name") or "").casefold())
    needle = "".join(char for char in plain if not combining(char)).strip()
    return needle in card.name.casefold()  # the shipped names have no accents


def in_order(cards: list[CardDefinition], order: str, *, descending: bool) -> list[CardDefinition]:
    """Gather the cards of one value after the other: slow, and plain."""
    keys = {
        "set": lambda card: ({"M1": 0, "M1a": 1}[card.set], card.number),
        "number": lambda card: card.number,
        "name": lambda card: card.name.casefold(),
        "hp": lambda card: card.hp,
        "rarity": lambda card: list(Rarity).index(card.rarity),
    }
    key = keys[order]
    lacking = [card for card in cards if key(card) is None]
    found = []
    for value in sorted({key(card) for card in cards if key(card) is not None}, reverse=descending):
        found += [card for card in cards if key(card) == value]
    return found + lacking


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("element", each) for each in Element),
        *(("type", each) for each in CardType),
        *(("stage", each) for each in Stage),
        *(("rarity", each) for each in Rarity),
        *(("set", each) for each in ("M1", "M1a")),
    ],
)
def test_by_a_kind(service: CardService, field: str, value: str) -> None:
    """Cards of one kind, all of them and no others; a plain string does as well."""
    found = service.search_cards(CardFilters(**{field: value}))

    assert found == [card for card in service if getattr(card, field) == value] != []
    assert service.search_cards(CardFilters(**{field: str(value)})) == found


def test_by_a_part_of_the_name_in_any_case(service: CardService) -> None:
    """A part of a name finds it, in any case, anywhere in the name."""
    found = service.search_cards(CardFilters(name="SALVE"))

    assert [card.name for card in found] == ["Herb Salve", "Honey Salve", "Royal Salve"]


@pytest.mark.parametrize("length", [1, 2, 3, 30])
def test_by_text_of_any_length(service: CardService, length: int) -> None:
    """One letter, a pair and more are found by a loop as well."""
    texts = {card.name[-length:] for card in service}

    for text in texts:
        found = service.search_cards(CardFilters(name=text))
        assert found == [card for card in service if text.casefold() in card.name.casefold()]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("flabebe", "Flabébé"),
        ("FLABÉBÉ", "Flabébé"),
        ("be\u0301be\u0301", "Flabébé"),
        ("b\u00e9B", "Flabébé"),
        ("strasse", "Straße"),
        ("STRASSE", "Straße"),
        ("raß", "Straße"),
        ("aesir", "ÆSIR"),
        ("æs", "ÆSIR"),
        ("istanbul", "İstanbul"),
        ("ISTANBUL", "İstanbul"),
        ("\u0131stanbul", "İstanbul"),
        ("♂", "Nidoran♂"),
        ("h'd", "Farfetch\u2019d"),
        ("  lily-of  ", "Lily-of-the-Moss"),
        ("\uff4d\uff4f\uff53\uff53", "Lily-of-the-Moss"),
    ],
)
def test_a_name_is_found_without_its_accents(named: CardService, text: str, name: str) -> None:
    """Case, accents, how they are composed, ligatures and wide letters make no difference."""
    assert [card.name for card in named.search_cards(CardFilters(name=text))] == [name]


@pytest.mark.parametrize("text", ["", " ", "\u0301", "\t\u0308\n"])
def test_a_text_of_nothing_is_in_every_name(named: CardService, text: str) -> None:
    """What is nothing but accents and spaces does not narrow a search."""
    assert named.search_cards(CardFilters(name=text)) == list(named)


@pytest.mark.parametrize("text", ["é\x00b", "zz", "\u2603", "Flabébé Straße", "Flabébé\nStraße"])
def test_a_text_of_no_name(named: CardService, text: str) -> None:
    """A text is found inside one name, not across two."""
    assert named.search_cards(CardFilters(name=text)) == []


def test_what_is_folded_stays() -> None:
    """No character changes when it is folded again, so that both sides of a comparison agree."""
    once = [folded(chr(code)) for code in range(0x30000)]  # the others have neither case nor accent

    assert [text for text in once if folded(text) != text] == []


@given(st.text(), st.text())
def test_folding_is_blind_to_composition(one: str, other: str) -> None:
    """A text that is composed and one that is not are the same, also in the middle of others."""
    text = one + other

    assert folded(normalize("NFC", text)) == folded(normalize("NFD", text))
    assert folded(folded(text)) == folded(text)


def test_by_hp(service: CardService) -> None:
    """A range of HP has both its ends, and no card without HP."""
    found = {card.hp for card in service.search_cards(CardFilters(hp_min=60, hp_max=80))}

    assert found == {60, 70, 80}


@pytest.mark.parametrize(("low", "high"), [(61, 69), (1000, None), (None, 0)])
def test_a_range_between_values_is_empty(
    service: CardService, low: int | None, high: int | None
) -> None:
    """Ends that no card has are no error."""
    assert service.search_cards(CardFilters(hp_min=low, hp_max=high)) == []


def test_by_retreat_cost(service: CardService) -> None:
    """A range of retreat costs may be open at one end; 0 is a cost, and no cost is not 0."""
    none = service.search_cards(CardFilters(retreat_max=0))
    high = service.search_cards(CardFilters(retreat_min=3))

    assert {card.retreat_cost for card in none} == {0}
    assert {card.retreat_cost for card in high} == {3, 4}


def test_no_filter_gives_every_card_in_order(service: CardService) -> None:
    """Without a filter all cards come, by set and number, in a list of the caller's own."""
    service.search_cards(CardFilters()).clear()

    assert service.search_cards(CardFilters()) == list(service)


def test_nothing_found_is_empty(service: CardService) -> None:
    """A search that no card meets is not an error, and has no next page."""
    page = service.search_page(CardFilters(type="item", hp_min=1, limit=10))

    assert (page.cards, page.total, page.next_offset) == ([], 0, None)


def wanted_filters() -> st.SearchStrategy[dict[str, object]]:
    """Give any filters that make sense, most of them unset."""

    def maybe(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
        return st.none() | st.none() | values

    def ends(most: int) -> st.SearchStrategy[list[int]]:
        return st.lists(st.integers(0, most), min_size=2, max_size=2).map(sorted)

    kinds = {"element": Element, "type": CardType, "stage": Stage, "rarity": Rarity}
    text = st.text("aeinrstk lé\u0301Ä", max_size=3)
    drawn = st.fixed_dictionaries(
        {name: maybe(st.sampled_from(members)) for name, members in kinds.items()}
        | {"set": maybe(st.sampled_from(["M1", "M1a"])), "name": maybe(text)}
    )
    ranges = st.tuples(maybe(ends(200)), maybe(ends(5)), st.sets(st.sampled_from("abcd")))

    def together(parts: tuple[dict[str, object], tuple[list[int], list[int], set[str]]]):
        kinds, (hp, retreat, open_ends) = parts
        low, high = hp or (None, None)
        least, most = retreat or (None, None)
        ranges = {"hp_min": low, "hp_max": high, "retreat_min": least, "retreat_max": most}
        closed = zip("abcd", ranges.items(), strict=True)
        return kinds | {name: None if end in open_ends else n for end, (name, n) in closed}

    return st.tuples(drawn, ranges).map(together)


@given(
    wanted=wanted_filters(), order=st.sampled_from([*CardOrder, "hp", "name"]), down=st.booleans()
)
def test_any_filters_give_what_a_loop_gives(
    service: CardService, wanted: dict[str, object], order: str, down: bool
) -> None:
    """Whatever is combined, and in every order, a plain loop finds the same."""
    found = service.search_cards(CardFilters(**wanted, order=order, descending=down))

    expected = [card for card in service if matches(card, wanted)]
    assert found == in_order(expected, order, descending=down)


@given(
    wanted=wanted_filters(), order=st.sampled_from(CardOrder), down=st.booleans(),
    limits=st.lists(st.integers(1, 400), min_size=1, max_size=5),
)  # fmt: skip
def test_pages_are_the_whole_list(
    service: CardService, wanted: dict[str, object], order: CardOrder, down: bool, limits: list[int]
) -> None:
    """However a search is cut into pages, they give every card once and in order."""
    filters = CardFilters(**wanted, order=order, descending=down)
    whole, seen, offset, turn = service.search_cards(filters), [], 0, 0
    while offset is not None:
        limit = limits[turn % len(limits)]
        page = service.search_page(dataclasses.replace(filters, limit=limit, offset=offset))
        assert page.total == len(whole)
        assert len(page.cards) == min(limit, len(whole) - offset)
        seen += page.cards
        offset, turn = page.next_offset, turn + 1

    assert seen == whole


@given(size=st.integers(0, 200), data=st.data())
def test_any_number_of_cards(service: CardService, size: int, data: st.DataObject) -> None:
    """Whether or not the bitmaps fill their last byte and word, the same cards are found."""
    pool = list(service)
    cards = data.draw(st.lists(st.sampled_from(pool), min_size=size, max_size=size))
    element = data.draw(st.sampled_from(Element))
    page = SearchIndex(cards).find(CardFilters(element=element))

    assert page.cards == [card for card in cards if card.element is element]
    assert page.total == len(page.cards)


def test_rare_and_common_matches_of_many(service: CardService) -> None:
    """One card among thousands is found, and thousands are."""
    cards = list(service) * 20
    index = SearchIndex(cards)

    for kind in ({"set": "M1a", "element": "tide", "stage": "stage_2"}, {"type": "creature"}, {}):
        for limit in (None, 1, 7, 5000):
            expected = [card for card in cards if matches(card, kind)]
            found = index.find(CardFilters(**kind, limit=limit, offset=3))
            assert found.cards == expected[3:][:limit]
            assert found.total == len(expected)


def test_the_last_page_and_beyond(service: CardService) -> None:
    """The last page says so; behind it there is nothing, and no error; 0 only counts."""
    last = service.search_page(CardFilters(limit=100, offset=300))
    exact = service.search_page(CardFilters(limit=72, offset=300))
    beyond = service.search_page(CardFilters(limit=10, offset=372))
    far = service.search_page(CardFilters(limit=10**30, offset=10**30))
    counted = service.search_page(CardFilters(limit=0))

    assert (
        (len(last.cards), last.next_offset) == (len(exact.cards), exact.next_offset) == (72, None)
    )
    assert service.search_page(CardFilters(limit=71, offset=300)).next_offset == 371
    assert beyond == far == counted == dataclasses.replace(last, cards=[])


def test_what_is_equal_is_by_set_and_number_in_either_direction(service: CardService) -> None:
    """Ties have one order, up and down, and cards without HP come last in both."""
    places = {card.id: place for place, card in enumerate(service)}
    for order in (CardOrder.HP, CardOrder.RARITY, CardOrder.NUMBER, CardOrder.NAME):
        for down in (False, True):
            found = service.search_cards(CardFilters(order=order, descending=down))
            ties = [
                (one, other)
                for one, other in pairwise(found)
                if getattr(one, order) == getattr(other, order)
            ]
            assert ties
            assert all(places[one.id] < places[other.id] for one, other in ties)
            if order is CardOrder.HP:
                lacking = [card.hp is None for card in found]
                assert lacking == sorted(lacking)
                assert any(lacking)


@pytest.mark.parametrize("name", ["element", "type", "stage", "rarity", "order"])
def test_an_unknown_value_lists_the_valid_ones(name: str) -> None:
    """A value that its enum does not have is an error that says which it has."""
    valid = {
        "element": "flame, tide", "type": "creature, item, supporter.", "stage": "basic, stage_1",
        "rarity": "common, uncommon", "order": "set, number, name, hp, rarity.",
    }  # fmt: skip

    with pytest.raises(CardQueryError, match=f"{name} 'plasma'; valid are {valid[name]}"):
        CardFilters(**{name: "plasma"})


def test_an_unknown_filter_lists_the_valid_ones() -> None:
    """A filter that does not exist is an error that says which do."""
    with pytest.raises(CardQueryError, match="no filter 'colour'; valid are element, type, stage"):
        CardFilters(colour="red")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in ("limit", "offset", "hp_min")
            for value in (-1, 1.0, "3", True)
        ),
        ("retreat_max", [1]),
        ("offset", None),
    ],
)
def test_a_number_is_a_whole_one_from_0_up(name: str, value: object) -> None:
    """What is no count is named with its value."""
    with pytest.raises(CardQueryError) as caught:
        CardFilters(**{name: value})

    assert str(caught.value) == f"{name} is {value!r}; it is a whole number from 0 up."


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("name", 3, "name is 3; it is a text."),
        ("set", ["M1"], "set is ['M1']; it is a text."),
        ("descending", "no", "descending is 'no'; it is true or false."),
        ("element", {}, "No card has the element {}; valid are"),
        ("name", b"x" * 999, "xxx…; it is a text."),
        ("stage", "\x1b[31m", r"stage '\x1b[31m'; valid"),
    ],
)
def test_a_value_of_another_kind_is_named(name: str, value: object, says: str) -> None:
    """A value that can be none of the filter's is an error of one short line."""
    with pytest.raises(CardQueryError) as caught:
        CardFilters(**{name: value})

    assert says in str(caught.value)
    assert len(str(caught.value)) < 200


def test_all_that_is_wrong_is_named_at_once() -> None:
    """One error has a sentence for each problem."""
    with pytest.raises(CardQueryError) as caught:
        CardFilters(colour="red", element="gold", limit=-1, hp_min=90, hp_max=60)

    assert [problem.split(";")[0] for problem in caught.value.problems] == [
        "There is no filter 'colour'",
        "No card has the element 'gold'",
        "limit is -1",
        "hp_min is 90, which is more than hp_max, 60.",
    ]
    assert str(caught.value) == " ".join(caught.value.problems)


def test_an_unknown_set_is_an_error(service: CardService) -> None:
    """A set that the bundle does not have is not just a search without results."""
    with pytest.raises(CardQueryError, match="the sets are M1, M1a"):
        service.search_cards(CardFilters(set="m1"))


def test_filters_can_be_copied() -> None:
    """They are values: copied and pickled they are equal, and replaced they are checked again."""
    filters = CardFilters(element="tide", hp_min=60, limit=3)

    assert filters == copy.deepcopy(filters) == pickle.loads(pickle.dumps(filters))
    with pytest.raises(CardQueryError):
        dataclasses.replace(filters, limit=-3)


def test_what_nobody_searches_is_not_indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look-ups and counts make no index, and a search makes only the one of its order."""
    made: list[str] = []
    monkeypatch.setattr(
        "mantimon.services.card_service.SearchIndex",
        lambda cards: made.append(cards[0].id) or SearchIndex(cards),
    )
    service = CardService()
    service.get_cards(["m1-001-kindlekit"], strict=True)
    service.stats()
    assert made == []

    for _ in range(3):
        service.search_cards(CardFilters(order="rarity", descending=True))
    assert len(made) == 1


def test_threads_search_at_once() -> None:
    """Threads that search a new service together all find the same."""
    service, start = CardService(), threading.Barrier(8)
    filters = CardFilters(name="kin", element="flame", hp_max=90, order="name")
    found: list[list[CardDefinition]] = []

    def search() -> None:
        start.wait()
        found.append(service.search_cards(filters))

    threads = [threading.Thread(target=search) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [service.search_cards(filters)] * 8
    assert found[0]
