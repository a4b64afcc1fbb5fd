"""Whole games: no card is lost, each comes to an end, and chance alone decides its course."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mantimon.db.models import EndReason
from mantimon.errors import IllegalActionError, InvalidInputError
from mantimon.games.actions import Action, ActionKind
from mantimon.games.dealing import deal
from mantimon.games.engine import play, time_out
from mantimon.games.legality import find_actions
from mantimon.games.policy import choose_action
from mantimon.games.state import Condition, Event, GameState, Outcome, Rules, Seat

SEEDS = st.integers(0, 2**32)


def ids(state, seat):
    return Counter(card.id for card in state.side(seat).all_cards())


def act(games, state, kind, seat=None, **values):
    action = Action(seat=seat or state.waiting_for, kind=kind, **values)
    return play(state, action, games.catalogue, random.Random(0))


@settings(max_examples=20)
@given(seed=SEEDS, plan=st.booleans())
def test_every_card_is_somewhere_exactly_once(games, anything, seed, plan):
    """After every action all 60 cards of each seat are there, whoever plays, however badly."""
    for state in games.play(seed, choose=choose_action if plan else anything):
        for seat in Seat:
            assert ids(state, seat) == {f"{seat}-{n}": 1 for n in range(1, 61)}
            side = state.side(seat)
            assert len(side.bench) <= state.rules.bench_size
            assert len(side.prizes) <= state.rules.prizes


@settings(max_examples=20)
@given(seed=SEEDS, limit=st.integers(1, 200), prizes=st.integers(1, 20))
def test_a_game_ends(games, anything, seed, limit, prizes):
    """Whatever is done, a game ends within its limit of turns, with a winner or as a draw."""
    *_, end = games.play(seed, choose=anything, turn_limit=limit, prizes=prizes)

    assert end.turn_number <= limit
    assert (end.outcome.winner is None) is (end.outcome.reason is EndReason.DRAW)
    assert end.waiting_for is None
    assert end.log[-1].event is Event.END


@settings(max_examples=10)
@given(seed=SEEDS)
def test_the_same_seed_is_the_same_game(games, seed):
    """A game is the same byte for byte with the same seed, and another with another."""
    one, same, other = ([s.to_json() for s in games.play(n)] for n in (seed, seed, seed + 1))

    assert one == same
    assert one != other


@settings(max_examples=10)
@given(seed=SEEDS)
def test_a_state_stays_as_it_is(games, seed):
    """An action gives another state; the one before it, and its version, are left alone."""
    before = None
    rng = random.Random(seed)
    state = games.deal(seed)
    state.version = 7
    while not state.outcome:
        before = state.to_json()
        after = play(state, choose_action(state, games.catalogue, rng), games.catalogue, rng)
        assert state.to_json() == before
        assert after.version == 7
        state = after


@settings(max_examples=10)
@given(seed=SEEDS)
def test_a_game_goes_on_after_it_was_stored(games, seed):
    """A state that was loaded in the middle takes the course that the one in memory takes."""
    states = list(games.play(seed))
    middle = states[len(states) // 2]
    loaded = GameState.from_json(middle.to_json(), version=0)

    ends = []
    for state in (middle, loaded):
        rng = random.Random(seed)
        while not state.outcome:
            action = choose_action(state, games.catalogue, rng)
            state = play(state, action, games.catalogue, rng)  # noqa: PLW2901  -- the next one
        ends.append(state.to_json())
    assert ends[0] == ends[1]


def test_games_have_some_dozens_of_actions_and_end_in_many_ways(games):
    """The player without a person plays games that look like games."""
    ends = [list(games.play(seed)) for seed in range(60)]
    reasons = {states[-1].outcome.reason for states in ends}
    actions = sorted(len(states) - 1 for states in ends)

    assert {EndReason.PRIZES_TAKEN, EndReason.NO_ACTIVE, EndReason.CONCESSION} <= reasons
    assert 24 <= actions[len(actions) // 2] <= 96


def test_a_hand_has_a_basic_creature(games, catalogue):
    """A hand without one goes back, which is told, until there is one."""
    dealt = [games.deal(seed) for seed in range(200)]

    for state in dealt:
        for seat in Seat:
            hand = [catalogue.get(card.card) for card in state.side(seat).hand]
            assert len(hand) == 7
            assert len(state.side(seat).prizes) == 4
            assert any(card and card.stage == "basic" for card in hand)
    assert any(entry.event is Event.MULLIGAN for state in dealt for entry in state.log)
    assert {state.turn_of for state in dealt} == set(Seat)


def test_a_deck_that_cannot_begin(games, decks, catalogue):
    """Decks that are too small, or have nobody to put down, are named together."""
    evolved = games.card(stage="stage_1").id

    with pytest.raises(InvalidInputError) as refused:
        deal(["energy-flame"] * 11, [evolved] * 60, Rules(), catalogue, random.Random(1))

    assert str(refused.value) == (
        "player1: 11 cards are too few for a hand of 7 and 4 prizes; "
        "player2: no basic creature has HP"
    )


def test_the_set_up(games):
    """Both put a basic creature down before the first turn, in which nobody attacks or evolves."""
    state = games.deal(1)
    first = state.turn_of

    assert state.turn_number == 0
    with pytest.raises(IllegalActionError, match="has to be put down first"):
        act(games, state, ActionKind.END_TURN)
    for seat in (first, first.rival):
        assert state.waiting_for is seat
        basic = find_actions(games.table(state))[0]
        state = play(state, basic, games.catalogue, random.Random(1))
        with pytest.raises(IllegalActionError, match="nothing else is done"):
            act(games, state, ActionKind.RETREAT)
        state = act(games, state, ActionKind.END_TURN)
    assert (state.turn_number, state.turn_of) == (1, first)
    assert len(state.side(first).hand) == 7
    state.side(first).active.energy = [games.instance("energy-flame") for _ in range(4)]
    attack = games.catalogue[state.side(first).active.top.card].attacks[0].name
    with pytest.raises(IllegalActionError, match="nobody attacks in the first turn"):
        act(games, state, ActionKind.ATTACK, attack=attack)


@pytest.fixture
def moment(games):
    """Give an ordinary turn with known creatures: mine can attack, both have one on the bench."""
    state = games.begun()
    mine, theirs = state.side(state.turn_of), state.side(state.turn_of.rival)
    attacker = games.card(name="Cinderfox")
    target = next(
        card
        for card in games.catalogue.values()
        if card.stage == "stage_1" and card.element == "shade" and not card.resistance
    )
    mine.active = games.creature(attacker, energy=["flame"] * 2)
    mine.bench = [games.creature(games.card(name="Kindlekit"))]
    theirs.active = games.creature(target)
    theirs.bench = [games.creature(games.card(name="Kindlekit"))]
    mine.hand = [games.instance(card) for card in ("energy-flame", "energy-flame")]
    return state


def names(games, state, *cards):
    """Put cards into the hand of whose turn it is; give their ids."""
    dealt = [games.instance(card.id) for card in cards]
    state.side(state.turn_of).hand += dealt
    return [card.id for card in dealt]


def test_an_attack_ends_the_turn(games, moment):
    """Damage is done, and the other one draws a card."""
    hand = len(moment.side(moment.turn_of.rival).hand)
    after = act(games, moment, ActionKind.ATTACK, attack="Bonfire Sweep")

    assert after.side(after.turn_of).active.damage == 40
    assert after.turn_of is moment.turn_of.rival
    assert after.turn_number == moment.turn_number + 1
    assert len(after.side(after.turn_of).hand) == hand + 1


@pytest.mark.parametrize(("against", "damage"), [("weakness", 60), ("resistance", 20), (None, 40)])
def test_weakness_and_resistance(games, moment, against, damage):
    """Damage is raised by a weakness to the attacker's element, and lowered by a resistance."""
    if against:
        target = next(
            card
            for card in games.catalogue.values()
            if (modifier := getattr(card, against)) and modifier.element == "flame"
            if card.stage == "stage_1"
        )
        moment.side(moment.turn_of.rival).active = games.creature(target)
    after = act(games, moment, ActionKind.ATTACK, attack="Bonfire Sweep")

    assert after.side(moment.turn_of.rival).active.damage == damage


