"""What cards do by their text."""

import random

import pytest

from mantimon.cards.definition import Attack
from mantimon.games.attacks import CHANGES, FOLLOW_UPS, do_attack
from mantimon.games.items import EFFECTS
from mantimon.games.state import Condition

ROOTED = "The defending creature is now rooted: it cannot retreat during your opponent's next turn."
PROTECTED = (
    "Flip a coin. If heads, prevent all damage done to this creature during your opponent's next "
    "turn."
)


@pytest.fixture
def table(games):
    """Give a table in an ordinary turn, with plain creatures on both sides."""
    state = games.begun()
    for seat in (state.turn_of, state.turn_of.rival):
        side = state.side(seat)
        side.active = games.creature(games.card(name="Kindlekit"), energy=["storm"] * 3)
        side.bench = [games.creature(games.card(name="Kindlekit"))]
        side.discard = []
    return games.table(state)


class Coins(random.Random):
    """Chance that gives heads or tails as it is told."""

    def __init__(self, *heads):
        super().__init__(0)
        self._heads = iter(heads)

    def random(self):
        """Give the next coin."""
        return 0.1 if next(self._heads) else 0.9


def attack(table, text="", damage=30):
    """Let the active creature attack; give the damage that was done."""
    before = table.theirs.active
    do_attack(table, Attack(name="Test", cost=(), damage=damage, text=text))
    return before.damage


def test_every_text_is_one_of_the_game(catalogue):
    """No effect waits for a text that no card has."""
    attacks = {attack.text for card in catalogue.values() for attack in card.attacks}
    others = {card.text for card in catalogue.values() if not card.attacks}

    assert set(EFFECTS) <= others
    assert set(CHANGES) | set(FOLLOW_UPS) <= attacks


@pytest.mark.parametrize(
    ("text", "coins", "damage"),
    [
        ("Flip a coin. If tails, this attack does nothing.", [False], 0),
        ("Flip a coin. If tails, this attack does nothing.", [True], 30),
        ("Flip a coin. If heads, this attack does 20 more damage.", [True], 50),
        ("Flip a coin. If heads, this attack does 20 more damage.", [False], 30),
        ("Flip two coins. This attack does 10 more damage for each heads.", [True, True], 50),
        (
            "Flip a coin until you get tails. This attack does 10 more damage for each heads.",
            [True, True, True, False],
            60,
        ),
        ("This attack does 10 more damage for each creature on your bench.", [], 40),
        ("This attack does 10 more damage for each energy attached to this creature.", [], 60),
        ("A text that nobody knows.", [], 30),
    ],
)
def test_attacks_that_depend(games, table, text, coins, damage):
    """The damage of an attack follows its text."""
    table.rng = Coins(*coins)

    assert attack(table, text) == damage


def test_attacks_that_depend_on_the_target(games, table):
    """Damage, evolution and a supporter of this turn raise what their texts say."""
    table.theirs.active = games.creature(games.card(name="Cinderfox"), damage=10)
    table.mine.active.damage = 10
    table.mine.supported = True
    table.theirs.active.damage = 10
    dealt = {}
    for text in (
        "If the defending creature has evolved, this attack does 20 more damage.",
        "If this creature has any damage on it, this attack does 20 more damage.",
        "If you have played a supporter this turn, this attack does 20 more damage.",
    ):
        table.theirs.active.damage = 10
        dealt[text] = attack(table, text) - 10

    assert list(dealt.values()) == [50, 50, 50]


def test_resistance_can_be_passed_by(games, table):
    """Some attacks do not mind a resistance; nobody is protected by nothing."""
    target = next(
        card
        for card in games.catalogue.values()
        if card.resistance and card.resistance.element == "flame"
    )
    table.theirs.active = games.creature(target)

    assert attack(table) == 10
    table.theirs.active.damage = 0
    assert attack(table, "This attack's damage is not changed by resistance.") == 30
    table.theirs.active.damage = 0
    table.theirs.active.conditions = {Condition.PROTECTED: 10**6}
    assert attack(table) == 0


@pytest.mark.parametrize(
    ("text", "who", "condition", "turns"),
    [
        ("The defending creature is now asleep.", "theirs", Condition.ASLEEP, 10**5),
        ("The defending creature is now poisoned.", "theirs", Condition.POISONED, 10**5),
        ("The defending creature is now scorched.", "theirs", Condition.SCORCHED, 10**5),
        (
            "Flip a coin. If heads, the defending creature is now stunned.",
            "theirs",
            Condition.STUNNED,
            1,
        ),
        (ROOTED, "theirs", Condition.ROOTED, 1),
        ("This creature cannot attack during your next turn.", "mine", Condition.TIRED, 2),
        ("This creature cannot retreat during your next turn.", "mine", Condition.ROOTED, 2),
        (PROTECTED, "mine", Condition.PROTECTED, 1),
    ],
)
def test_attacks_that_leave_a_condition(table, text, who, condition, turns):
    """A condition lies on the right creature, for the right number of turns."""
    table.rng = Coins(True)
    attack(table, text)

    until = getattr(table, who).active.conditions[condition]
    assert until == table.state.turn_number + turns or until > 10**5 <= turns


