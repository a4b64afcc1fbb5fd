"""Games by several processes, each of which is checked, and the same course from the same seed."""

import uuid
from dataclasses import replace

import pytest
from sqlalchemy import delete, func, select, update

from holdfast.database import Database
from holdfast.models import uuid7
from holdfast.testing.faults import Faults
from mantimon.db.models import (
    ActiveGame,
    CampaignProgress,
    Collection,
    Deck,
    EndReason,
    GameHistory,
    User,
)
from mantimon.db.redis import make_client
from mantimon.services.card_service import get_card_service
from mantimon.services.game_state_manager import GameStateManager
from mantimon.simulation import SimulationPlan, oauth_prefix, running, simulate
from mantimon.simulation.checking import GameFacts, Stored, find_problems, predict, read_games
from mantimon.simulation.messages import Job, Played
from mantimon.simulation.plan import make_game_id
from mantimon.simulation.players import prepare_players
from mantimon.simulation.worker import play_games

PLAN = SimulationPlan(games=6, seed=3, players=4, workers=2)


@pytest.fixture
def servers(patient, clone, redis_url):
    """Give the URLs of a database and of a Redis for this test alone."""
    return clone.app, redis_url


async def count(db, model):
    async with db.read() as session:
        return await session.scalar(select(func.count()).select_from(model))


async def course(db, run):
    """Give what happened in a run, without the ids of its games."""
    async with db.read() as session:
        return [facts for _, facts in sorted((await read_games(session, run)).played, key=str)]


async def test_games_are_played_and_checked(servers, progress):
    """Every game of the plan is in the history, none is left, and the report counts them."""
    report = await simulate(*servers, PLAN, progress)

    assert report.problems == []
    assert report.played == sum(report.by_reason.values()) == sum(report.by_type.values()) == 6
    # The turns of each game, its set-up, and a last one that ends as it begins is not persisted.
    assert report.turns <= report.persists <= report.turns + 6
    assert (report.kills, report.turns_lost) == (0, 0)
    assert progress.steps == {"players": 4, "games": 6}
    assert progress.done == 10
    async with Database(servers[0]) as db:
        assert (await count(db, GameHistory), await count(db, ActiveGame)) == (6, 0)
        assert await count(db, User) == 4


async def test_a_seed_that_is_played_again(servers, progress):
    """A second run has the same players and course, in new games, also with other workers."""
    first = await simulate(*servers, PLAN, progress)
    second = await simulate(*servers, replace(PLAN, workers=1), progress)
    other = await simulate(*servers, replace(PLAN, seed=4), progress)

    async with Database(servers[0]) as db:
        assert (await count(db, GameHistory), await count(db, User)) == (18, 8)
        assert await course(db, first.run) == await course(db, second.run)
        assert (first.saves, first.persists) == (second.saves, second.persists)
        assert first.saves != other.saves
        async with db.read() as session:
            mine = select(func.count()).where(User.oauth_id.startswith(oauth_prefix(3)))
            assert await session.scalar(mine) == 4


async def test_workers_that_are_killed(clean_environment, servers, progress):
    """Others take their games over: the same games end in the same way, and nothing is lost."""
    clean_environment.setattr(running, "_KILL_EVERY", 0.1)
    clean_environment.setattr(running, "_LOOK_EVERY", 0.05)
    undisturbed = await simulate(*servers, replace(PLAN, games=30), progress)
    plan = replace(PLAN, games=30, workers=3, kill=True)
    report = await simulate(*servers, plan, progress)

    assert report.kills > 0
    assert (report.problems, report.turns_lost) == ([], 0)
    async with Database(servers[0]) as db:
        assert await course(db, report.run) == await course(db, undisturbed.run)
        assert await count(db, ActiveGame) == 0


async def test_all_connections_are_cut(clean_environment, servers, progress):
    """Workers whose connections are all lost in the middle go on, and every game is right."""
    before = []
    with Faults(servers[0]) as faults:

        def cut():
            if progress.done in {PLAN.players + 1, PLAN.players + 4}:
                before.append(faults.connections)
                faults.drop_all()

        clean_environment.setattr(progress, "told", cut)
        report = await simulate(faults.url, servers[1], replace(PLAN, games=20), progress)
        connections = faults.connections

    assert report.problems == []
    assert report.played == 20
    assert connections > before[-1] + 1  # which is that of the check


async def test_a_worker_that_cannot_be_started(clean_environment, servers, progress):
    """It is the system's error, as it is."""
    clean_environment.setattr(running, "_WORKER", ("/nowhere/python",))

    with pytest.raises(FileNotFoundError, match="/nowhere/python"):
        await simulate(*servers, PLAN, progress)


