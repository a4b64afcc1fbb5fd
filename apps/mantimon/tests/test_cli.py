"""The command `mantimon`: what it prints, as text and as JSON, and how it ends."""

import inspect
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import structs

from mantimon import cli
from mantimon.cards.bundle import encode_bundle, write_bundle
from mantimon.cli import cards as cards_commands
from mantimon.cli.commands import app
from mantimon.services.card_service import CardService

FOREIGN = Path(__file__).parent / "cards" / "data" / "foreign.json"
# What a terminal would obey, and what rich would take for its own.
EVIL = "Bad\x1b[31m\x9b2J\u202e\x07\n[bold]Newt[/] :smile:"
SHOWN = r"Bad\u001b[31m\u009b2J\u202e\u0007 [bold]Newt[/] :smile:"


@pytest.fixture
def mantimon(monkeypatch, capsys):
    """Give a function that runs the command and returns its exit code, output and errors."""
    monkeypatch.delenv("MANTIMON_CARDS", raising=False)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mantimon", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


def every_command(app):
    """Give each command of an application, also those in groups."""
    yield from app.registered_commands
    for group in app.registered_groups:
        yield from every_command(group.typer_instance)


def test_each_command_has_an_example_and_prints_json():
    """The help of each command ends with an example, and each has --json."""
    found = list(every_command(app))

    assert len(found) > 20
    for command in found:
        assert (command.epilog or "").startswith("For example: mantimon "), command.callback
        assert "as_json" in inspect.signature(command.callback).parameters, command.callback


def test_list_has_every_card_on_a_line(mantimon, cards):
    """Without options every card is listed, with its whole id, and counted."""
    code, out, _ = mantimon("cards", "list")

    lines = out.splitlines()
    assert code == 0
    assert [line.split()[0] for line in lines[1:-1]] == [card.id for card in cards]
    assert lines[-1] == "372 cards"


def test_a_list_of_one(mantimon, cards):
    """One card is not cards."""
    names = [card.name for card in cards]
    name = next(each for each in names if sum(each in other for other in names) == 1)

    assert mantimon("cards", "list", "--name", name)[1].splitlines()[-1] == "1 card"


@pytest.mark.parametrize(
    ("options", "matches"),
    [
        (["--set", "M1a"], lambda card: card.set == "M1a"),
        (["--element", "tide"], lambda card: card.element == "tide"),
        (["--type", "supporter"], lambda card: card.type == "supporter"),
        (["--stage", "stage_2"], lambda card: card.stage == "stage_2"),
        (["--rarity", "crown"], lambda card: card.rarity == "crown"),
        (["--name", "KIND"], lambda card: "kind" in card.name.casefold()),
        (
            ["--element", "tide", "--rarity", "common"],
            lambda card: card.element == "tide" and card.rarity == "common",
        ),
    ],
)
def test_list_takes_filters(mantimon, cards, options, matches):
    """Each option narrows the list, and several narrow it together."""
    code, out, _ = mantimon("cards", "list", *options, "--json")

    expected = [card.id for card in cards if matches(card)]
    assert code == 0
    assert [card["id"] for card in json.loads(out)] == expected
    assert 0 < len(expected) < 372


def test_list_of_nothing(mantimon):
    """No match is no error."""
    assert mantimon("cards", "list", "--name", "zzz", "--json") == (0, "[]\n", "")


def test_search_is_a_page(mantimon, cards):
    """A search shows 20 cards, says how many there are and how to see the next."""
    code, out, _ = mantimon("cards", "search")

    lines = out.splitlines()
    assert code == 0
    assert [line.split()[0] for line in lines[1:-1]] == [card.id for card in cards][:20]
    assert lines[-1] == "1 to 20 of 372 cards; the next: --offset 20"