def test_attacks_that_do_more(games, table):
    """Cards are drawn, damage healed and done elsewhere, energy and hands discarded."""
    mine, theirs = table.mine, table.theirs
    hand, their_hand = len(mine.hand), len(theirs.hand)
    mine.active.damage = mine.bench[0].damage = 30

    attack(table, "Draw a card.", damage=0)
    assert len(mine.hand) == hand + 1
    attack(table, "Heal 20 damage from this creature.", damage=0)
    attack(table, "Heal 10 damage from each of your creatures.", damage=0)
    assert (mine.active.damage, mine.bench[0].damage) == (0, 20)
    attack(table, "This attack also does 10 damage to this creature.", damage=0)
    assert mine.active.damage == 10
    attack(
        table, "This attack also does 10 damage to one creature on your opponent's bench.", damage=0
    )
    assert theirs.bench[0].damage == 10
    attack(table, "Your opponent discards a card from their hand at random.", damage=0)
    assert (len(theirs.hand), len(theirs.discard)) == (their_hand - 1, 1)
    active, other = mine.active, theirs.active
    attack(table, "Discard all storm energy from this creature.", damage=0)
    assert (active.energy, len(mine.discard)) == ([], 3)
    attack(table, "Take an energy card from your discard pile into your hand.", damage=0)
    assert (len(mine.hand), len(mine.discard)) == (hand + 2, 2)
    attack(table, "Switch this creature with one on your bench.", damage=0)
    assert mine.bench == [active]
    attack(
        table, "Your opponent switches the defending creature with one on their bench.", damage=0
    )
    assert theirs.bench == [other]


def use(games, table, text, target=None):
    EFFECTS[text].do(table, target or table.mine.active)


def test_items(games, table):
    """Items heal, draw, search, switch and bring energy back."""
    mine, theirs = table.mine, table.theirs
    hand, deck, bench = len(mine.hand), len(mine.deck), len(mine.bench)
    mine.active.damage = 100

    use(games, table, "Heal 20 damage from one of your creatures.")
    use(
        games,
        table,
        "Heal 60 damage from one of your creatures, then discard an energy from it.",
    )
    assert (mine.active.damage, len(mine.active.energy), len(mine.discard)) == (20, 2, 1)
    use(games, table, "Draw two cards.")
    assert (len(mine.hand), len(mine.deck)) == (hand + 2, deck - 2)
    use(
        games,
        table,
        "Search your deck for a basic creature and put it on your bench. Shuffle your deck.",
    )
    assert (len(mine.bench), len(mine.deck)) == (bench + 1, deck - 3)
    use(games, table, "Take an energy card from your discard pile into your hand.")
    assert mine.discard == []
    use(games, table, "Switch your active creature with one on your bench.", mine.bench[0])
    assert mine.bench[-1].damage == 20
    before = theirs.active
    use(games, table, "Your opponent switches their active creature with one on their bench.")
    assert theirs.active is not before
    use(games, table, "During this turn, attacks of your active creature do 10 more damage.")
    assert attack(table) == 40


def test_supporters(games, table):
    """Supporters change hands, flip coins and bring creatures."""
    mine, theirs = table.mine, table.theirs
    table.rng = Coins(True, False, True)
    hand = len(mine.hand)

    use(games, table, "Flip three coins. Draw a card for each heads.")
    assert len(mine.hand) == hand + 2
    table.rng = random.Random(0)
    use(games, table, "Shuffle your hand into your deck, then draw five cards.")
    use(games, table, "Your opponent shuffles their hand into their deck and draws four cards.")
    assert (len(mine.hand), len(theirs.hand)) == (5, 4)
    mine.active.conditions = {Condition.ASLEEP: 10**6, Condition.POISONED: 10**6}
    use(games, table, "Your active creature is no longer asleep, stunned or rooted.")
    assert set(mine.active.conditions) == {Condition.POISONED}
    mine.discard = [games.instance("energy-flame") for _ in range(3)]
    use(
        games,
        table,
        "Attach up to two energy cards from your discard pile to one of your flame creatures.",
    )
    assert (len(mine.discard), len(mine.active.energy)) == (1, 5)
    benched = mine.bench[0]
    use(
        games,
        table,
        "Return one creature on your bench to your hand and discard all cards attached to it.",
        benched,
    )
    assert mine.hand[-1] is benched.cards[0]


def test_who_is_cursed_is_not_healed(games, table):
    """No effect heals a cursed creature."""
    table.mine.active.damage = 50
    table.mine.active.conditions = {Condition.CURSED: 10**6}
    use(games, table, "Heal 50 damage from one of your creatures.")

    assert table.mine.active.damage == 50
