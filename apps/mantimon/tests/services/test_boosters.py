"""What is in a booster, by rarity and chance, and that each costs a pack."""

import asyncio
import math
import random
import uuid
from collections import Counter

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from holdfast.errors import CommitUnknownError
from mantimon.cards.definition import Rarity
from mantimon.db.session import get_session
from mantimon.errors import NoPackError
from mantimon.services.boosters import BOOSTER, draw_booster, open_booster
from mantimon.services.campaign import get_campaign
from mantimon.services.card_service import CardQueryError
from mantimon.services.collections import get_owned

OWN_DATABASE = pytest.mark.holdfast(isolation="database")
DRAWN = 5_000


@pytest.fixture(scope="module")
def rarities(first_set):
    """Count the rarities of each slot over thousands of boosters, the same every time."""
    rng = random.Random(1)
    counted = [Counter() for _ in BOOSTER]
    for _ in range(DRAWN):
        for slot, card in zip(counted, draw_booster(first_set, rng), strict=True):
            slot[card.rarity] += 1
    return counted


async def open_one(user_id, cards, seed=6, code="M1"):
    async with get_session() as session:
        return await open_booster(session, user_id, code, cards=cards, rng=random.Random(seed))


def test_a_booster_has_its_rarities(first_set):
    """Five common, three uncommon, a rare or better, and one more."""
    for seed in range(50):
        rarities = [card.rarity for card in draw_booster(first_set, random.Random(seed))]

        assert rarities[:8] == [Rarity.COMMON] * 5 + [Rarity.UNCOMMON] * 3
        assert rarities[8] in {Rarity.RARE, Rarity.EPIC}
        assert rarities[9] in set(Rarity) - {Rarity.COMMON, Rarity.UNCOMMON}


@pytest.mark.parametrize("slot", range(len(BOOSTER)))
def test_chances_are_those_of_the_table(rarities, slot):
    """Over many boosters each rarity of each card comes as often as its weight says.

    Within four standard deviations, which chance alone leaves once in 16,000 times.
    """
    weights = BOOSTER[slot]
    for rarity in Rarity:
        chance = weights.get(rarity, 0) / sum(weights.values())
        leeway = 4 * math.sqrt(DRAWN * chance * (1 - chance))
        assert rarities[slot][rarity] == pytest.approx(DRAWN * chance, abs=leeway), rarity


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
async def test_open_booster(session, begin, read_campaign, cards, code):
    """What was drawn is of the set, and owned; one pack is gone, and nothing else changed."""
    player_id = await begin(booster_packs=3, mantibucks=5)
    drawn = await open_one(player_id, cards, code=code)

    assert {card.set for card in drawn} == {code}
    assert await get_owned(session, player_id) == Counter(card.id for card in drawn)
    left = await read_campaign(player_id)
    assert (left.booster_packs, left.mantibucks) == (2, 5)
    assert left.updated_at > left.created_at


async def test_what_the_session_has_loaded_is_told(session, begin, cards):
    """A campaign that was read before has the number of packs that are left."""
    player_id = await begin(booster_packs=3)
    loaded = await get_campaign(session, player_id)
    await open_booster(session, player_id, "M1", cards=cards, rng=random.Random(8))

    assert loaded.booster_packs == 2


async def test_an_unknown_set_is_refused(session, begin, read_campaign, cards):
    """A set that does not exist is one line, and nothing is written: the pack is still there."""
    player_id = await begin(booster_packs=1)
    with pytest.raises(CardQueryError, match="There is no card set 'M9'"):
        await open_one(player_id, cards, code="M9")

    assert await get_owned(session, player_id) == {}
    assert (await read_campaign(player_id)).booster_packs == 1


async def test_no_pack_left(session, begin, cards):
    """Without a pack nothing is drawn; one line says who has none, and how to get one."""
    player_id = await begin(booster_packs=0, mantibucks=1_000)
    with pytest.raises(NoPackError) as error:
        await open_booster(session, player_id, "M1", cards=cards, rng=random.Random(8))

    assert str(error.value) == (
        f"player {player_id} has no booster pack left; buy one for 100 mantibucks, or win a medal"
    )
    # In the transaction of the refusal, which is none the worse for it.
    assert await get_owned(session, player_id) == {}


