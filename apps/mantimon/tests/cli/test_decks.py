"""The commands of `mantimon decks`: what they print, and how they end."""

import json
import uuid

import pytest

from mantimon.services.starters import choose_starter

ANN = "ann@example.test"


@pytest.fixture
def starter(ann, made):
    """Give the starter deck of a player as the command prints it."""
    made("campaign", "starter", ANN, "tide")
    [deck] = made("decks", "list", ANN)["items"]
    return deck


@pytest.fixture
def write(tmp_path):
    """Give a function that writes a file and returns its path."""

    def written(content):
        file = tmp_path / "deck.json"
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    return written


def test_a_suggested_deck(mantimon, made, starter):
    """The best of what is owned is a valid deck, listed after the starter."""
    built = made("decks", "build", ANN, "Best", "--suggest")

    assert (built["name"], built["is_valid"], built["validation_errors"]) == ("Best", True, None)
    code, out, _ = mantimon("decks", "list", ANN)
    header, first, second = (line.split() for line in out.splitlines())
    assert code == 0
    assert header == ["id", "name", "size", "is_valid", "starter_type", "updated_at"]
    assert first[:6] == [starter["id"], "Tide", "starter", "60", "yes", "tide"]
    assert second[:4] == [built["id"], "Best", "60", "yes"]


def test_a_deck_from_a_file(mantimon, made, starter, write):
    """What `show --json` prints can be built again, from a file as from a pipe."""
    shown = made("decks", "show", ANN, starter["id"])
    listed = {"cards": shown["cards"], "energy_cards": shown["energy_cards"]}

    for built in (
        made("decks", "build", ANN, "Copy", "--from", write(listed)),
        made("decks", "build", ANN, "Copy", "--from", "-", stdin=json.dumps(listed)),
    ):
        assert {key: built[key] for key in listed} == listed
        assert built["is_valid"] is True
    code, out, _ = mantimon("decks", "build", ANN, "Copy", "--from", write(listed))
    assert code == 0
    assert out.splitlines()[1:] == ["name  Copy", "size  60", "Copy: valid"]


def test_a_deck_that_breaks_rules(mantimon, made, ann, write):
    """It is stored, with everything that is wrong; `check` says the same, and ends with 1."""
    file = write({"cards": {"m9-001": 5}, "energy_cards": {"gold": 1}})
    code, out, _ = mantimon("decks", "build", ANN, "Wrong", "--from", file)

    problems = [
        "the deck has 6 cards; it needs 60",
        "there is no card 'm9-001'",
        "there is no 'gold' energy",
        "the deck has no basic creature, so no game can begin with it",
    ]
    said = ["Wrong: not valid", *(f"  {problem}" for problem in problems)]
    assert (code, out.splitlines()[3:]) == (0, said)
    code, out, _ = mantimon("decks", "check", ANN)
    assert (code, out.splitlines()) == (1, said)
    code, out, _ = mantimon("decks", "check", ANN, "--json")
    assert (code, json.loads(out)[0]["validation_errors"]) == (1, problems)


def test_a_check_of_one_deck(mantimon, made, starter, write):
    """Only the deck that is named is checked."""
    made("decks", "build", ANN, "Empty", "--from", write({"cards": {}}))

    assert mantimon("decks", "check", ANN, starter["id"])[:2] == (0, "Tide starter: valid\n")
    assert mantimon("decks", "check", ANN)[0] == 1


def test_a_deck_card_by_card(mantimon, starter, first_set):
    """Every card is a line with its name and count, then the energy and the verdict."""
    code, out, _ = mantimon("decks", "show", ANN, starter["id"])

    names = {card.id: card.name for card in first_set}
    cards = choose_starter("tide", first_set).cards
    lines = [line.rstrip().split(maxsplit=2) for line in out.splitlines()]
    assert code == 0
    assert lines[1:-2] == [[str(cards[card]), card, names[card]] for card in sorted(cards)]
    assert lines[-2] == ["20", "tide", "energy"]
    assert out.splitlines()[-1] == "Tide starter: valid"


def test_a_card_that_does_not_exist_is_shown(mantimon, made, ann, write):
    """A deck with a card that is gone can still be looked at."""
    built = made("decks", "build", ANN, "Old", "--from", write({"cards": {"gone": 1}}))
    code, out, _ = mantimon("decks", "show", ANN, built["id"])

    assert code == 0
    assert "  there is no card 'gone'" in out.splitlines()


