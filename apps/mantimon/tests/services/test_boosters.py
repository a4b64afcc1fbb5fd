"""What is in a booster, by rarity and chance."""

import random
from collections import Counter

import pytest

from mantimon.cards.definition import Rarity
from mantimon.services.boosters import BOOSTER, draw_booster, open_booster
from mantimon.services.card_service import CardQueryError
from mantimon.services.collections import get_owned


def test_a_booster_has_its_rarities(first_set):
    """Five common, three uncommon, a rare or better, and one more."""
    for seed in range(50):
        rarities = [card.rarity for card in draw_booster(first_set, random.Random(seed))]

        assert rarities[:8] == [Rarity.COMMON] * 5 + [Rarity.UNCOMMON] * 3
        assert rarities[8] in {Rarity.RARE, Rarity.EPIC}
        assert rarities[9] in set(Rarity) - {Rarity.COMMON, Rarity.UNCOMMON}


def test_chances_are_those_of_the_table(first_set):
    """Over many boosters each rarity of the last card comes as often as its weight says."""
    rng = random.Random(1)
    drawn = Counter(draw_booster(first_set, rng)[9].rarity for _ in range(5_000))

    for rarity, weight in BOOSTER[9].items():
        assert drawn[rarity] / 5_000 == pytest.approx(weight / 100, rel=0.25, abs=0.003)


def test_every_card_can_be_drawn(cards):
    """No card of a set is out of reach."""
    rng = random.Random(2)
    for card_set in cards.sets:
        in_set = cards.get_cards_by_set(card_set.code)
        missing = {card.id for card in in_set}
        for _ in range(4_000):
            missing -= {card.id for card in draw_booster(in_set, rng)}
            if not missing:
                break
        assert missing == set(), card_set.code


def test_the_same_chance_draws_the_same_cards(first_set):
    """A booster is decided by the generator it is given, and by nothing else."""
    assert draw_booster(first_set, random.Random(3)) == draw_booster(first_set, random.Random(3))
    assert draw_booster(first_set, random.Random(3)) != draw_booster(first_set, random.Random(4))


def test_a_set_without_some_rarities(first_set):
    """A set of commons only still fills a booster."""
    commons = [card for card in first_set if card.rarity is Rarity.COMMON]

    assert len(draw_booster(commons, random.Random(5))) == len(BOOSTER)


@pytest.mark.parametrize("code", ["M1", "M1a"])
async def test_open_booster(session, player, cards, code):
    """What was drawn is of the set, and owned."""
    drawn = await open_booster(session, player.id, code, cards=cards, rng=random.Random(6))

    assert {card.set for card in drawn} == {code}
    assert await get_owned(session, player.id) == Counter(card.id for card in drawn)


async def test_an_unknown_set_is_refused(session, player, cards):
    """A set that does not exist is one line, and nothing is written."""
    with pytest.raises(CardQueryError, match="There is no card set 'M9'"):
        await open_booster(session, player.id, "M9", cards=cards, rng=random.Random(7))

    assert await get_owned(session, player.id) == {}
