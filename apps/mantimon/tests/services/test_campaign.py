"""The campaign: clubs in their order, each medal once, and no result lost."""

import asyncio
import uuid

import pytest
from sqlalchemy import update
from sqlalchemy.exc import DBAPIError

from mantimon.campaign.clubs import CLUBS, FINISHED, find_npc
from mantimon.campaign.rewards import MANTIBUCKS_FOR_A_WIN, PACKS_FOR_A_MEDAL
from mantimon.db.models import CampaignProgress
from mantimon.db.models.campaign import FIRST_CLUB
from mantimon.db.session import get_session
from mantimon.errors import NotFoundError, NotReachedError
from mantimon.services.campaign import find_opponent, get_campaign, record_campaign_game
from mantimon.services.inputs import LARGEST_STORED

OWN_DATABASE = pytest.mark.holdfast(isolation="database")
FIRST, SECOND, *_, LAST = CLUBS
MEMBERS = [npc.id for npc in FIRST.members]
LEADER = FIRST.leader.id


async def play(user_id, npc_id, *, won=True):
    async with get_session() as session:
        return await record_campaign_game(session, user_id, npc_id, won=won)


async def beat(user_id, *npc_ids):
    for npc_id in npc_ids:
        progress = await play(user_id, npc_id)
    return progress


def test_the_clubs():
    """Everybody is somebody else, each club has a medal and a leader, and the first comes first."""
    everybody = [npc for club in CLUBS for npc in club.everybody]

    assert len({npc.id for npc in everybody}) == len(everybody) == 24
    assert len({club.medal for club in CLUBS}) == len({club.id for club in CLUBS}) == 8
    assert CLUBS[0].id == FIRST_CLUB
    assert all(len(club.members) == 2 and club.leader not in club.members for club in CLUBS)
    assert all(find_npc(npc.id) == (club, npc) for club in CLUBS for npc in club.everybody)
    assert find_npc("nobody") is None


async def test_a_win_counts_and_pays(begin, read_campaign):
    """The first win against a member is a win, mantibucks, and somebody beaten."""
    player_id = await begin(mantibucks=1)
    progress = await play(player_id, MEMBERS[0])

    stored = await read_campaign(player_id)
    for each in (progress, stored):
        assert (each.total_wins, each.total_losses, each.mantibucks, each.booster_packs) == (
            1, 0, 1 + MANTIBUCKS_FOR_A_WIN, 0,
        )  # fmt: skip
        assert (each.defeated_npcs, each.medals) == ([MEMBERS[0]], [])
        assert each.current_club == FIRST.id


async def test_a_loss_counts(begin, read_campaign):
    """A loss is counted, and changes nothing else."""
    player_id = await begin(mantibucks=1)
    await play(player_id, MEMBERS[0], won=False)

    stored = await read_campaign(player_id)
    assert (stored.total_wins, stored.total_losses, stored.mantibucks) == (0, 1, 1)
    assert stored.defeated_npcs == []


async def test_beaten_again(begin):
    """Somebody who is beaten twice is beaten once in the list; both wins pay."""
    player_id = await begin()
    progress = await beat(player_id, MEMBERS[0], MEMBERS[0])

    assert progress.defeated_npcs == [MEMBERS[0]]
    assert (progress.total_wins, progress.mantibucks) == (2, 2 * MANTIBUCKS_FOR_A_WIN)


async def test_the_leader_gives_the_medal(begin, read_campaign):
    """Members in any order, then the leader: the medal, some packs, and the next club."""
    player_id = await begin()
    await beat(player_id, *reversed(MEMBERS), LEADER)

    stored = await read_campaign(player_id)
    assert (stored.medals, stored.current_club) == ([FIRST.medal], SECOND.id)
    assert (stored.total_wins, stored.booster_packs) == (3, PACKS_FOR_A_MEDAL)
    assert stored.mantibucks == 3 * MANTIBUCKS_FOR_A_WIN


async def test_a_loss_against_the_leader(begin):
    """No medal comes from a lost game."""
    player_id = await begin()
    await beat(player_id, *MEMBERS)
    progress = await play(player_id, LEADER, won=False)

    assert (progress.medals, progress.current_club) == ([], FIRST.id)