@pytest.mark.parametrize(
    ("options", "last"),
    [
        (["--offset", "20", "--limit", "5"], "21 to 25 of 372 cards; the next: --offset 25"),
        (["--offset", "370"], "371 to 372 of 372 cards"),
        (["--offset", "372"], "none of 372 cards"),
        (["--limit", "0"], "none of 372 cards"),
        (["--limit", "1000"], "372 cards"),
        (["zzz"], "0 cards"),
        (["zzz", "--offset", "5"], "0 cards"),
    ],
)
def test_pages_of_a_search(mantimon, options, last):
    """Each page says where it stands; the last, and what is behind it, have no next one."""
    assert mantimon("cards", "search", *options)[1].splitlines()[-1] == last


@pytest.mark.parametrize(
    ("options", "matches"),
    [
        (["KÍND"], lambda card: "kind" in card.name.casefold()),
        (["--set", "M1a", "--type", "creature"], lambda card: card.set == "M1a" and card.hp),
        (["--hp-min", "60", "--hp-max", "80"], lambda card: 60 <= (card.hp or 0) <= 80),
        (["--retreat-max", "0"], lambda card: card.retreat_cost == 0),
        (["--retreat-min", "4"], lambda card: (card.retreat_cost or 0) >= 4),
        (
            ["a", "--element", "tide", "--stage", "basic", "--rarity", "common", "--hp-max", "60"],
            lambda card: (
                (card.element, card.stage, card.rarity) == ("tide", "basic", "common")
                and card.hp <= 60
                and "a" in card.name.casefold()
            ),
        ),
    ],
)
def test_search_takes_filters(mantimon, cards, options, matches):
    """Text, kinds and ranges narrow a search together; the JSON is the page."""
    code, out, _ = mantimon("cards", "search", *options, "--json", "--limit", "400")

    page, expected = json.loads(out), [card.id for card in cards if matches(card)]
    assert code == 0
    assert [card["id"] for card in page["cards"]] == expected
    assert (page["total"], page["next_offset"]) == (len(expected), None)
    assert 0 < len(expected) < 372


def test_search_in_an_order(mantimon, cards):
    """The strongest come first, those of one HP by set and number."""
    code, out, _ = mantimon(
        "cards", "search", "--order", "hp", "--descending", "--limit", "7", "--json"
    )

    strongest = sorted(cards, key=lambda card: -(card.hp or 0))[:7]
    assert code == 0
    assert [card["id"] for card in json.loads(out)["cards"]] == [card.id for card in strongest]
    assert json.loads(out)["next_offset"] == 7


def test_show(mantimon, cards):
    """Everything that is printed on a card is shown."""
    card = next(card for card in cards if card.attacks and card.weakness)
    code, out, _ = mantimon("cards", "show", card.id)

    assert code == 0
    for part in (card.id, card.name, card.text, str(card.hp), card.attacks[0].name):
        assert part in out
    assert f"element {card.weakness.element}, value {card.weakness.value}" in out


def test_show_as_json(mantimon, cards):
    """The JSON is that of the bundle."""
    card = next(iter(cards))
    code, out, _ = mantimon("cards", "show", card.id, "--json")

    assert code == 0
    assert json.loads(out)["name"] == card.name


def test_stats(mantimon):
    """The cards are counted by set and kind."""
    code, out, _ = mantimon("cards", "stats")

    assert code == 0
    assert ["set", "M1", "286"] in [line.split() for line in out.splitlines()]
    assert ["set", "M1a", "86"] in [line.split() for line in out.splitlines()]
    assert out.splitlines()[-1] == "372 cards"


