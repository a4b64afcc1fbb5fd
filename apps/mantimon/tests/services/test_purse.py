"""Mantibucks and packs: earned, spent, and never below zero or beyond what a column holds."""

import asyncio
import uuid

import pytest
from sqlalchemy.exc import DBAPIError

from mantimon.campaign.rewards import PACK_PRICE
from mantimon.db.session import get_session
from mantimon.errors import InvalidInputError, NotEnoughMantibucksError, NotFoundError
from mantimon.services.inputs import LARGEST_STORED
from mantimon.services.purse import buy_packs, grant_mantibucks, grant_packs

OWN_DATABASE = pytest.mark.holdfast(isolation="database")
# More digits than Python writes, for pytest as well.
HUGE = pytest.param(10**5000, id="huge")
ALL = [grant_mantibucks, grant_packs, buy_packs]


async def use(service, *args):
    async with get_session() as session:
        return await service(session, *args)


@pytest.fixture
def purse(read_campaign):
    """Give a function that reads the mantibucks and the packs of a player."""

    async def read(user_id):
        campaign = await read_campaign(user_id)
        return campaign.mantibucks, campaign.booster_packs

    return read


async def test_grants(begin, purse):
    """What is granted is added, and the campaign that comes back has the sum."""
    player_id = await begin(mantibucks=5, booster_packs=1)

    assert (await use(grant_mantibucks, player_id, 10_000)).mantibucks == 10_005
    assert (await use(grant_packs, player_id, 2)).booster_packs == 3
    assert await purse(player_id) == (10_005, 3)


async def test_packs_are_bought(begin, purse):
    """Packs cost their price; the last mantibucks can be spent."""
    player_id = await begin(mantibucks=3 * PACK_PRICE, booster_packs=1)

    bought = await use(buy_packs, player_id, 2)
    assert (bought.mantibucks, bought.booster_packs) == (PACK_PRICE, 3)
    await use(buy_packs, player_id, 1)
    assert await purse(player_id) == (0, 4)


@pytest.mark.parametrize(
    ("count", "says"), [(1, "1 pack costs 100 mantibucks"), (3, "3 packs cost 300 mantibucks")]
)
async def test_not_enough_mantibucks(begin, purse, count, says):
    """One line says what is needed and what is there; nothing is written."""
    player_id = await begin(mantibucks=99)

    with pytest.raises(NotEnoughMantibucksError) as error:
        await use(buy_packs, player_id, count)
    assert str(error.value) == f"{says}; player {player_id} has 99"
    assert await purse(player_id) == (99, 0)


@OWN_DATABASE
async def test_ten_purchases_at_once(begin, purse):
    """Ten purchases at once of a player with mantibucks for three are three packs."""
    player_id = await begin(mantibucks=3 * PACK_PRICE + 99)
    bought = await asyncio.gather(
        *(use(buy_packs, player_id, 1) for _ in range(10)), return_exceptions=True
    )

    assert sum(isinstance(each, NotEnoughMantibucksError) for each in bought) == 7
    assert await purse(player_id) == (99, 3)


@OWN_DATABASE
async def test_grants_and_purchases_at_once(begin, purse):
    """Whatever order they come in, nothing is lost."""
    player_id = await begin(mantibucks=10 * PACK_PRICE)
    await asyncio.gather(
        *(use(grant_mantibucks, player_id, 7) for _ in range(10)),
        *(use(grant_packs, player_id, 2) for _ in range(10)),
        *(use(buy_packs, player_id, 1) for _ in range(10)),
    )

    assert await purse(player_id) == (70, 30)


@OWN_DATABASE
async def test_a_purchase_waits_for_another(begin, purse, until_blocked):
    """A purchase sees what one before it has left, also when it was asked for before the end."""
    player_id = await begin(mantibucks=PACK_PRICE)
    async with get_session() as own:
        await buy_packs(own, player_id, 1)
        second = asyncio.create_task(use(buy_packs, player_id, 1))
        await until_blocked()

    with pytest.raises(NotEnoughMantibucksError, match=r"has 0$"):
        await second
    assert await purse(player_id) == (0, 1)


@OWN_DATABASE
async def test_a_purchase_that_is_cut_off(faults, begin, purse):
    """When the connection dies before the end, nothing is paid and nothing is bought."""
    player_id = await begin(mantibucks=PACK_PRICE)
    faults.drop_connection(at="UPDATE", reached=True)
    with pytest.raises(DBAPIError):
        await use(buy_packs, player_id, 1)

    assert await purse(player_id) == (PACK_PRICE, 0)


@pytest.mark.parametrize("amount", [0, -1, 10_001, HUGE, 1.0, "1", None, True])
@pytest.mark.parametrize("service", ALL)
async def test_a_wrong_amount(begin, purse, service, amount):
    """An amount that is none is one line, and nothing is written."""
    player_id = await begin(mantibucks=500, booster_packs=1)

    with pytest.raises(InvalidInputError, match=r" is .*; it is between 1 and 10000$") as error:
        await use(service, player_id, amount)
    assert "\n" not in str(error.value)
    assert await purse(player_id) == (500, 1)


@pytest.mark.parametrize(
    ("service", "what"),
    [
        (grant_mantibucks, "mantibucks"),
        (grant_packs, "booster packs"),
        (buy_packs, "booster packs"),
    ],
)
async def test_more_than_the_column_holds(session, begin, purse, service, what):
    """What would not fit is refused in one line, before anything is written."""
    full = LARGEST_STORED - 1
    player_id = await begin(mantibucks=full, booster_packs=full)

    with pytest.raises(InvalidInputError) as error:
        await service(session, player_id, 2)
    assert str(error.value) == (
        f"a player cannot have more than 2147483647 {what}; this one has {full}, and 2 were to come"
    )
    # In the transaction of the refusal, which is none the worse for it.
    assert await purse(player_id) == (full, full)


@pytest.mark.parametrize("service", [grant_mantibucks, grant_packs])
async def test_the_last_that_fits(begin, service):
    """A column can be filled to the last."""
    player_id = await begin(mantibucks=LARGEST_STORED - 2, booster_packs=LARGEST_STORED - 2)
    filled = await use(service, player_id, 2)

    assert LARGEST_STORED in {filled.mantibucks, filled.booster_packs}


@pytest.mark.parametrize("service", ALL)
@pytest.mark.parametrize("known", [True, False])
async def test_no_campaign(player, service, known):
    """Whoever has not begun has no purse, and is told how to begin."""
    player_id = player.id if known else uuid.uuid4()

    with pytest.raises(NotFoundError, match=f"^player {player_id} has no campaign; a starter"):
        await use(service, player_id, 1)
