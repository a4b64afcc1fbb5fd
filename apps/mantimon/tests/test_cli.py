"""The command `mantimon`: what it prints, as text and as JSON, and how it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mantimon import cli
from mantimon.cli import cards as cards_commands
from mantimon.services.card_service import CardService


@pytest.fixture
def mantimon(monkeypatch, capsys):
    """Give a function that runs the command and returns its exit code, output and errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mantimon", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


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
    ],
)
def test_bad_input_is_one_line(mantimon, arguments, code, says):
    """What cannot be answered is one line, 2 for wrong use and 1 for a failure; no traceback."""
    ended, out, err = mantimon("cards", *arguments)

    assert (ended, out) == (code, "")
    assert err.startswith(says)
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--bogus"], ["cards", "show"], ["cards", "fly"], []])
def test_wrong_use(mantimon, arguments):
    """A command that does not exist, or lacks something, is exit code 2."""
    assert mantimon(*arguments)[0] == 2


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
