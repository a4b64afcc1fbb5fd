"""A bundle that is broken names everything that is wrong with it, and serves nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from mantimon.cards import bundle
from mantimon.cards.bundle import SHIPPED_BUNDLE, encode_bundle, load_bundle, write_bundle
from mantimon.cards.definition import CardDefinition
from mantimon.cards.problems import BundlePlaceError
from mantimon.services.card_service import CardBundleError, CardService

Cards = list[dict[str, Any]]

NEWT = {
    "id": "x-001-newt",
    "set": "X",
    "number": 1,
    "name": "Newt",
    "type": "creature",
    "rarity": "common",
    "text": "It swims.",
    "element": "tide",
    "stage": "basic",
    "hp": 60,
    "retreat_cost": 1,
    "attacks": [{"name": "Splash", "cost": ["tide", "neutral"], "damage": 20}],
}
GREAT_NEWT = {
    **NEWT,
    "id": "x-002-great-newt",
    "number": 2,
    "name": "Great Newt",
    "stage": "stage_1",
    "evolves_from": "Newt",
    "weakness": {"element": "storm"},
}
ROPE = {
    "id": "x-003-rope",
    "set": "X",
    "number": 3,
    "name": "Rope",
    "type": "item",
    "rarity": "rare",
    "text": "Tie a knot.",
}


@pytest.fixture
def cards() -> Cards:
    return json.loads(json.dumps([NEWT, GREAT_NEWT, ROPE]))


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., CardService]:
    """Give a service over a directory with those cards and, unless given, the index for them."""

    def serve(cards: object, index: object = None) -> CardService:
        count = len(cards) if isinstance(cards, list) else 3
        index = index or {"sets": [listed(cards=count)]}
        (tmp_path / "X.json").write_text(json.dumps(cards), "utf-8")
        (tmp_path / "_index.json").write_text(json.dumps(index), "utf-8")
        return CardService(tmp_path)

    return serve


def listed(**changes: object) -> dict[str, object]:
    """Give an entry of the index."""
    return {"code": "X", "name": "Ten", "file": "X.json", "cards": 3, **changes}


def problems(service: CardService) -> list[str]:
    """Give the problems that keep a service from loading, as lines of the error."""
    with pytest.raises(ConfigurationError) as caught:
        service.load()
    assert isinstance(caught.value, CardBundleError)
    lines = str(caught.value).splitlines()[1:]
    assert lines == [f"  {problem}" for problem in caught.value.problems]
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"hp": -5}, "hp: expected `int` >= 1"),
        ({"hp": "60"}, "hp: expected `int | null`, got `str`"),
        ({"hp": None}, "hp: is missing from a creature"),
        ({"retreat_cost": None}, "retreat_cost: is missing from a creature"),
        ({"stage": None}, "stage: is missing from a creature"),
        ({"attacks": []}, "attacks: is missing from a creature"),
        ({"text": None}, "text: expected `str`, got `null`"),
        ({"id": ["x"]}, "id: expected `str`, got `array`"),
        ({"number": 0}, "number: expected `int` >= 1"),
        ({"number": 1.5}, "number: expected `int`, got `float`"),
        ({"set": "Y"}, "set: is 'Y' in the file of set 'X'"),
        ({"evolves_from": "Rope"}, "evolves_from: is given, but a basic creature evolves"),
        ({"stage": "stage_2"}, "evolves_from: is missing from a stage_2 creature"),
        ({"colour": "red"}, "colour: is not known; the fields are id, set, number"),
        ({"weakness": {"element": "tide", "value": 0}}, "weakness.value: expected `int` >= 1"),
        ({"weakness": "tide"}, "weakness: expected `object | null`, got `str`"),
        ({"ability": {"name": "Wet"}}, "ability.text: is missing"),
        ({"attacks": [7]}, "attacks[0]: is a number, not an object"),
        ({"attacks": [{"name": "Splash"}]}, "attacks[0].cost: is missing"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_a_problem_is_named_by_file_card_and_field(
    serve, cards: Cards, change: dict[str, object], expected: str
) -> None:
    """What is wrong with one field is one line that says where it is."""
    cards[0].update(change)
    [found] = problems(serve(cards))

    label = "card 1" if "id" in change else "x-001-newt"
    assert found.startswith(f"X.json: {label}: {expected}")


@pytest.mark.parametrize("field", ["id", "set", "number", "name", "type", "rarity"])
def test_a_missing_field_is_named(serve, cards: Cards, field: str) -> None:
    """A card without a field that every card has is named, without an id by its position."""
    del cards[2][field]
    label = "card 3" if field == "id" else "x-003-rope"

    assert problems(serve(cards)) == [f"X.json: {label}: {field}: is missing"]


@pytest.mark.parametrize("field", ["type", "rarity", "element", "stage"])
def test_an_unknown_value_lists_the_valid_ones(serve, cards: Cards, field: str) -> None:
    """A value that an enum does not have comes with those it has."""
    cards[0][field] = "plasma"
    [found] = problems(serve(cards))

    assert found.startswith(f"X.json: x-001-newt: {field}: invalid enum value 'plasma'; valid")


def test_an_unknown_element_in_a_cost_says_which(serve, cards: Cards) -> None:
    """A problem inside a list has the position in it."""
    cards[0]["attacks"][0]["cost"][1] = "plasma"
    [found] = problems(serve(cards))

    assert found.startswith("X.json: x-001-newt: attacks[0].cost[1]: invalid enum value")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("element", "tide"),
        ("stage", "basic"),
        ("hp", 10),
        ("retreat_cost", 0),
        ("evolves_from", "Newt"),
        ("weakness", {"element": "tide"}),
        ("resistance", {"element": "tide"}),
        ("ability", {"name": "a", "text": "b"}),
        ("attacks", [{"name": "a", "cost": []}]),
    ],
)
def test_only_creatures_fight(serve, cards: Cards, field: str, value: object) -> None:
    """An item with a field of creatures is refused."""
    cards[2][field] = value
    [found] = problems(serve(cards))

    assert found.startswith(f"X.json: x-003-rope: {field}: is given, but belongs to creatures")


def test_an_item_needs_its_rule(serve, cards: Cards) -> None:
    """An item or supporter without text does nothing, and is refused."""
    cards[2]["text"] = ""

    assert problems(serve(cards)) == [
        "X.json: x-003-rope: text: is missing from a card of type item"
    ]


def test_an_id_is_used_once(serve, cards: Cards) -> None:
    """A second card of one id is named together with the first."""
    cards[2]["id"] = "x-001-newt"

    assert problems(serve(cards)) == [
        "X.json: x-001-newt: id: 'x-001-newt' is already that of card 1 in X.json"
    ]


def test_a_number_is_used_once_in_a_set(serve, cards: Cards) -> None:
    """Two cards of one number would be in no order."""
    cards[2]["number"] = 1

    assert problems(serve(cards)) == [
        "X.json: x-003-rope: number: 1 is already that of card 1 in X.json"
    ]


def test_a_creature_evolves_from_a_card(serve, cards: Cards) -> None:
    """A line that begins with a name that no card has is refused."""
    cards[1]["evolves_from"] = "Nwet"

    assert problems(serve(cards)) == [
        "X.json: x-002-great-newt: evolves_from: 'Nwet' is the name of no card"
    ]


def test_a_card_is_an_object(serve, cards: Cards) -> None:
    """What is not an object at all is named by its position."""
    assert problems(serve([*cards, "newt", None])) == [
        "X.json: card 4: is a string, not an object",
        "X.json: card 5: is null, not an object",
    ]


def test_everything_is_named_at_once(serve, cards: Cards) -> None:
    """Problems of several cards, fields, attacks and kinds come in one error."""
    del cards[0]["name"], cards[0]["element"]
    cards[0]["hp"] = "many"
    cards[0]["attacks"] = [{"cost": [], "damage": -1}]
    cards[1]["evolves_from"] = "Nobody"
    cards[2]["type"] = "gadget"
    found = [problem.partition("; ")[0] for problem in problems(serve(cards))]

    assert found == [
        "X.json: x-001-newt: name: is missing",
        "X.json: x-001-newt: hp: expected `int | null`, got `str`",
        "X.json: x-001-newt: attacks[0].name: is missing",
        "X.json: x-001-newt: attacks[0].damage: expected `int` >= 0",
        "X.json: x-001-newt: element: is missing from a creature",
        "X.json: x-003-rope: type: invalid enum value 'gadget'",
        "X.json: x-002-great-newt: evolves_from: 'Nobody' is the name of no card",
    ]


def test_a_long_list_is_cut_in_the_message_only(serve, cards: Cards) -> None:
    """The message shows 50 problems and counts the others; the error has all of them."""
    many = [{**NEWT, "id": f"x-{n}", "number": n, "hp": 0} for n in range(1, 201)]

    with pytest.raises(CardBundleError) as caught:
        serve(many).load()

    lines = str(caught.value).splitlines()
    assert (len(lines), lines[-1]) == (52, "  … and 150 more")
    assert len(caught.value.problems) == 200
    assert "200 problems" in lines[0]


def test_what_is_not_json_has_its_line_and_column(serve, cards: Cards) -> None:
    """A syntax error is found by where it is in the file."""
    service = serve(cards)
    (service._directory / "X.json").write_text('[\n  {"id": "ä", oops}\n]', "utf-8")

    [found] = problems(service)
    assert found.startswith("X.json: is not JSON at line 2, column 15: ")


def test_a_file_that_ends_early_is_not_json(serve, cards: Cards) -> None:
    """A file that was cut off says so at its end."""
    service = serve(cards)
    (service._directory / "X.json").write_bytes(b'[\n{"id": ')

    [found] = problems(service)
    assert found == "X.json: is not JSON at line 2, column 8: Input data was truncated"


def test_an_empty_file_is_not_json(serve, cards: Cards) -> None:
    """A file without a byte is named."""
    service = serve(cards)
    (service._directory / "X.json").write_bytes(b"")

    [found] = problems(service)
    assert found.startswith("X.json: is not JSON at line 1, column 1")


def test_a_file_in_another_encoding_is_named(serve, cards: Cards) -> None:
    """A file that is not UTF-8 is named, with the place of the first wrong byte."""
    service = serve(cards)
    content = (service._directory / "X.json").read_bytes()
    (service._directory / "X.json").write_bytes(content.replace(b"swims", b"schwimmt s\xfc\xdf"))

    [found] = problems(service)
    assert found.startswith("X.json: is not UTF-8 at line 1, column ")


def test_a_file_that_is_nested_too_deeply_is_named(serve, cards: Cards) -> None:
    """A file made to exhaust the stack is a problem like any other."""
    service = serve(cards)
    (service._directory / "X.json").write_bytes(b"[" * 100_000)

    assert problems(service) == ["X.json: is nested too deeply to be read"]


@pytest.mark.parametrize("content", [{"cards": []}, "cards", 3, None, True])
def test_a_file_is_a_list_of_cards(serve, content: object) -> None:
    """Any other JSON value is named by its kind."""
    [found] = problems(serve(content))

    assert found.endswith("not an array of cards")


def test_a_file_that_cannot_be_read_is_named(serve, cards: Cards) -> None:
    """A directory in the place of a file is a problem, not a traceback."""
    service = serve(cards)
    (service._directory / "X.json").unlink()
    (service._directory / "X.json").mkdir()

    assert problems(service) == ["X.json: cannot be read: Is a directory"]


def test_one_broken_file_does_not_hide_another(serve, cards: Cards) -> None:
    """Both the index and the set are looked at, even if neither can be used."""
    cards[0]["hp"] = 0
    service = serve(cards)
    (service._directory / "_index.json").write_text("{")

    assert [problem.split(":")[0] for problem in problems(service)] == [
        "_index.json",
        *["X.json"] * 2,
    ]


def test_a_directory_needs_an_index(serve, cards: Cards) -> None:
    """Without an index the files mean nothing."""
    service = serve(cards)
    (service._directory / "_index.json").unlink()

    assert problems(service)[0] == "_index.json: is missing"


def test_an_empty_directory_is_no_bundle(tmp_path: Path) -> None:
    """A directory without a file has no index."""
    assert problems(CardService(tmp_path)) == ["_index.json: is missing"]


def test_a_bundle_needs_a_set(serve, cards: Cards) -> None:
    """An index without a set is refused, and the file beside it is not forgotten."""
    assert problems(serve(cards, {"sets": []})) == [
        "_index.json: sets: expected `array` of length >= 1",
        "X.json: is not listed in _index.json",
    ]


def test_a_set_needs_cards(serve) -> None:
    """A set without a card is refused."""
    assert problems(serve([])) == ["_index.json: sets[0].cards: expected `int` >= 1"]


def test_the_index_is_an_object(serve, cards: Cards) -> None:
    """Any other JSON value is named by its kind."""
    assert problems(serve(cards, ["X.json"]))[0] == "_index.json: is an array, not an object"


def test_a_listed_file_has_to_be_there(serve, cards: Cards) -> None:
    """A set whose file is missing is named."""
    extra = listed(code="Y", file="Y.json")

    assert problems(serve(cards, {"sets": [listed(), extra]})) == [
        "_index.json: sets[1].file: names 'Y.json', which is not a set file beside the index"
    ]


@pytest.mark.parametrize("file", ["../X.json", "/etc/hostname", "_index.json", "X.JSON"])
def test_a_listed_file_is_beside_the_index(serve, cards: Cards, file: str) -> None:
    """A path to somewhere else is never opened."""
    found = problems(serve(cards, {"sets": [listed(file=file)]}))

    assert found[0].startswith(f"_index.json: sets[0].file: names {file!r}, which is not")


def test_a_file_has_to_be_listed(serve, cards: Cards) -> None:
    """A file that the index does not know is named, and checked like the others."""
    service = serve(cards)
    (service._directory / "Y.json").write_text(json.dumps([{**ROPE, "rarity": "odd"}]))

    found = problems(service)
    assert found[0] == "Y.json: is not listed in _index.json"
    assert found[1].startswith("Y.json: x-003-rope: rarity: invalid enum value 'odd'")


def test_other_files_are_left_alone(serve, cards: Cards) -> None:
    """What is not JSON by its name, or hidden, is nobody's business."""
    service = serve(cards)
    (service._directory / "LICENSE").write_text("free")
    (service._directory / ".X.json").write_text("half a ca")

    assert len(service) == 3