def test_a_knock_out_gives_a_prize(games, moment):
    """Who is knocked out lies in the discard pile with its energy, and somebody is promoted."""
    mine, theirs = moment.turn_of, moment.turn_of.rival
    loser = moment.side(theirs).active
    loser.damage = 30
    loser.energy = [games.instance("energy-shade")]
    moment.side(mine).bonus = 1_000
    after = act(games, moment, ActionKind.ATTACK, attack="Bonfire Sweep")

    assert len(after.side(mine).prizes) == len(moment.side(mine).prizes) - 1
    assert len(after.side(mine).hand) == len(moment.side(mine).hand) + 1
    assert after.side(theirs).discard[-2:] == loser.everything
    assert (after.turn_of, after.waiting_for) == (mine, theirs)
    with pytest.raises(IllegalActionError, match="a creature of the bench is promoted first"):
        act(games, after, ActionKind.END_TURN)
    bench = after.side(theirs).bench[0]
    promoted = act(games, after, ActionKind.PROMOTE, target=bench.id)
    assert promoted.side(theirs).active.id == bench.id
    assert promoted.turn_of is theirs


def test_the_last_prize_wins(games, moment):
    """Who takes the last prize has won."""
    mine = moment.turn_of
    moment.side(mine).prizes = moment.side(mine).prizes[:1]
    moment.side(mine).bonus = 1_000
    after = act(games, moment, ActionKind.ATTACK, attack="Bonfire Sweep")

    assert after.outcome == Outcome(reason=EndReason.PRIZES_TAKEN, winner=mine)
    assert after.turn_number == moment.turn_number
    with pytest.raises(IllegalActionError, match="the game is over"):
        act(games, after, ActionKind.END_TURN, seat=mine)