def test_stats_as_json(mantimon):
    """The same counts for programs."""
    counts = json.loads(mantimon("cards", "stats", "--json")[1])

    assert counts["total"] == sum(counts["by_set"].values()) == 372


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["show", "m9-999"], 1, "error: No card has the id 'm9-999'.\n"),
        (["list", "--set", "M9"], 2, "error: There is no card set 'M9'; the sets are M1, M1a.\n"),
        (["list", "--element", "gold"], 2, "error: No card has the element 'gold'; valid are"),
        (["list", "--type", "energy"], 2, "error: No card has the type 'energy'; valid are"),
        (["search", "--order", "size"], 2, "error: Cards have no order 'size'; valid are set, num"),
        (["search", "--limit", "-1"], 2, "error: limit is -1; it is a whole number from 0 up.\n"),
        (["search", "--hp-min", "9", "--hp-max", "8"], 2, "error: hp_min is 9, which is more than"),
        (
            ["search", "--offset", "-1", "--stage", "late"],
            2,
            "error: No card has the stage 'late'; valid are basic, stage_1, stage_2. offset is -1",
        ),
        (["import", "none.json", "--to", "x"], 1, "error: Nothing was imported: none.json: cannot"),
    ],
)
def test_bad_input_is_one_line(mantimon, arguments, code, says):
    """What cannot be answered is one line, 2 for wrong use and 1 for a failure; no traceback."""
    ended, out, err = mantimon("cards", *arguments)

    assert (ended, out) == (code, "")
    assert err.startswith(says)
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bogus"],
        ["cards", "show"],
        ["cards", "fly"],
        ["cards", "search", "--limit", "many"],
        ["cards", "search", "one", "two"],
        ["cards", "import", "list.json"],
        ["cards", "import", "--to", "cards"],
        [],
    ],
)
def test_wrong_use(mantimon, arguments):
    """A command that does not exist, or lacks something, is exit code 2."""
    assert mantimon(*arguments)[0] == 2