@pytest.mark.parametrize("known", [True, False])
async def test_no_campaign(session, player, cards, known):
    """Whoever has not begun has no packs, and is told how to begin."""
    player_id = player.id if known else uuid.uuid4()
    with pytest.raises(NoPackError, match=f"^player {player_id} has no .* a starter begins one$"):
        await open_one(player_id, cards)

    assert await get_owned(session, player_id) == {}


@OWN_DATABASE
async def test_as_many_as_there_are_packs(session, begin, read_campaign, cards):
    """Ten openings at once of a player with three packs are three boosters."""
    player_id = await begin(booster_packs=3)
    opened = await asyncio.gather(
        *(open_one(player_id, cards, seed) for seed in range(10)), return_exceptions=True
    )

    boosters = [each for each in opened if isinstance(each, list)]
    assert len(boosters) == 3
    assert sum(isinstance(each, NoPackError) for each in opened) == 7
    drawn = Counter(card.id for booster in boosters for card in booster)
    assert await get_owned(session, player_id) == drawn
    assert (await read_campaign(player_id)).booster_packs == 0


@OWN_DATABASE
async def test_the_last_pack_that_comes_back(session, begin, until_blocked, cards):
    """Whoever waits for the last pack gets it when the other one is rolled back."""
    player_id = await begin(booster_packs=1)
    async with get_session() as own:
        await open_booster(own, player_id, "M1", cards=cards, rng=random.Random(1))
        second = asyncio.create_task(open_one(player_id, cards, 2))
        await until_blocked()
        await own.rollback()

    drawn = await second
    assert await get_owned(session, player_id) == Counter(card.id for card in drawn)


@OWN_DATABASE
@pytest.mark.parametrize(
    "lost", [{"at": "INSERT"}, {"at": "INSERT", "reached": True}, {"at": "COMMIT"}], ids=str
)
async def test_a_crash_between_pack_and_cards(faults, session, begin, cards, lost):
    """When the connection dies before the end, the pack is there and the cards are not."""
    player_id = await begin(booster_packs=2)
    faults.drop_connection(**lost)
    with pytest.raises((DBAPIError, CommitUnknownError)):
        await open_one(player_id, cards)

    assert (await get_campaign(session, player_id)).booster_packs == 2
    assert await get_owned(session, player_id) == {}


@OWN_DATABASE
async def test_a_crash_after_both(faults, session, begin, cards):
    """When only the answer to COMMIT is lost, the pack is gone and the cards are there."""
    player_id = await begin(booster_packs=2)
    faults.drop_connection(at="COMMIT", reached=True)
    with pytest.raises(CommitUnknownError):
        await open_one(player_id, cards)

    drawn = draw_booster(cards.get_cards_by_set("M1"), random.Random(6))
    assert (await get_campaign(session, player_id)).booster_packs == 1
    assert await get_owned(session, player_id) == Counter(card.id for card in drawn)


@OWN_DATABASE
async def test_an_opening_that_is_done_again(db, faults, session, begin, cards):
    """`run()` opens the booster on another connection; one pack is gone, one booster there."""
    player_id = await begin(booster_packs=2)
    faults.drop_connection(at="INSERT", reached=True)
    drawn = await db.run(open_booster, player_id, "M1", cards=cards, rng=random.Random(9))

    assert (await get_campaign(session, player_id)).booster_packs == 1
    assert await get_owned(session, player_id) == Counter(card.id for card in drawn)


@OWN_DATABASE
async def test_an_opening_that_is_cancelled(session, begin, read_campaign, until_blocked, cards):
    """Cancelled between the pack and the cards, it leaves both as they were."""
    player_id = await begin(booster_packs=2)
    async with get_session() as own:
        await own.execute(text("LOCK TABLE collections IN EXCLUSIVE MODE"))
        opening = asyncio.create_task(open_one(player_id, cards))
        await until_blocked()
        opening.cancel()
        await asyncio.wait({opening})

    assert opening.cancelled()
    assert (await read_campaign(player_id)).booster_packs == 2
    assert await get_owned(session, player_id) == {}