async def test_a_rematch_with_a_leader(begin):
    """A leader of a club left behind pays for a win, and has no second medal."""
    player_id = await begin()
    progress = await beat(player_id, *MEMBERS, LEADER, LEADER, MEMBERS[1])

    assert (progress.medals, progress.current_club) == ([FIRST.medal], SECOND.id)
    assert (progress.total_wins, progress.booster_packs) == (5, PACKS_FOR_A_MEDAL)
    assert progress.defeated_npcs == [*MEMBERS, LEADER]


async def test_a_medal_that_is_there_already(begin):
    """However it came, the medal is not given twice, nor the packs; the next club is open."""
    player_id = await begin(defeated_npcs=MEMBERS, medals=[FIRST.medal])
    progress = await play(player_id, LEADER)

    assert (progress.medals, progress.booster_packs) == ([FIRST.medal], 0)
    assert progress.current_club == SECOND.id


@pytest.mark.parametrize("won", [True, False])
@pytest.mark.parametrize("beaten", [[], MEMBERS[:1], MEMBERS[1:]])
async def test_the_leader_comes_last(begin, read_campaign, beaten, won):
    """A leader is not to be challenged before the members: one line names who is left."""
    player_id = await begin(defeated_npcs=beaten)
    left = ", ".join(each for each in MEMBERS if each not in beaten)

    with pytest.raises(NotReachedError) as error:
        await play(player_id, LEADER, won=won)
    assert str(error.value) == (
        f"player {player_id} may not challenge {LEADER} yet; first beat {left} of Emberhall"
    )
    stored = await read_campaign(player_id)
    assert (stored.total_wins, stored.total_losses, stored.defeated_npcs) == (0, 0, beaten)


async def test_clubs_come_in_their_order(begin, read_campaign):
    """Nobody of a later club can be challenged: one line says what comes first."""
    player_id = await begin()
    for npc in (*SECOND.everybody, *LAST.everybody):
        with pytest.raises(NotReachedError, match=f"{LEADER} of Emberhall comes first$"):
            await play(player_id, npc.id)

    assert (await read_campaign(player_id)).total_wins == 0


@pytest.mark.parametrize("npc_id", ["", "nobody", "nul\0", "\ud800", None, 7, ["a"], "x" * 9_999])
@pytest.mark.parametrize(("place", "club"), [(SECOND.id, SECOND), (FINISHED, LAST)])
async def test_an_unknown_opponent(begin, read_campaign, npc_id, place, club):
    """One line lists those of the current club, after the end of the last; nothing is written."""
    player_id = await begin(current_club=place)
    names = ", ".join(npc.id for npc in club.everybody)

    with pytest.raises(NotFoundError, match=f"those of {club.name} are {names}$") as error:
        await play(player_id, npc_id)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300
    assert (await read_campaign(player_id)).total_wins == 0


async def test_the_whole_campaign(begin, read_campaign):
    """Who beats everybody has every medal, and has finished; rematches go on, without medals."""
    player_id = await begin()
    everybody = [npc.id for club in CLUBS for npc in club.everybody]
    finished = await beat(player_id, *everybody)
    later = await beat(player_id, LAST.leader.id, LEADER)

    for wins, progress in ((24, finished), (26, later), (26, await read_campaign(player_id))):
        assert progress.current_club == FINISHED
        assert progress.medals == [club.medal for club in CLUBS]
        assert progress.defeated_npcs == everybody
        assert (progress.total_wins, progress.booster_packs) == (wins, 8 * PACKS_FOR_A_MEDAL)


async def test_who_can_be_challenged(session, begin):
    """Whoever begins a game asks first; the answer is that of the record, and writes nothing."""
    player_id = await begin(defeated_npcs=MEMBERS[:1])

    assert await find_opponent(session, player_id, MEMBERS[1]) == FIRST.members[1]
    for npc_id, error in ((LEADER, NotReachedError), ("nobody", NotFoundError)):
        with pytest.raises(error):
            await find_opponent(session, player_id, npc_id)
    assert (await get_campaign(session, player_id)).total_wins == 0


async def test_a_game_that_ends_after_another(begin):
    """A game that could begin can be recorded, whatever has been won in the meantime."""
    player_id = await begin()
    await beat(player_id, *MEMBERS, LEADER)
    progress = await play(player_id, MEMBERS[0], won=False)

    assert (progress.total_wins, progress.total_losses) == (3, 1)