def test_the_count_has_to_be_right(serve, cards: Cards) -> None:
    """A set that lost a card is noticed by the number in the index."""
    assert problems(serve(cards, {"sets": [listed(cards=4)]})) == [
        "_index.json: sets[0].cards: is 4, but X.json has 3 cards"
    ]


def test_a_set_is_listed_once(serve, cards: Cards) -> None:
    """Neither a code nor a file can stand for two sets."""
    assert problems(serve(cards, {"sets": [listed(), listed()]})) == [
        "_index.json: sets[1].code: 'X' is the code of two sets",
        "_index.json: sets[1].file: 'X.json' is the file of two sets",
    ]


def test_a_broken_entry_does_not_make_its_file_unknown(serve, cards: Cards) -> None:
    """Only what is wrong with the entry is named."""
    entry = listed(cards="three", code=5)

    assert problems(serve(cards, {"sets": [entry, 7]})) == [
        "_index.json: sets[0].code: expected `str`, got `int`",
        "_index.json: sets[0].cards: expected `int`, got `str`",
        "_index.json: sets[1]: is a number, not an object",
    ]


def test_ids_are_compared_across_sets(serve, cards: Cards) -> None:
    """A card of one set cannot have the id of a card of another."""
    service = serve(cards, {"sets": [listed(), listed(code="Y", file="Y.json", cards=1)]})
    (service._directory / "Y.json").write_text(json.dumps([{**ROPE, "set": "Y"}]))

    assert problems(service) == [
        "Y.json: x-003-rope: id: 'x-003-rope' is already that of card 3 in X.json"
    ]


