"""The commands of `mantimon campaign`: what they print, and how they end."""

import random

import pytest

from mantimon.campaign.clubs import CLUBS
from mantimon.services.boosters import draw_booster

ANN = "ann@example.test"


@pytest.fixture
def begun(ann, made):
    """Give a player who has begun."""
    assert made("campaign", "starter", ANN, "tide") == {"given": True}
    return ann


@pytest.fixture
def both(begun, login):
    """Give the ids of a player who has begun, and of one who has not."""
    return {"ann": begun["id"], "bob": login("bob")["id"]}


def test_clubs(mantimon, made):
    """Every club is a line, with everybody who plays there; nobody needs a database for that."""
    code, out, _ = mantimon("campaign", "clubs")

    lines = out.splitlines()[1:]
    assert code == 0
    assert len(lines) == len(CLUBS)
    for line, club in zip(lines, CLUBS, strict=True):
        assert line.startswith(club.id)
        assert all(npc.id in line for npc in club.everybody)
    assert [each["medal"] for each in made("campaign", "clubs")] == [club.medal for club in CLUBS]


def test_a_campaign_from_the_start(mantimon, made, begun):
    """A starter begins it, a pack is bought, and one is opened."""
    shown = made("campaign", "show", ANN)
    assert (shown["user_id"], shown["booster_packs"], shown["mantibucks"]) == (begun["id"], 3, 100)
    assert (shown["current_club"], shown["medals"]) == ("club_1", [])

    bought = made("campaign", "buy", begun["id"])
    assert (bought["booster_packs"], bought["mantibucks"]) == (4, 0)
    drawn = made("campaign", "open", ANN)
    assert len(drawn) == 10
    assert made("campaign", "show", ANN)["booster_packs"] == 3

    code, out, _ = mantimon("campaign", "show", ANN)
    told = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert code == 0
    assert (told["current_club"], told["booster_packs"], told["mantibucks"]) == ("club_1", "3", "0")
    assert "medals" not in told


def test_a_starter_is_given_once(mantimon, made, begun):
    """The second one changes nothing, and says so."""
    assert made("campaign", "starter", ANN, "storm") == {"given": False}
    code, out, _ = mantimon("campaign", "starter", ANN, "storm")

    assert (code, out) == (0, "nothing changed: the campaign has begun before\n")


def test_a_starter_for_people(mantimon, ann):
    """The first one says that it is given."""
    assert mantimon("campaign", "starter", ANN, "tide")[:2] == (0, "given\n")


def test_what_is_drawn(mantimon, made, begun, first_set):
    """With a seed the cards are those of the seed; they are owned, and shown by name."""
    seeded = [card.id for card in draw_booster(first_set, random.Random(5))]
    drawn = made("campaign", "open", ANN, "--seed", 5)
    code, out, _ = mantimon("campaign", "open", ANN, "--seed", 5)

    assert [each["id"] for each in drawn] == seeded
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == seeded
    owned = {each["card"] for each in made("players", "cards", ANN)["items"]}
    assert owned >= set(seeded)


def test_another_set(made, begun):
    """A pack is opened as a booster of whichever set."""
    assert {
        each["id"].partition("-")[0] for each in made("campaign", "open", ANN, "--set", "M1a")
    } == {"m1a"}


def test_nobody_can_foretell(monkeypatch, made, begun):
    """Without a seed the cards come from the system's own chance."""
    asked = []

    class Watched(random.SystemRandom):
        def random(self):
            asked.append(self)
            return super().random()

    monkeypatch.setattr(random, "SystemRandom", Watched)
    made("campaign", "open", ANN)

    assert asked


def test_grants(made, begun):
    """Packs and mantibucks are given together or alone."""
    both = made("campaign", "grant", ANN, "--packs", 2, "--mantibucks", 50)
    assert (both["booster_packs"], both["mantibucks"]) == (5, 150)
    assert made("campaign", "grant", ANN, "--packs", 1)["booster_packs"] == 6
    assert made("campaign", "grant", ANN, "--mantibucks", 1)["mantibucks"] == 151


def test_a_grant_that_fails_halfway(made, refused, begun):
    """When the mantibucks are none, no packs are given either."""
    code, _ = refused("campaign", "grant", ANN, "--packs", 2, "--mantibucks", 0)

    assert code == 2
    assert made("campaign", "show", ANN)["booster_packs"] == 3


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["buy", ANN, "2"], 1, "2 packs cost 200 mantibucks; player {ann} has 100"),
        (["buy", ANN, "0"], 2, "number of packs is 0; it is between 1 and 10000"),
        (
            ["buy", ANN, "9" * 30],
            2,
            "number of packs is " + "9" * 30 + "; it is between 1 and 10000",
        ),
        (["buy", "nobody"], 1, "there is no player 'nobody'"),
        (["grant", ANN], 2, "say --packs, --mantibucks or both"),
        (["open", ANN, "--set", "M9"], 2, "There is no card set 'M9'; the sets are M1, M1a."),
        (["show", "bob@example.test"], 1, "player {bob} has no campaign; a starter begins one"),
        (
            ["open", "bob@example.test"],
            1,
            "player {bob} has no booster pack: there is no campaign; a starter begins one",
        ),
    ],
)
def test_bad_input_is_one_line(refused, both, arguments, code, says):
    """What cannot be done is one line: 2 for wrong use, 1 for a failure."""
    assert refused("campaign", *arguments) == (code, says.format(**both))


def test_no_pack_left(made, refused, begun):
    """After the last pack a booster is refused, and nothing is drawn."""
    for _ in range(3):
        made("campaign", "open", ANN)

    says = "has no booster pack left; buy one for 100 mantibucks, or win a medal"
    assert refused("campaign", "open", ANN) == (1, f"player {begun['id']} {says}")


@pytest.mark.parametrize("element", ["gold", "", "neutral"])
def test_an_unknown_element(refused, ann, element):
    """A starter that does not exist is wrong use, and the answer lists those that do."""
    code, said = refused("campaign", "starter", ANN, element)

    assert code == 2
    assert said.startswith(f"there is no starter of {element!r}; there are ")
