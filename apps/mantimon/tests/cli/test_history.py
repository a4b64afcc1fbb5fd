"""`mantimon history`, `leaderboard` and `partitions`."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.database import Database
from mantimon.db.models import GameHistory

NOW = datetime.now(UTC)
IDS = ("player1_id", "player2_id", "winner_id")


@pytest.fixture
def bob(login):
    """Give another player."""
    return login("[red]bob")


@pytest.fixture
def play(clone, ann, bob):
    """Give a function that stores games of the two, the newest first, a minute apart."""

    async def store(games):
        async with Database(clone.app) as db, db.begin() as session:
            for minutes, values in enumerate(games):
                defaults = {
                    "game_type": "ranked",
                    "player1_id": ann["id"],
                    "end_reason": "prizes_taken",
                    "played_at": NOW - timedelta(minutes=minutes),
                }
                game = defaults | values
                ids = {seat: uuid.UUID(game[seat]) for seat in IDS if game.get(seat)}
                session.add(GameHistory(**game | ids))

    return lambda *games: asyncio.run(store(games))


def test_history(mantimon, ann, bob, play):
    """Each game is a line that says against whom, and how it went for this player."""
    play(
        {"player2_id": bob["id"], "winner_id": bob["id"]},
        {"player2_id": bob["id"], "end_reason": "draw"},
        {"player1_id": bob["id"], "player2_id": ann["id"], "winner_id": ann["id"]},
        {"npc_id": "club_1_brann", "winner_id": None, "game_type": "campaign"},
        {"npc_id": "club_0_nobody", "winner_id": ann["id"], "game_type": "campaign"},
        {"player2_id": None, "winner_id": ann["id"]},
    )
    code, out, _ = mantimon("history", "ann@example.test")

    head, *lines = out.splitlines()
    assert code == 0
    assert head.split()[:3] == ["played_at", "game_type", "against"]
    assert [line.split()[3:5] for line in lines] == [
        ["[red]bob", "lost"],
        ["[red]bob", "draw"],
        ["[red]bob", "won"],
        ["Brann", "lost"],
        ["club_0_nobody", "won"],
        ["(deleted)", "won"],
    ]


def test_history_page_by_page(made, ann, play):
    """Each page says how the next one is asked for, until there is none."""
    play(*({"turn_count": number} for number in range(5)))
    turns, after = [], []
    for _ in range(3):
        page = made("history", ann["id"], "--limit", 2, *after)
        turns += [game["turn_count"] for game in page["items"]]
        after = ["--after", page["next"]]

    assert turns == [0, 1, 2, 3, 4]
    assert page["next"] is None


def test_more_of_a_history(mantimon, ann, play):
    """A page that is not the last one ends with what to ask for."""
    play({}, {})
    last = mantimon("history", ann["id"], "--limit", 1)[1].splitlines()[-1]

    assert last.startswith("more: --after ")
    assert len(mantimon("history", ann["id"], *last.split()[1:])[1].splitlines()) == 2


def test_leaderboard(mantimon, made, ann, bob, play):
    """The best come first, of the last week or of the period that is asked for."""
    play(
        *({"winner_id": bob["id"]} for _ in range(2)),
        {"winner_id": ann["id"]},
    )
    code, out, _ = mantimon("leaderboard")

    assert code == 0
    assert [line.split()[:3] for line in out.splitlines()[1:]] == [
        ["1", "2", "[red]bob"],
        ["2", "1", "ann"],
    ]
    later = NOW + timedelta(days=1)
    board = made("leaderboard", "--since", NOW.isoformat(), "--until", later.date(), "--limit", 1)
    assert board["players"] == [{"rank": 1, "wins": 1, "player": "[red]bob", "id": bob["id"]}]
    assert board["until"].startswith(str(later.date()))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["leaderboard", "--since", "yesterday"], "--since is 'yesterday'; it is a day or a time"),
        (["leaderboard", "--until", "2026-13-01"], "--until is '2026-13-01'; it is a day or"),
        (["leaderboard", "--since", "2999-01-01", "--until", "2998-01-01"], "the period ends at "),
        (["leaderboard", "--until", "0001-01-03"], "no day is a week before 0001-01-03"),
        (
            ["leaderboard", "--until", "9999-12-31T23:00-05:00"],
            "until is 9999-12-31 23:00:00-05:00,",
        ),
        (["leaderboard", "--limit", "0"], "limit is 0; it is between 1 and 10000"),
        (["history", "ann@example.test", "--after", "x"], "after is 'x'; it is what the page"),
        (["partitions", "--months", "-1"], "months is -1; it is between 0 and 48"),
    ],
)
def test_wrong_use(refused, ann, arguments, says):
    """What makes no sense is said in one line, and how it is right."""
    code, said = refused(*arguments)

    assert code == 2
    assert said.startswith(says)


def test_nobody_of_that_name(refused):
    """An unknown player is a failure that names who was asked for."""
    code, said = refused("history", "eve@example.test")

    assert code == 1
    assert "eve@example.test" in said


def test_partitions(mantimon, made):
    """It names what it has made, and says when nothing was missing."""
    assert mantimon("partitions")[1] == "nothing is missing\n"
    assert len(made("partitions", "--months", 5)["made"]) == 2
    assert mantimon("partitions", "--months", 6)[1].startswith("made game_history_")