def test_a_set_that_is_not_complete_may_leave_things_out(serve, cards: Cards) -> None:
    """Creatures without HP or attacks, and lines that begin elsewhere, are served as they are."""
    for field in ("hp", "retreat_cost", "attacks"):
        del cards[0][field]
    cards[1]["evolves_from"] = "Something Else"
    del cards[2]["text"]
    partial = listed(complete=False)
    newt = serve(cards, {"sets": [partial]}).get_card("x-001-newt")

    assert newt is not None
    assert (newt.hp, newt.retreat_cost, newt.attacks) == (None, None, ())


def test_it_still_needs_an_element_and_a_stage(serve, cards: Cards) -> None:
    """What every list has is needed in every set."""
    del cards[0]["element"]
    partial = listed(complete=False)

    assert problems(serve(cards, {"sets": [partial]})) == [
        "X.json: x-001-newt: element: is missing from a creature"
    ]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """A bundle that was encoded and written loads as the same cards, sorted by number."""
    shipped = load_bundle(SHIPPED_BUNDLE)
    names = {card_set.code: card_set.name for card_set in shipped.sets}

    write_bundle(tmp_path / "new", encode_bundle(names, reversed(list(shipped.cards.values()))))

    assert load_bundle(tmp_path / "new") == shipped