def test_nobody_left_loses(games, moment):
    """Who has nobody to promote has lost."""
    moment.side(moment.turn_of.rival).bench = []
    moment.side(moment.turn_of).bonus = 1_000
    after = act(games, moment, ActionKind.ATTACK, attack="Bonfire Sweep")

    assert after.outcome == Outcome(reason=EndReason.NO_ACTIVE, winner=moment.turn_of)


def test_both_winning_at_once_is_a_draw(games, moment):
    """When both lose their last creature at once, nobody has won."""
    for seat in Seat:
        side = moment.side(seat)
        side.bench = []
        side.active.damage = 1_000
    after = act(games, moment, ActionKind.END_TURN)

    assert after.outcome == Outcome(reason=EndReason.DRAW, winner=None)


def test_an_empty_deck_loses(games, moment):
    """Who cannot draw at the beginning of a turn has lost."""
    moment.side(moment.turn_of.rival).deck = []
    after = act(games, moment, ActionKind.END_TURN)

    assert after.outcome == Outcome(reason=EndReason.DECK_OUT, winner=moment.turn_of)


def test_the_limit_of_turns_is_a_draw(games, moment):
    """After the last turn nobody has won."""
    moment.turn_number = moment.rules.turn_limit
    after = act(games, moment, ActionKind.END_TURN)

    assert after.outcome == Outcome(reason=EndReason.DRAW, winner=None)
    assert after.turn_number == moment.rules.turn_limit


@pytest.mark.parametrize("mine", [True, False])
def test_conceding(games, moment, mine):
    """Anybody may give up at any time."""
    seat = moment.turn_of if mine else moment.turn_of.rival
    after = act(games, moment, ActionKind.CONCEDE, seat=seat)

    assert after.outcome == Outcome(reason=EndReason.CONCESSION, winner=seat.rival)


def test_running_out_of_time(games, moment):
    """Who has to act and does not has lost, also when it is the turn of the other one."""
    late = time_out(moment)
    moment.side(moment.turn_of.rival).active = None

    assert late.outcome == Outcome(reason=EndReason.TIMEOUT, winner=moment.turn_of.rival)
    assert time_out(moment).outcome.winner is moment.turn_of
    with pytest.raises(IllegalActionError, match="the game is over"):
        time_out(late)