def test_a_changed_deck(made, starter, write):
    """List and name change together or alone, and the verdict goes with the list."""
    file = write({"cards": starter["cards"], "energy_cards": {"tide": 19}})
    both = made("decks", "change", ANN, starter["id"], "--from", file, "--name", "Mine")
    assert (both["name"], both["is_valid"]) == ("Mine", False)

    renamed = made("decks", "change", ANN, starter["id"], "--name", "Ours")
    assert (renamed["name"], renamed["is_valid"]) == ("Ours", False)
    file = write({"cards": starter["cards"], "energy_cards": {"tide": 20}})
    mended = made("decks", "change", ANN, starter["id"], "--from", file)
    assert (mended["name"], mended["is_valid"]) == ("Ours", True)


def test_a_change_that_fails_halfway(made, refused, starter, write):
    """When the name is none, the list is not changed either."""
    code, _ = refused(
        "decks", "change", ANN, starter["id"], "--from", write({"cards": {}}), "--name", " "
    )

    assert code == 2
    assert made("decks", "show", ANN, starter["id"])["cards"] == starter["cards"]


def test_a_deleted_deck(made, starter):
    """A deck goes, and its cards stay."""
    assert made("decks", "delete", ANN, starter["id"]) == {"deleted": starter["id"]}
    assert made("decks", "list", ANN)["items"] == []
    assert made("players", "cards", ANN)["items"] != []


def test_the_deck_of_another(refused, login, starter):
    """Another player's deck is not found by any command."""
    bob = login("bob")
    for command in (["show"], ["delete"], ["check"], ["change", "--name", "Mine"]):
        name, *options = command
        said = f"player {bob['id']} has no deck {starter['id']}"
        assert refused("decks", name, bob["id"], starter["id"], *options) == (1, said)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is no deck: Input data was truncated"),
        ("[]", "is no deck: Expected `object`, got `array`"),
        ("{}", "is no deck: Object missing required field `cards`"),
        ('{"cards": {}, "energy": {}}', "is no deck: Object contains unknown field `energy`"),
        ('{"cards": [1]}', "is no deck: Expected `object`, got `array` - at `$.cards`"),
        (b"\xff", "is no deck: JSON is malformed"),
        (b'{"cards": {"\xe9": 1}}', "is no deck: 'utf-8' codec can't decode byte 0xe9"),
        ("[" * 100_000, "is no deck: "),
        ('{"cards": {"a": 0, "b": 1.5, "c": 1}}', "count of a: 0, b: 1.5; it is between 1 and"),
        ('{"cards": {"a": 0}, "energy_cards": {"tide": -1}}', "count of a: 0, tide: -1; it is"),
        ('{"cards": {"": 1}}', "'' is no id; one has 1 to 64 printable characters"),
    ],
    ids=[
        "cut",
        "list",
        "empty",
        "typo",
        "cards",
        "bytes",
        "latin",
        "deep",
        "counts",
        "both",
        "ids",
    ],
)
@pytest.mark.usefixtures("ann")
def test_a_file_that_is_no_deck(refused, made, write, content, says):
    """A file that cannot be a deck is one line that says what and where; nothing is stored."""
    code, said = refused("decks", "build", ANN, "Deck", "--from", write(content))

    assert code == 2
    assert says in said
    assert made("decks", "list", ANN)["items"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["build", ANN, "Deck"], 2, "say one of --from and --suggest"),
        (["build", ANN, "Deck", "--suggest", "--from", "x"], 2, "say one of --from and --suggest"),
        (["build", ANN, " ", "--suggest"], 2, "the deck's name is ' '; it has 1 to 100"),
        (["build", ANN, "Deck", "--from", "nowhere.json"], 1, "nowhere.json"),
        (["change", ANN, str(uuid.UUID(int=7))], 2, "say --from, --name or both"),
        (["list", "nobody"], 1, "there is no player 'nobody'"),
        (["list", ANN, "--limit", "0"], 2, "limit is 0"),
    ],
)
@pytest.mark.usefixtures("ann")
def test_bad_input_is_one_line(refused, arguments, code, says):
    """What cannot be done is one line: 2 for wrong use, 1 for a failure."""
    ended, said = refused("decks", *arguments)

    assert ended == code
    assert says in said


@pytest.mark.usefixtures("ann")
def test_an_input_that_is_no_text(refused):
    """Bytes that are no UTF-8 are said to be no deck from the standard input as well."""
    code, said = refused(
        "decks", "build", ANN, "Deck", "--from", "-", stdin=b'{"cards": {"\xe9": 1}}'
    )

    assert code == 2
    assert said.startswith("the standard input is no deck: ")


@pytest.mark.usefixtures("ann")
def test_a_closed_input(refused):
    """A deck that is to be read from nowhere is wrong use."""
    code, said = refused("decks", "build", ANN, "Deck", "--from", "-", stdin=None)

    assert (code, said) == (2, "the standard input is closed, and - reads it")


def test_an_id_that_is_none(mantimon, ann):
    """A deck is named by its id."""
    assert mantimon("decks", "show", ANN, "First")[0] == 2