def test_a_file_in_any_order_is_served_by_number(serve, cards: Cards) -> None:
    """The order in a file does not matter."""
    assert [card.number for card in serve(cards[::-1])] == [1, 2, 3]


def bundle_of(name: str) -> dict[str, bytes]:
    """Give the files of a bundle of two sets, whose cards have a name."""
    cards = [
        msgspec.convert(ROPE | {"id": f"{code}-{name}", "set": code, "name": name}, CardDefinition)
        for code in ("X", "Y")
    ]
    return encode_bundle({"X": "Ten", "Y": "Nine"}, cards)


def names_in(directory: Path) -> set[str]:
    return {card.name for card in load_bundle(directory).cards.values()}


def test_an_empty_directory_is_filled(tmp_path: Path) -> None:
    """A directory that is there but empty, and one in a folder that is not there, are written."""
    (tmp_path / "here").mkdir()
    for directory in (tmp_path / "here", tmp_path / "not" / "there"):
        write_bundle(directory, bundle_of("New"))

        assert names_in(directory) == {"New"}
    assert {path.name for path in tmp_path.rglob("*")} == {
        "here", "not", "there", "_index.json", "X.json", "Y.json",
    }  # fmt: skip


def test_a_bundle_is_replaced_on_request_only(tmp_path: Path) -> None:
    """Without being asked to, nothing writes over a bundle; replaced, nothing of it is left."""
    old = bundle_of("Old") | {"Z.json": b"[]"}
    (tmp_path / "new").mkdir()
    for name, content in old.items():
        (tmp_path / "new" / name).write_bytes(content)

    with pytest.raises(BundlePlaceError, match="has a card bundle already"):
        write_bundle(tmp_path / "new", bundle_of("New"))
    assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == old

    write_bundle(tmp_path / "new", bundle_of("New"), replace=True)
    assert names_in(tmp_path / "new") == {"New"}
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.parametrize("other", ["notes.txt", ".git", "folder.json"])
def test_what_is_no_bundle_is_never_replaced(tmp_path: Path, other: str) -> None:
    """A directory with anything else in it stays as it is, whatever was asked for."""
    write_bundle(tmp_path / "mine", bundle_of("Old"))
    (tmp_path / "mine" / other).mkdir()

    with pytest.raises(BundlePlaceError, match=f"has other things in it, such as '{other}'"):
        write_bundle(tmp_path / "mine", bundle_of("New"), replace=True)

    (tmp_path / "mine" / other).rmdir()
    assert names_in(tmp_path / "mine") == {"Old"}