@pytest.mark.parametrize(
    ("kind", "values", "says"),
    [
        ("end_turn", {"seat": "rival"}, "it is for the other player to act"),
        ("play_basic", {"card": "none"}, "'none' is not in the hand"),
        ("play_basic", {"card": "energy"}, "is an energy"),
        ("play_basic", {"card": "evolved"}, "Cinderfox is no basic creature"),
        ("play_basic", {"card": "basic", "target": "active"}, "without a target"),
        ("evolve", {"card": "evolved", "target": "active"}, "Cinderfox does not evolve from Cinde"),
        ("evolve", {"card": "evolved", "target": "new"}, "Kindlekit came in this turn"),
        ("evolve", {"card": "evolved", "target": "theirs"}, "is not in play on the own side"),
        ("attach", {"card": "evolved", "target": "active"}, "is no energy"),
        ("attach", {"card": "energy"}, "None is not in play"),
        ("use", {"card": "basic"}, "Kindlekit is a creature"),
        ("use", {"card": "salve", "target": "active"}, "Herb Salve is of no use for Cinderfox"),
        ("use", {"card": "lantern"}, "Storm Lantern does nothing in this game"),
        ("use", {"card": "satchel", "target": "active"}, "Leather Satchel takes no target"),
        ("use", {"card": "flask"}, "there is no energy in the discard pile"),
        ("retreat", {"target": "active"}, "has to be on the bench"),
        ("attack", {"attack": "Tickle"}, "the active creature has no attack 'Tickle'"),
        ("promote", {"target": "bench"}, "there is an active creature already"),
    ],
)
def test_what_is_not_allowed_is_refused(games, moment, kind, values, says):
    """Each action that the rules do not allow is refused with the reason, and nothing changes."""
    side = moment.side(moment.turn_of)
    side.discard = []
    side.bench.append(games.creature(games.card(name="Kindlekit")))
    side.bench[-1].since = moment.turn_number
    cards = {
        "evolved": "Cinderfox",
        "basic": "Kindlekit",
        "salve": "Herb Salve",
        "lantern": "Storm Lantern",
        "satchel": "Leather Satchel",
        "flask": "Energy Flask",
    }
    here = {"energy": side.hand[0].id, "active": side.active.id, "bench": side.bench[0].id}
    here |= {"new": side.bench[-1].id, "theirs": moment.side(moment.turn_of.rival).active.id}
    here |= {word: names(games, moment, games.card(name=name))[0] for word, name in cards.items()}
    here |= {"rival": moment.turn_of.rival}
    given_values = {name: here.get(word, word) for name, word in values.items()}
    before = moment.to_json()

    with pytest.raises(IllegalActionError, match=says):
        act(games, moment, kind=ActionKind(kind), **given_values)
    assert moment.to_json() == before


def test_once_in_a_turn(games, moment):
    """An energy is attached, a supporter played and a retreat made once, until the next turn."""
    side = moment.side(moment.turn_of)
    one, two = (card.id for card in side.hand)
    ilsa = games.card(name="Ilsa, Lamplighter")
    first, second = names(games, moment, ilsa, ilsa)
    after = act(games, moment, ActionKind.ATTACH, card=one, target=side.active.id)
    after = act(games, after, ActionKind.USE, card=first)
    after = act(games, after, ActionKind.RETREAT, target=side.bench[0].id)

    with pytest.raises(IllegalActionError, match="an energy was attached in this turn"):
        act(games, after, ActionKind.ATTACH, card=two, target=side.active.id)
    with pytest.raises(IllegalActionError, match="a supporter was played in this turn"):
        act(games, after, ActionKind.USE, card=second)
    with pytest.raises(IllegalActionError, match="a creature retreated in this turn"):
        act(games, after, ActionKind.RETREAT, target=side.active.id)
    for _ in range(2):
        after = act(games, after, ActionKind.END_TURN)
    assert act(games, after, ActionKind.USE, card=second)


