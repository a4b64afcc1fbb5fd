"""The commands of `mantimon players`: what they print, and how they end."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from mantimon.services.starters import choose_starter

ANN = "ann@example.test"
TAKEN = (
    f"{ANN} already belongs to another account; "
    "log in with the provider that was used the first time"
)


def test_a_player_from_first_to_last(made, login):
    """A player is made, let in again, listed, shown by id and address, and deleted."""
    ann = login("ann")
    again = login("ann")

    assert uuid.UUID(ann["id"]).version == 7
    assert again["id"] == ann["id"]
    assert again["last_login"] > ann["last_login"]
    assert made("players", "list") == {"items": [again], "next": None}
    assert made("players", "show", ann["id"]) == made("players", "show", ANN) == again
    assert made("players", "delete", ANN) == {"deleted": ann["id"]}
    assert made("players", "list")["items"] == []


def test_for_people(mantimon, ann, login):
    """A player is a line of a table, and shown a line for each thing that there is."""
    login("[red]:smile:", "bob@example.test")
    code, out, _ = mantimon("players", "list")

    header, first, second = out.splitlines()
    assert code == 0
    assert header.split() == ["id", "email", "display_name", "premium", "created_at", "last_login"]
    assert first.split()[:4] == [ann["id"], ANN, "ann", "no"]
    assert second.split()[1:4] == ["bob@example.test", "[red]:smile:", "no"]

    code, out, _ = mantimon("players", "show", ANN)
    shown = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert code == 0
    assert (shown["id"], shown["email"], shown["premium"]) == (ann["id"], ANN, "no")
    assert "avatar_url" not in shown


def test_pages(mantimon, made, login):
    """A page says how to go on, in words and in JSON."""
    for name in ("a", "b", "c"):
        login(name)
    first = made("players", "list", "--limit", 2)
    rest = made("players", "list", "--limit", 2, "--after", first["next"])

    assert [each["display_name"] for each in first["items"] + rest["items"]] == ["a", "b", "c"]
    assert rest["next"] is None
    _, out, _ = mantimon("players", "list", "--limit", 2)
    assert out.splitlines()[-1] == f"more: --after {first['next']}"


def test_premium(made, ann):
    """Premium is granted for days, added to, made endless, and ended."""
    first = made("players", "premium", ANN, "--days", 30)
    more = made("players", "premium", ann["id"], "--days", 1)

    assert first["premium"] is True
    until = datetime.fromisoformat(first["premium_until"])
    assert timedelta(days=29) < until - datetime.now(UTC) <= timedelta(days=30)
    assert datetime.fromisoformat(more["premium_until"]) - until == timedelta(days=1)
    forever = made("players", "premium", ANN, "--forever")
    assert (forever["premium"], forever["premium_until"]) == (True, None)
    ended = made("players", "premium", ANN, "--end")
    assert (ended["premium"], ended["premium_until"]) == (False, None)


def test_cards(mantimon, made, ann, first_set):
    """What a player owns is listed with names, page by page."""
    made("campaign", "starter", ANN, "tide")
    owned = choose_starter("tide", first_set).cards

    first = made("players", "cards", ANN, "--limit", 5)
    rest = made("players", "cards", ANN, "--after", first["next"])
    assert len(first["items"]) == 5
    listed = {each["card"]: each["quantity"] for each in first["items"] + rest["items"]}
    assert listed == owned
    code, out, _ = mantimon("players", "cards", ANN, "--limit", 1)
    card = first["items"][0]
    assert code == 0
    assert f"{card['card']}  {card['name']}" in out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["show", "bob@example.test"], 1, "there is no player 'bob@example.test'"),
        (["show", str(uuid.UUID(int=7))], 1, f"there is no player {uuid.UUID(int=7)}"),
        (["delete", "nobody"], 1, "there is no player 'nobody'"),
        (["premium", "nobody", "--end"], 1, "there is no player 'nobody'"),
        (["cards", "nobody"], 1, "there is no player 'nobody'"),
        (["premium", ANN], 2, "say one of --days, --forever and --end"),
        (["premium", ANN, "--end", "--days", "1"], 2, "say one of --days, --forever and --end"),
        (["list", "--limit", "0"], 2, "limit is 0; it is between 1 and 10000"),
        (["cards", ANN, "--limit", "10001"], 2, "limit is 10001; it is between 1 and 10000"),
        (
            ["list", "--after", "x"],
            2,
            "after is 'x'; it is what the page before has given as `next`",
        ),
        (
            ["login", "--provider", "google", "--id", "2", "--email", ANN, "--name", "Bob"],
            1,
            TAKEN,
        ),
        (
            ["login", "--provider", "google", "--id", "", "--email", ANN, "--name", "Bob"],
            2,
            "oauth_id from the provider is ''; it has 1 to 255 printable characters",
        ),
    ],
)
@pytest.mark.usefixtures("ann")
def test_bad_input_is_one_line(refused, arguments, code, says):
    """What cannot be done is one line: 2 for wrong use, 1 for a failure."""
    assert refused("players", *arguments) == (code, says)


@pytest.mark.parametrize(
    "arguments",
    [
        ["premium", ANN, "--days", "0"],
        ["premium", ANN, "--days", "1000000000000"],
        ["login", "--provider", "myspace", "--id", "1", "--email", ANN, "--name", "Ann"],
        ["show"],
        [],
    ],
)
def test_wrong_use(mantimon, arguments):
    """What a command does not take is exit code 2, without a traceback."""
    code, _, err = mantimon("players", *arguments)

    assert code == 2
    assert "Traceback" not in err