def test_a_file_is_no_place_for_a_bundle(tmp_path: Path) -> None:
    """A file of that name stays."""
    (tmp_path / "mine").write_text("notes")

    with pytest.raises(BundlePlaceError, match="mine is a file"):
        write_bundle(tmp_path / "mine", bundle_of("New"), replace=True)
    assert (tmp_path / "mine").read_text() == "notes"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """What a link points to is replaced, and the link is not."""
    write_bundle(tmp_path / "first", bundle_of("Old"))
    (tmp_path / "current").symlink_to("first")

    write_bundle(tmp_path / "current", bundle_of("New"), replace=True)

    assert (tmp_path / "current").is_symlink()
    assert names_in(tmp_path / "first") == names_in(tmp_path / "current") == {"New"}


@pytest.mark.parametrize("times", [1, 2])
def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Whether the files or the last rename fail, the old bundle is there and nothing beside it."""
    write_bundle(tmp_path / "new", bundle_of("Old"))
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if target == tmp_path / "new" and self.suffix == ".new":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    if times == 1:
        monkeypatch.setattr(os, "fsync", lambda _: failing(Path("a.new"), tmp_path / "new"))
    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="No space left"):
        write_bundle(tmp_path / "new", bundle_of("New"), replace=True)

    assert names_in(tmp_path / "new") == {"Old"}
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


# A process for each step of the replacement, which ends there: the hook hears of a step before it.
KILLED = """
import os, shutil, sys
from pathlib import Path
from mantimon.cards.bundle import load_bundle, write_bundle

