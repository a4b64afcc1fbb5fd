"""What `mantimon simulate` prints, and what it refuses."""

import json
import sys

import pytest
import typer

from holdfast.cli import run
from mantimon.cli.simulate import simulate
from mantimon.errors import InvalidInputError

ALL_WRONG = (
    "error: games is -1, and is to be from 1 to 100000; seed is -1, and is to be from 0 to "
    "9223372036854775807; players is 1, and is to be from 2 to 10000; workers is 0, and is to be "
    "from 1 to 64\n"
)


@pytest.fixture
def command(patient, on_clone, on_redis, monkeypatch, capsys):
    """Give a function that runs the command and returns its exit code, output and errors."""
    app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(simulate)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["simulate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run(app, wrong=(InvalidInputError,))
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return call


def test_the_report_for_people(command):
    """A line for each thing that there is to know."""
    code, out, err = command("--games", 3, "--players", 2, "--workers", 1)

    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    said = dict(lines)
    assert (code, err) == (0, "")
    assert said["run"].endswith(": seed 1, 2 players, 1 workers")
    assert said["games"] == "3 of 3 played and in the history"
    assert set(said) == {
        *("run", "games", "ended", "types", "turns", "saves", "persists", "kills", "states"),
        *("speed", "check"),
    }
    assert said["persists"].endswith(" turns in PostgreSQL, 0 of them lost")
    assert said["check"] == "ok: no game is missing, double, wrong or left, and none went back"


def test_the_report_for_programs(command):
    """With --json the report is one document."""
    code, out, err = command("--games", 3, "--players", 2, "--json")

    report = json.loads(out)
    assert (code, err) == (0, "")
    plan = {"games": 3, "seed": 1, "players": 2, "workers": 2, "kill": False}
    assert report["plan"] == plan
    assert (report["played"], report["problems"]) == (3, [])
    assert (report["kills"], report["turns_lost"]) == (0, 0)
    assert report["saves"] > report["persists"] > report["turns"]
    assert sum(report["by_type"].values()) == sum(report["by_reason"].values()) == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--games", "-1", "--players", "1", "--workers", "0", "--seed", "-1"], ALL_WRONG),
        (["--games", str(10**30)], "error: games is 10000"),
        (["--kill", "--workers", "1"], "error: workers is 1, and is to be from 2 to 64"),
    ],
)
def test_numbers_that_make_no_sense(command, arguments, says):
    """They are refused all at once, in a line, before anything is started."""
    code, out, err = command(*arguments)

    assert (code, out) == (2, "")
    assert err.startswith(says)
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--games", "many"], ["--bogus"], ["ten"]])
def test_wrong_use(command, arguments):
    """What is no number, option or argument is exit code 2."""
    assert command(*arguments)[0] == 2


def test_a_database_that_is_not_there(command, clean_environment):
    """It is one line, without a traceback or the password."""
    clean_environment.setenv("DATABASE_URL", "postgresql://app:hush-hush@127.0.0.1:1/nothing")
    code, out, err = command()

    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "hush-hush" not in err


def test_a_database_without_tables(command, clean_environment, empty_clone):
    """The line has the command that makes them."""
    clean_environment.setenv("DATABASE_URL", empty_clone.app)
    code, out, err = command()

    assert (code, out) == (1, "")
    assert "its tables are not those of this version: holdfast migrate" in err
    assert err.count("\n") == 1


def test_a_redis_that_is_not_there(command, clean_environment):
    """It is one line as well, before anything is started, and without the password."""
    clean_environment.setenv("REDIS_URL", "redis://:hush-hush@127.0.0.1:1/0")
    code, out, err = command()

    assert (code, out) == (1, "")
    assert err.startswith("error: Redis at 127.0.0.1:1/0: the connection was refused")
    assert err.count("\n") == 1
    assert "hush-hush" not in err


def test_production_is_left_alone(command, clean_environment):
    """Nobody simulates among real players."""
    for name in ("SECRET_KEY", "REDIS_URL"):
        clean_environment.setenv(name, "redis://example/0")
    for provider in ("GOOGLE", "DISCORD"):
        clean_environment.setenv(f"OAUTH_{provider}_CLIENT_ID", "id")
        clean_environment.setenv(f"OAUTH_{provider}_CLIENT_SECRET", "secret")
    clean_environment.setenv("ENVIRONMENT", "prod")

    says = "error: ENVIRONMENT is prod, and simulated games would count as real ones\n"
    assert command() == (2, "", says)