@OWN_DATABASE
async def test_results_at_once(begin, read_campaign):
    """Of results that come at once none is lost, in the counters as in the lists."""
    player_id = await begin(current_club=FINISHED)
    everybody = [npc.id for club in CLUBS for npc in club.everybody]
    await asyncio.gather(
        *(play(player_id, npc_id) for npc_id in everybody),
        *(play(player_id, npc_id, won=False) for npc_id in everybody[:10]),
    )

    stored = await read_campaign(player_id)
    assert sorted(stored.defeated_npcs) == sorted(everybody)
    assert (stored.total_wins, stored.total_losses) == (24, 10)
    assert stored.mantibucks == 24 * MANTIBUCKS_FOR_A_WIN


@OWN_DATABASE
async def test_the_leader_is_beaten_ten_times_at_once(begin, read_campaign):
    """There is one medal, and one step on."""
    player_id = await begin(defeated_npcs=MEMBERS)
    await asyncio.gather(*(play(player_id, LEADER) for _ in range(10)))

    stored = await read_campaign(player_id)
    assert (stored.medals, stored.current_club) == ([FIRST.medal], SECOND.id)
    assert (stored.total_wins, stored.booster_packs) == (10, PACKS_FOR_A_MEDAL)


@OWN_DATABASE
async def test_a_result_waits_for_another(begin, until_blocked):
    """A result is added to what one before it has left, whatever the session had loaded."""
    player_id = await begin()
    async with get_session() as late:
        loaded = await get_campaign(late, player_id)
        async with get_session() as own:
            await record_campaign_game(own, player_id, MEMBERS[0], won=True)
            second = asyncio.create_task(
                record_campaign_game(late, player_id, MEMBERS[1], won=True)
            )
            await until_blocked()
        assert await second is loaded

    assert (loaded.defeated_npcs, loaded.total_wins) == (MEMBERS, 2)


@OWN_DATABASE
async def test_a_result_that_is_cut_off(faults, begin, read_campaign):
    """When the connection dies before the end, neither counter nor list has it."""
    player_id = await begin(defeated_npcs=MEMBERS)
    faults.drop_connection(at="UPDATE", reached=True)
    with pytest.raises(DBAPIError):
        await play(player_id, LEADER)

    stored = await read_campaign(player_id)
    assert (stored.total_wins, stored.medals, stored.current_club) == (0, [], FIRST.id)


@OWN_DATABASE
async def test_a_result_that_is_cancelled(begin, read_campaign, until_blocked):
    """A result that is cancelled while it waits is not there."""
    player_id = await begin()
    async with get_session() as own:
        await record_campaign_game(own, player_id, MEMBERS[0], won=True)
        second = asyncio.create_task(play(player_id, MEMBERS[1]))
        await until_blocked()
        second.cancel()
        await asyncio.wait({second})

    assert (await read_campaign(player_id)).defeated_npcs == MEMBERS[:1]


async def test_a_rolled_back_result(session, begin, read_campaign):
    """What the caller takes back leaves nothing in the lists."""
    player_id = await begin(defeated_npcs=MEMBERS)
    await record_campaign_game(session, player_id, LEADER, won=True)
    await session.rollback()

    stored = await read_campaign(player_id)
    assert (stored.medals, stored.defeated_npcs, stored.total_wins) == ([], MEMBERS, 0)


async def test_counters_that_are_full(begin):
    """A counter that has reached what its column holds stays there, and the game still ends."""
    full = dict.fromkeys(
        ("total_wins", "total_losses", "mantibucks", "booster_packs"), LARGEST_STORED
    )
    player_id = await begin(defeated_npcs=MEMBERS, **full)
    await play(player_id, LEADER)
    progress = await play(player_id, LEADER, won=False)

    assert {name: getattr(progress, name) for name in full} == full
    assert progress.medals == [FIRST.medal]


@pytest.mark.parametrize("known", [True, False])
async def test_no_campaign(session, player, known):
    """One line says that there is none, and how to begin."""
    player_id = player.id if known else uuid.uuid4()
    for asked in (
        get_campaign(session, player_id),
        find_opponent(session, player_id, LEADER),
        record_campaign_game(session, player_id, LEADER, won=True),
    ):
        with pytest.raises(NotFoundError, match=f"^player {player_id} has no campaign; a starter"):
            await asked


async def test_a_club_that_does_not_exist(session, begin):
    """A club that somebody wrote into the table is told, with those that there are."""
    player_id = await begin()
    await session.execute(update(CampaignProgress).values(current_club="fire_club"))
    await session.commit()

    with pytest.raises(NotFoundError, match=r"'fire_club', which does not exist; .*, finished$"):
        await play(player_id, LEADER)