folder, step = Path(sys.argv[1]), 0
old = {path.name: path.read_bytes() for path in (folder / "old").iterdir()}
new = {path.name: path.read_bytes() for path in (folder / "new").iterdir()}
left = -1

def hook(event, arguments):
    global left
    if left >= 0 and event in {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"}:
        left -= 1
        if left < 0:
            os._exit(9)

sys.addaudithook(hook)
while True:
    target = folder / f"{step}" / "cards"
    write_bundle(target, old)
    if not (child := os.fork()):
        left = step
        write_bundle(target, new, replace=True)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
    step += 1
print(step)
"""


def test_a_process_that_dies_leaves_one_bundle_or_none(tmp_path: Path) -> None:
    """Killed at any step, the old bundle or the new one loads, or none; and one of them is whole.

    What is in the place is never half of a bundle, and the old one is gone only when the new one
    has its name.
    """
    for name in ("old", "new"):
        write_bundle(tmp_path / name, bundle_of(name))
    run = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip

    seen = []
    for step in range(int(run.stdout)):
        place = tmp_path / f"{step}" / "cards"
        beside = [path for path in place.parent.iterdir() if path.suffix == ".old"]
        if place.exists():
            seen.append(names_in(place).pop())
        else:
            assert [names_in(path) for path in beside] == [{"old"}]
            seen.append("none")
    assert seen == sorted(seen, key=["old", "none", "new"].index)
    assert set(seen) == {"old", "none", "new"}


def test_a_load_sees_one_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle that is replaced while it is read is not read half and half."""
    write_bundle(tmp_path / "cards", bundle_of("Old"))
    content = bundle._content

    def replaced(name: str, folder: int) -> bytes:
        found = content(name, folder)
        if name == "X.json":
            write_bundle(tmp_path / "cards", bundle_of("New"), replace=True)
        return found

    monkeypatch.setattr(bundle, "_content", replaced)
    with pytest.raises(CardBundleError, match=r"Y\.json: cannot be read: No such file"):
        load_bundle(tmp_path / "cards")

    monkeypatch.undo()
    assert names_in(tmp_path / "cards") == {"New"}


def test_a_directory_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """Whatever the system has against a directory is a problem, not a traceback."""
    name = "x" * 300

    assert problems(CardService(tmp_path / name)) == [f"{name}: cannot be read: File name too long"]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    position=st.integers(0, 2), field=st.sampled_from(CardDefinition.__struct_fields__), junk=JUNK
)
@example(position=0, field="number", junk=4)  # a valid value that changes the order of the cards
def test_a_bundle_loads_or_says_why(
    tmp_path_factory: pytest.TempPathFactory, position: int, field: str, junk: object
) -> None:
    """Whatever stands in a field, there is either a card of that value or a named problem."""
    cards = json.loads(json.dumps([NEWT, GREAT_NEWT, ROPE]))
    cards[position][field] = junk
    directory = tmp_path_factory.getbasetemp() / "junk"
    directory.mkdir(exist_ok=True)
    (directory / "X.json").write_text(json.dumps(cards))
    (directory / "_index.json").write_text(json.dumps({"sets": [listed()]}))

    try:
        served, named = {card.id: card for card in CardService(directory)}, ()
    except CardBundleError as error:
        served, named = {}, error.problems

    assert bool(named) is not bool(served)
    if served:
        value = getattr(served[cards[position]["id"]], field)
        assert json.loads(msgspec.json.encode(value)) == junk
