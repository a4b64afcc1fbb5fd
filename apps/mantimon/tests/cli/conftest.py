"""The commands of players, decks and campaigns, on a database of the test's own."""

import io
import json
import sys

import pytest

from mantimon import cli


@pytest.fixture
def mantimon(on_clone, monkeypatch, capsys):
    """Give a function that runs the command and returns its exit code, output and errors."""

    def call(*arguments, stdin=""):
        monkeypatch.setattr(sys, "argv", ["mantimon", *map(str, arguments)])
        given = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(
            sys, "stdin", None if given is None else io.TextIOWrapper(io.BytesIO(given))
        )
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return call


@pytest.fixture
def made(mantimon):
    """Give a function that runs a command with --json and returns what it printed."""

    def call(*arguments, stdin=""):
        code, out, err = mantimon(*arguments, "--json", stdin=stdin)
        assert (code, err) == (0, "")
        return json.loads(out)

    return call


@pytest.fixture
def refused(mantimon):
    """Give a function that runs a command that is refused, and returns its code and its line."""

    def call(*arguments, stdin=""):
        code, out, err = mantimon(*arguments, stdin=stdin)
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        as_json, out, err_json = mantimon(*arguments, "--json", stdin=stdin)
        assert (as_json, out) == (code, "")
        assert err == f"error: {json.loads(err_json)['error']}\n"
        return code, err.removeprefix("error: ").rstrip("\n")

    return call


@pytest.fixture
def login(made):
    """Give a function that makes a player, or lets one in, and returns the account."""

    def call(name, email=None):
        identity = ["--provider", "google", "--id", f"google-{name}", "--name", name]
        return made("players", "login", *identity, "--email", email or f"{name}@example.test")

    return call


@pytest.fixture
def ann(login):
    """Give a player as the command prints it."""
    return login("ann")