def test_a_bench_has_its_size(games, moment):
    """No more creatures than the rules say sit on the bench."""
    basic = games.card(name="Kindlekit")
    side = moment.side(moment.turn_of)
    side.bench = [games.creature(basic) for _ in range(moment.rules.bench_size)]
    (card,) = names(games, moment, basic)

    with pytest.raises(IllegalActionError, match="the bench is full with 4"):
        act(games, moment, ActionKind.PLAY_BASIC, card=card)


def test_evolving(games, moment):
    """What has evolved keeps its damage and energy, is cured, and is still named by its basic."""
    side = moment.side(moment.turn_of)
    kit = games.creature(games.card(name="Kindlekit"), energy=["flame"], damage=10)
    kit.conditions = {Condition.POISONED: 1_000}
    side.bench = [kit]
    (fox,) = names(games, moment, games.card(name="Cinderfox"))
    after = act(games, moment, ActionKind.EVOLVE, card=fox, target=kit.id)

    evolved = after.side(after.turn_of).bench[0]
    assert (evolved.id, evolved.top.id) == (kit.id, fox)
    assert (evolved.damage, evolved.energy, evolved.conditions) == (10, kit.energy, {})


def test_a_retreat_is_paid(games, moment):
    """Retreating costs energy of the one who goes, and cures."""
    side = moment.side(moment.turn_of)
    side.active.conditions = {Condition.POISONED: 1_000}
    after = act(games, moment, ActionKind.RETREAT, target=side.bench[0].id)

    now = after.side(after.turn_of)
    assert now.active.id == side.bench[0].id
    assert (now.bench[0].energy, now.bench[0].conditions) == (side.active.energy[:1], {})
    assert now.discard[-1] == side.active.energy[1]
    after = act(games, after, ActionKind.END_TURN)
    after = act(games, after, ActionKind.END_TURN)
    with pytest.raises(IllegalActionError, match="retreating costs 1 energy, and there is 0"):
        act(games, after, ActionKind.RETREAT, target=side.active.id)


def test_an_attack_costs_energy(games, moment):
    """Energy of another element pays only what any energy pays."""
    active = moment.side(moment.turn_of).active
    active.energy = [games.instance("energy-flame"), games.instance("energy-tide")]

    with pytest.raises(IllegalActionError, match="costs flame, flame, and that is not there"):
        act(games, moment, ActionKind.ATTACK, attack="Bonfire Sweep")
    assert act(games, moment, ActionKind.ATTACK, attack="Pounce")


@pytest.mark.parametrize(
    ("condition", "kind"),
    [
        (Condition.ASLEEP, "attack"),
        (Condition.STUNNED, "attack"),
        (Condition.TIRED, "attack"),
        (Condition.ASLEEP, "retreat"),
        (Condition.STUNNED, "retreat"),
        (Condition.ROOTED, "retreat"),
    ],
)
def test_conditions_hold(games, moment, condition, kind):
    """Who is asleep, stunned, tired or rooted cannot do what that forbids."""
    side = moment.side(moment.turn_of)
    side.active.conditions = {condition: moment.turn_number}
    target = {"attack": {"attack": "Pounce"}, "retreat": {"target": side.bench[0].id}}

    with pytest.raises(IllegalActionError, match=f"Cinderfox is {condition} and cannot {kind}"):
        act(games, moment, ActionKind(kind), **target[kind])


def test_conditions_end(games, moment):
    """A condition holds up to the end of its turn; poison and fire hurt at the end of each."""
    active = moment.side(moment.turn_of).active
    now = moment.turn_number
    active.conditions = {
        Condition.STUNNED: now,
        Condition.TIRED: now + 1,
        Condition.POISONED: 10**6,
        Condition.SCORCHED: 10**6,
    }
    once = act(games, moment, ActionKind.END_TURN)
    twice = act(games, once, ActionKind.END_TURN)

    left = once.side(moment.turn_of).active
    assert Condition.STUNNED not in left.conditions
    assert {Condition.TIRED, Condition.POISONED} <= set(left.conditions)
    assert left.damage == 30
    assert Condition.TIRED not in twice.side(moment.turn_of).active.conditions