async def test_players_are_registered_as_everybody_is(database, progress, cards):
    """They own a starter, and have a valid deck of their own; who comes again is the same."""
    first = await prepare_players(database, PLAN, cards, progress)
    again = await prepare_players(database, PLAN, cards, progress)

    assert first == again
    async with database.read() as session:
        decks = list(await session.scalars(select(Deck)))
        owned = await session.scalar(select(func.sum(Collection.quantity)))
    assert len(decks) == 2 * 4
    assert all(deck.is_valid for deck in decks)
    assert owned == 40 * 4


@pytest.fixture
async def job(database, progress, cards):
    """Give a job on a database of its own."""
    players = await prepare_players(database, PLAN, cards, progress)
    numbers = list(range(6))
    return Job(url="", redis_url="", run=uuid7(), seed=3, players=players, numbers=numbers)


@pytest.fixture
async def games(patient, database, redis_url):
    """Give the manager of a worker."""
    async with make_client(redis_url) as client:
        manager = GameStateManager(database, client)
        yield manager
        await manager.store.close()


async def problems_of(database, job):
    expected = await predict(job.run, PLAN, job.players, get_card_service())
    async with database.read() as session:
        return find_problems(expected, await read_games(session, job.run))


async def test_connections_that_are_lost(faults, database, games, job):
    """Games take their course when connections are cut, and when nobody knows what was stored."""
    faults.drop_connection(at="WITH locked", after=3, reached=True)
    faults.cut_commit(after=4)
    faults.cut_commit(after=9, reached=False)
    faults.drop_connection(at="INSERT INTO game_history", reached=False)
    told = []
    await play_games(database, games, job, told.append)

    played = [each.number for each in told if isinstance(each, Played)]
    assert sorted(played) == job.numbers
    assert await problems_of(database, job) == []
    async with database.read() as session:
        against_npcs = select(func.count()).where(
            GameHistory.npc_id.is_not(None), GameHistory.end_reason != EndReason.DRAW
        )
        counted = select(func.sum(CampaignProgress.total_wins + CampaignProgress.total_losses))
        assert await session.scalar(counted) == await session.scalar(against_npcs) > 0


async def test_what_is_wrong_is_found(database, games, job):
    """Games that are missing, changed, double, still active or nobody's are each named."""
    await play_games(database, games, job, lambda _: None)
    ids = [make_game_id(job.run, number) for number in range(8)]
    async with database.begin() as session:
        await session.execute(delete(GameHistory).where(GameHistory.id == ids[0]))
        wrong = {"winner_id": None, "end_reason": EndReason.DRAW, "turn_count": 1}
        await session.execute(update(GameHistory).where(GameHistory.id == ids[1]).values(wrong))
        seats = {"game_type": "ranked", "player1_id": job.players[0].id}
        session.add(GameHistory(id=ids[2], end_reason="timeout", **seats))
        session.add(ActiveGame(id=ids[3], turn_number=4, **seats))
        session.add(GameHistory(id=ids[6], end_reason="timeout", **seats))
        session.add(ActiveGame(id=ids[7], **seats))
    found = await problems_of(database, job)

    assert f"game 0 ({ids[0]}): missing; it never began" in found
    assert any(
        each.startswith(f"game 1 ({ids[1]}): turn_count is 1, and should be") for each in found
    )
    assert any(each.startswith(f"game 1 ({ids[1]}): end_reason is draw") for each in found)
    assert f"game {ids[2]}: it is in the history more than once" in found
    assert f"game 3 ({ids[3]}): it is in the history, and still active in turn 4" in found
    assert found[-2:] == [f"game {each}: nobody was to play it" for each in ids[6:]]
    assert not any(str(each) in problem for each in ids[4:6] for problem in found)


def test_a_wrong_winner_is_found():
    """Each fact that differs is told with both values."""
    facts = GameFacts(
        game_type="ranked",
        player1_id=uuid.UUID(int=1),
        player2_id=uuid.UUID(int=2),
        npc_id=None,
        winner_id=uuid.UUID(int=1),
        end_reason=EndReason.DECK_OUT,
        turn_count=9,
    )
    game = uuid.UUID(int=9)
    stored = Stored(played=[(game, replace(facts, winner_id=uuid.UUID(int=2)))], active={})

    assert find_problems({game: facts}, stored) == [
        f"game 0 ({game}): winner_id is {uuid.UUID(int=2)}, and should be {uuid.UUID(int=1)}"
    ]