def test_import_is_served(mantimon, monkeypatch, tmp_path):
    """What was imported is said, set by set and change by change, and then served."""
    place = tmp_path / "my cards"
    code, out, err = mantimon("cards", "import", str(FOREIGN), "--to", str(place))

    lines = [line.split() for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert ["Q2", "8"] in lines
    assert ["element", "FIRE", "flame", "1"] in lines
    assert ["image", "given", "left", "out", "17"] in lines
    assert out.splitlines()[-2:] == ["17 cards", f"to serve them: export MANTIMON_CARDS='{place}'"]

    monkeypatch.setenv("MANTIMON_CARDS", str(place))
    assert mantimon("cards", "list")[1].splitlines()[-1] == "17 cards"
    assert "Émberon" in mantimon("cards", "search", "emberon", "--hp-max", "110")[1]
    assert mantimon("cards", "show", "m1-001-kindlekit")[0] == 1


def test_import_for_programs(mantimon, tmp_path):
    """The same as one document."""
    code, out, _ = mantimon("cards", "import", str(FOREIGN), "--to", str(tmp_path / "x"), "--json")

    said = json.loads(out)
    assert code == 0
    assert (said["cards"], said["sets"]) == (17, {"Q2": 8, "PROMO-Q": 9})
    assert {"field": "type", "found": "tool", "became": "item", "cards": 1} in said["changes"]


def test_import_replaces_on_request_only(mantimon, tmp_path):
    """A bundle that is there stays, unless it is said; another directory stays in any case."""
    arguments = ("cards", "import", str(FOREIGN), "--to")
    assert mantimon(*arguments, str(tmp_path / "x"))[0] == 0

    code, _, err = mantimon(*arguments, str(tmp_path / "x"))
    assert code == 2
    assert err.endswith("x has a card bundle already; give another directory, or --replace it.\n")
    assert mantimon(*arguments, str(tmp_path), "--replace")[0] == 2
    assert mantimon(*arguments, str(tmp_path / "x"), "--replace")[0] == 0


def test_import_names_all_problems_and_writes_nothing(mantimon, tmp_path):
    """Each problem of a list is a line with its card and field, on the error stream."""
    listed = json.loads(FOREIGN.read_text("utf-8"))
    listed[0]["rarity"], listed[1]["number"], listed[1]["name"] = "XX", 3, EVIL
    (tmp_path / "list.json").write_text(json.dumps(listed))

    code, out, err = mantimon(
        "cards", "import", str(tmp_path / "list.json"), "--to", str(tmp_path / "new")
    )

    first, *lines = err.splitlines()
    assert (code, out) == (1, "")
    assert first == "error: Nothing was imported, for 2 problems:"
    assert lines[0].startswith("  list.json: card 1, Q2 3 Mossling: rarity: 'XX' is not known;")
    assert lines[1].startswith(r"  list.json: card 2, Q2 3 Bad\u001b[31m\u009b2J")
    assert lines[1].endswith(": number: 3 of Q2 is already that of card 1, Q2 3 Mossling")
    assert [path.name for path in tmp_path.iterdir()] == ["list.json"]


@pytest.mark.parametrize("command", [["list"], ["search", "newt"], ["show", "m1-001"]])
def test_a_terminal_obeys_no_card(mantimon, monkeypatch, cards, tmp_path, command):
    """A name is shown as it is: its control characters as text, and its brackets, too."""
    evil = structs.replace(next(iter(cards)), id="m1-001", name=EVIL)
    write_bundle(tmp_path / "x", encode_bundle({"M1": "One"}, [evil]))
    monkeypatch.setenv("MANTIMON_CARDS", str(tmp_path / "x"))

    shown, as_json = (mantimon("cards", *command, *more)[1] for more in ([], ["--json"]))

    assert SHOWN in " ".join(shown.split())
    assert json.dumps(EVIL).strip('"') in as_json.replace(r"\u000a", r"\n")
    for out in (shown, as_json):
        assert all(char.isprintable() for line in out.split("\n") for char in line)


def test_a_bar_is_for_terminals(tmp_path):
    """Reading a list shows how far it is on a terminal, and leaves standard output alone."""
    command = [Path(sys.executable).with_name("mantimon"), "cards", "import", FOREIGN]
    mine, theirs = pty.openpty()
    run = subprocess.run(
        [*command, "--to", tmp_path / "x", "--json"],
        stdout=subprocess.PIPE, stderr=theirs, check=True, env=os.environ | {"TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    shown = os.read(mine, 100_000).decode()
    os.close(mine)

    assert json.loads(run.stdout)["cards"] == 17
    assert "cards" in shown
    assert "100%" in shown
    quiet = subprocess.run([*command, "--to", tmp_path / "y"], capture_output=True, check=True)
    assert quiet.stderr == b""


def test_errors_for_programs(mantimon):
    """With --json an error is JSON too."""
    code, out, err = mantimon("cards", "show", "m9-999", "--json")

    assert (code, out) == (1, "")
    assert json.loads(err) == {"error": "No card has the id 'm9-999'."}


def test_a_broken_bundle_is_a_failure(mantimon, monkeypatch, tmp_path):
    """Card files that cannot be read end the command with 1 and what is wrong with them."""
    (tmp_path / "_index.json").write_text("{", encoding="utf-8")
    monkeypatch.setattr(cards_commands, "get_card_service", CardService(tmp_path).load)

    code, out, err = mantimon("cards", "stats")

    assert (code, out) == (1, "")
    assert "_index.json" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["show", "m1-001-kindlekit"]])
@pytest.mark.parametrize(
    ("output", "code", "says"), [(">/dev/full", 1, "No space left on device"), (">&-", 0, "")]
)
def test_an_output_that_cannot_be_written(arguments, output, code, says):
    """A full disk is a failure in one line; output that nobody asked for is no failure."""
    command = [Path(sys.executable).with_name("mantimon"), "cards", *arguments]
    shell = ["sh", "-c", f'exec "$@" {output}', "sh", *command]
    run = subprocess.run(shell, capture_output=True, text=True, check=False)

    assert (run.returncode, run.stderr.count("\n")) == (code, code)
    assert says in run.stderr


def test_wrong_use_for_programs(mantimon):
    """With --json wrong use is an object on the error stream as well."""
    code, out, err = mantimon("cards", "list", "--bogus", "--json")

    assert (code, out) == (2, "")
    assert "--bogus" in json.loads(err)["error"]


def test_the_installed_command():
    """The script of the package is there and works."""
    command = Path(sys.executable).with_name("mantimon")
    run = subprocess.run(
        [command, "cards", "stats", "--json"], capture_output=True, text=True, check=True
    )

    assert json.loads(run.stdout)["total"] == 372
