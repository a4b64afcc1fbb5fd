"""Games while they are played: nothing that was acknowledged is lost, set back or brought back."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from holdfast import redis
from holdfast.errors import CommitUnknownError, StateConflictError, StoreUnavailableError
from holdfast.models import uuid7
from holdfast.services import RedisServer
from mantimon.db.models import ActiveGame, CampaignProgress, EndReason, GameHistory
from mantimon.db.redis import make_client
from mantimon.db.start import playing
from mantimon.errors import InvalidInputError, NotFoundError
from mantimon.games.engine import play
from mantimon.games.policy import choose_action
from mantimon.games.state import GameState
from mantimon.services.game_state_manager import GameStateManager, get_game_state_manager
from mantimon.services.games import GameResult, get_result, start_game

pytestmark = [pytest.mark.usefixtures("patient"), pytest.mark.holdfast(isolation="database")]


@pytest.fixture
async def client(redis_url):
    """Give a client of an empty Redis, with the application's limits."""
    async with make_client(redis_url) as opened:
        yield opened


@pytest.fixture
async def games(database, client):
    """Give a manager, as a worker has one."""
    manager = GameStateManager(database, client)
    yield manager
    await manager.store.close()


@pytest.fixture
async def other(database, client):
    """Give the manager of another worker."""
    manager = GameStateManager(database, client)
    yield manager
    await manager.store.close()


@pytest.fixture
def begin(database, cards, new_game):
    """Give a function that begins a game, and returns its id."""

    async def begun():
        new = await new_game(database)
        await database.run(start_game, new, cards=cards, seed=1)
        return new.id

    return begun


@pytest.fixture
async def game(begun):
    """Give the id of a game that has begun."""
    return begun.id


@pytest.fixture
def row(database):
    """Give a function that reads the row of a game."""

    async def read(game):
        async with database.read() as session:
            return await session.scalar(select(ActiveGame).where(ActiveGame.id == game))

    return read


@pytest.fixture
def count(database):
    """Give a function that counts the rows of a table."""

    async def counted(model):
        async with database.read() as session:
            return await session.scalar(select(func.count()).select_from(model))

    return counted


def next_turn(state):
    """Give the state in its next turn, as the engine begins one."""
    after = state.copy()
    after.turn_number += 1
    after.deadline = None
    return after


def won_by(winner, reason=EndReason.PRIZES_TAKEN):
    return GameResult(winner_id=winner, end_reason=reason, turn_count=9)


async def advance(games, game, *, persist=False):
    """Play a turn: load, save, and persist if it is to last."""
    state = next_turn(await games.load_state(game))
    await games.save_to_cache(game, state)
    if persist:
        await games.persist_to_db(game)
    return state


@pytest.fixture
def assert_gone(games, row, client, count):
    """Give a check that nothing is left of a game, also after all that might bring it back.

    It gives how many games are in the history.
    """

    async def check(game):
        await games.store.flush()
        await games.recover_active_games()
        assert await games.load_state(game) is None
        assert await row(game) is None
        assert await client.keys(f"game:{game}") == []
        assert await client.zcard("holdfast:state:game:dirty") == 0
        return await count(GameHistory)

    return check


# --- Loading


async def test_a_miss_is_filled_from_the_row(games, game, row, client):
    """The first load is what was dealt, with the row's version, and Redis has it then."""
    state = await games.load_state(game)

    stored = await row(game)
    assert state == GameState.from_json(stored.game_state, version=stored.version)
    assert await client.exists(f"game:{game}")


async def test_a_hit_asks_redis_alone(games, game, faults):
    """What Redis has is loaded without PostgreSQL."""
    first = await games.load_state(game)
    faults.clear()

    assert await games.load_state(game) == first
    assert faults.statements == []


async def test_a_game_that_is_not_there(games, client):
    """It is None, and leaves nothing in Redis."""
    assert await games.load_state(uuid7()) is None
    assert await client.keys() == []


async def test_redis_that_was_emptied(games, game, client):
    """The game goes on from the turn that was persisted, under a version of its own."""
    kept = await advance(games, game, persist=True)
    lost = await advance(games, game)
    await client.flushdb()

    state = await games.load_state(game)
    assert state.turn_number == kept.turn_number == lost.turn_number - 1
    assert state.version > lost.version


async def test_a_row_that_holds_no_game(games, game, database):
    """What cannot be read is an error that names the game, not a game."""
    async with database.begin() as session:
        await session.execute(text("UPDATE active_games SET game_state = '{}'"))

    with pytest.raises(ValueError, match=str(game)):
        await games.load_state(game)


# --- Saving


async def test_a_save_is_in_redis_only(games, game, row, faults):
    """The state has the new version, so that the next one goes on; the row is as it was."""
    state = await games.load_state(game)
    before = await row(game)
    versions = [state.version]
    faults.clear()
    for _ in range(3):
        state = next_turn(state)
        await games.save_to_cache(game, state)
        versions.append(state.version)

    assert faults.statements == []
    assert all(one < other for one, other in pairwise(versions))
    assert await games.load_state(game) == state
    assert (await row(game)).version == before.version


async def test_what_was_saved_is_written_later(games, game, row):
    """A round of writing brings it into the row."""
    state = await advance(games, game)

    assert await games.store.flush() == 1
    assert (await row(game)).version == state.version


async def test_a_stale_state_is_refused(games, other, game):
    """Whoever was slower is told both versions, and nothing changes."""
    slow, quick = await games.load_state(game), next_turn(await other.load_state(game))
    await other.save_to_cache(game, quick)

    old = slow.version
    with pytest.raises(StateConflictError) as refused:
        await games.save_to_cache(game, next_turn(slow))
    assert (refused.value.expected, refused.value.found) == (old, quick.version)
    assert slow.version == old
    assert await games.load_state(game) == quick


async def test_workers_at_once(database, client, game):
    """Of many that go on from one state, one does; the others are told its version."""
    workers = [GameStateManager(database, client) for _ in range(8)]
    states = [next_turn(await each.load_state(game)) for each in workers]
    saves = [each.save_to_cache(game, state) for each, state in zip(workers, states, strict=True)]
    found = await asyncio.gather(*saves, return_exceptions=True)

    (won,) = [state for state, answer in zip(states, found, strict=True) if answer is None]
    conflicts = [each for each in found if each is not None]
    assert {type(each) for each in conflicts} == {StateConflictError}
    assert {each.found for each in conflicts} == {won.version}


async def test_a_save_of_a_game_that_nobody_plays(games, game, client):
    """It is not found; one that Redis has forgotten is a conflict, and can be loaded."""
    state = await games.load_state(game)
    await client.flushdb()

    with pytest.raises(NotFoundError, match="there is no game"):
        await games.save_to_cache(uuid7(), state)
    with pytest.raises(StateConflictError):
        await games.save_to_cache(game, next_turn(state))
    await advance(games, game)


async def test_the_time_for_a_turn(games, game, row):
    """It runs from the first save of the turn, and no later action of it prolongs it."""
    state = next_turn(await games.load_state(game))
    await games.save_to_cache(game, state)
    deadline = state.deadline
    await games.save_to_cache(game, state)
    assert state.deadline == deadline
    assert timedelta() < deadline - datetime.now(UTC) <= timedelta(seconds=120)

    state = next_turn(state)
    await games.save_to_cache(game, state)
    await games.persist_to_db(game)
    assert state.deadline > deadline
    assert (await row(game)).turn_deadline == state.deadline


# --- Persisting


async def test_a_turn_is_persisted(games, game, row):
    """The row has the state, its turn, its deadline, and when it was saved."""
    before = await row(game)
    state = await advance(games, game, persist=True)

    stored = await row(game)
    assert GameState.from_json(stored.game_state, version=stored.version) == state
    assert (stored.turn_number, stored.turn_deadline) == (1, state.deadline)
    assert stored.last_action_at > before.last_action_at
    assert stored.updated_at > before.updated_at
    assert stored.started_at == before.started_at


async def test_a_turn_that_comes_late(games, other, game, row, database):
    """Of two writers that wait for the row, the one with the older state changes nothing."""
    await advance(games, game)
    async with database.begin() as session:
        await session.execute(text("SELECT FROM active_games FOR UPDATE"))
        slow = asyncio.create_task(games.persist_to_db(game))
        newest = await advance(other, game)
        quick = asyncio.create_task(other.persist_to_db(game))
    await asyncio.gather(slow, quick)

    assert (await row(game)).version == newest.version


async def test_a_turn_of_a_game_that_nobody_plays(games, begun):
    """It is not found, be it unknown or over."""
    state = await games.load_state(begun.id)
    await games.finish_game(begun.id, state, won_by(begun.player1_id))

    for game in (begun.id, uuid7()):
        with pytest.raises(NotFoundError, match=f"there is no game {game} that is being played"):
            await games.persist_to_db(game)


async def test_a_whole_game(games, begun, cards, client):
    """Each turn that was persisted is there when Redis is emptied, up to the end of the game."""
    state, catalogue, rng = (
        await games.load_state(begun.id),
        {c.id: c for c in cards},
        random.Random(1),
    )
    while not state.outcome:
        turn = state.turn_number
        while not state.outcome and state.turn_number == turn:
            state = play(state, choose_action(state, catalogue, rng), catalogue, rng)
            await games.save_to_cache(begun.id, state)
        await games.persist_to_db(begun.id)
        await client.flushdb()
        found = await games.load_state(begun.id)
        assert found.to_json() == state.to_json()
        state = found
    result = get_result(state, begun.player1_id, begun.player2_id)
    played = await games.finish_game(begun.id, state, result)

    assert (played.end_reason, played.turn_count) == (state.outcome.reason, state.turn_number)
    assert len(played.replay_data["log"]) == len(state.log)


# --- Deleting


async def test_a_game_is_deleted(games, game, assert_gone):
    """It is gone from both, once."""
    await advance(games, game)

    assert await games.delete_game(game) is True
    assert await games.delete_game(game) is False
    await assert_gone(game)


async def test_a_slow_worker_after_a_deletion(games, other, game, assert_gone):
    """Whatever it still does with the state in hand, the game does not come back."""
    state = next_turn(await other.load_state(game))
    await games.delete_game(game)

    with pytest.raises(NotFoundError):
        await other.save_to_cache(game, state)
    with pytest.raises(NotFoundError):
        await other.persist_to_db(game)
    await assert_gone(game)


async def test_a_slow_writer_and_a_deletion(games, game, database, until_blocked, assert_gone):
    """A turn that is being written while its game is deleted does not bring it back."""
    await advance(games, game)
    async with database.begin() as session:
        await session.execute(text("SELECT FROM active_games FOR UPDATE"))
        late = asyncio.create_task(games.persist_to_db(game))
        deleted = asyncio.create_task(games.delete_game(game))
        await until_blocked(2)
    found = await asyncio.gather(late, deleted, return_exceptions=True)

    assert found[1] is True
    await assert_gone(game)


async def test_a_player_who_is_deleted_by_sql(games, game, row, database, assert_gone):
    """The game goes with the row of the player, and what Redis has at the next writing."""
    state = await advance(games, game)
    async with database.begin() as session:
        await session.execute(text("DELETE FROM users"))
    await games.store.flush()

    with pytest.raises(NotFoundError):
        await games.save_to_cache(game, next_turn(state))
    await assert_gone(game)


async def test_a_player_who_is_deleted_by_sql_between_two_turns(games, game, database, assert_gone):
    """What Redis has is taken for the game until it is to be written; then it goes."""
    state = await advance(games, game, persist=True)
    async with database.begin() as session:
        await session.execute(text("DELETE FROM users"))
    await games.save_to_cache(game, next_turn(state))

    with pytest.raises(NotFoundError):
        await games.persist_to_db(game)
    await assert_gone(game)


# --- Starting


async def test_a_start_fills_redis(games, begin, faults):
    """Every game is in Redis afterwards, so that nobody who plays on waits for PostgreSQL."""
    played = [await begin() for _ in range(3)]
    done = await games.recover_active_games()
    faults.clear()
    states = [await games.load_state(each) for each in played]

    assert (done.rows, done.filled) == (3, 3)
    assert faults.statements == []
    assert None not in states


async def test_a_start_sets_no_running_game_back(games, other, game):
    """A worker that plays on meanwhile does so with the version that it has."""
    running = await advance(other, game)
    done = await games.recover_active_games()

    assert (done.rows, done.filled) == (1, 0)
    assert await games.load_state(game) == running
    await other.save_to_cache(game, next_turn(running))


async def test_a_start_after_redis_was_lost(games, other, game, client):
    """The turn that was persisted is what everybody goes on from, also who had a newer one."""
    kept = await advance(games, game, persist=True)
    lost = await advance(games, game)
    await client.flushdb()
    assert (await other.recover_active_games()).filled == 1

    with pytest.raises(StateConflictError):
        await games.save_to_cache(game, next_turn(lost))
    assert (await games.load_state(game)).turn_number == kept.turn_number


async def test_a_game_server(on_clone, on_redis, cards, new_game, make_database):
    """It takes up what is played at its start, and leaves nothing unwritten at its end."""
    async with make_database(on_clone.app) as db:
        new = await new_game(db)
        await db.run(start_game, new, cards=cards, seed=1)
    async with playing() as games:
        assert get_game_state_manager() is games
        assert (await games.store.stats()).keys == 1
        state = await advance(games, new.id)

    async with make_database(on_clone.app) as db, db.read() as session:
        assert await session.scalar(select(ActiveGame.version)) == state.version


# --- Ending


async def test_a_game_ends(games, begun, client, assert_gone):
    """It is in the history, and nothing of it is left where games are played."""
    state = await advance(games, begun.id)
    played = await games.finish_game(begun.id, next_turn(state), won_by(begun.player1_id))

    assert (played.id, played.winner_id) == (begun.id, begun.player1_id)
    assert await client.keys(f"game:{begun.id}") == []
    await assert_gone(begun.id)


async def test_an_end_that_is_asked_for_again(games, other, begun, count):
    """Everybody gets the first one, also with a state and a result of their own."""
    state = await advance(games, begun.id)
    first = await games.finish_game(begun.id, state, won_by(begun.player1_id))
    again = await games.finish_game(begun.id, state, won_by(begun.player2_id))
    late = await other.finish_game(begun.id, next_turn(state), won_by(begun.player2_id))

    assert again.winner_id == late.winner_id == first.winner_id == begun.player1_id
    assert again.played_at == first.played_at
    assert await count(GameHistory) == 1


async def test_two_that_end_a_game_at_once(games, other, campaign_game, database, assert_gone):
    """One of them does, the other gets the same, and the campaign counts one win."""
    state = await games.load_state(campaign_game.id)
    ends = [
        each.finish_game(campaign_game.id, state, won_by(campaign_game.player1_id))
        for each in (games, other)
    ]
    one, same = await asyncio.gather(*ends)

    assert one.played_at == same.played_at
    async with database.read() as session:
        assert await session.scalar(select(func.sum(CampaignProgress.total_wins))) == 1
    await assert_gone(campaign_game.id)


@pytest.mark.parametrize("reached", [True, False])
async def test_an_end_whose_answer_was_lost(games, begun, faults, assert_gone, reached):
    """Whether the COMMIT arrived or not, asking again gives one result, and Redis forgets it."""
    state = await advance(games, begun.id)
    faults.cut_commit(reached=reached)

    with pytest.raises(CommitUnknownError):
        await games.finish_game(begun.id, state, won_by(begun.player1_id))
    again = await games.finish_game(begun.id, state, won_by(begun.player2_id))
    assert again.winner_id == (begun.player1_id if reached else begun.player2_id)
    assert (await games.store.stats()).keys == 0
    assert await assert_gone(begun.id) == 1


async def test_an_end_whose_answer_was_lost_for_good(games, other, begun, faults, assert_gone):
    """Where nobody asks again, a writer clears Redis; nobody could have played on from it."""
    state = await advance(games, begun.id)
    faults.cut_commit(reached=True)
    with pytest.raises(CommitUnknownError):
        await games.finish_game(begun.id, state, won_by(begun.player1_id))

    with pytest.raises(NotFoundError):
        await other.save_to_cache(begun.id, next_turn(state))
    await assert_gone(begun.id)


async def test_an_end_that_is_undone(games, other, begun, faults):
    """A game whose end could not be stored goes on from what was saved last, and ends later."""
    state = await advance(games, begun.id)
    faults.fail_next("53100", at="INSERT INTO game_history")
    with pytest.raises(DBAPIError):
        await games.finish_game(begun.id, state, won_by(begun.player1_id))

    found = await other.load_state(begun.id)
    assert found.to_json() == state.to_json()
    await other.save_to_cache(begun.id, found)
    played = await other.finish_game(begun.id, found, won_by(begun.player2_id))
    assert played.winner_id == begun.player2_id


async def test_the_end_of_a_game_that_has_gone_on(games, other, begun):
    """A result that follows from an old state is refused, and the game is not disturbed."""
    old = await games.load_state(begun.id)
    state = await advance(other, begun.id)

    with pytest.raises(StateConflictError) as refused:
        await games.finish_game(begun.id, old, won_by(begun.player1_id))
    assert (refused.value.expected, refused.value.found) == (old.version, state.version)
    await other.save_to_cache(begun.id, next_turn(state))


async def test_a_result_that_cannot_be(games, begun):
    """It is refused before anything is touched: the game goes on with the version that it had."""
    state = await games.load_state(begun.id)

    with pytest.raises(InvalidInputError, match="no winner is given"):
        await games.finish_game(begun.id, state, won_by(None))
    await games.save_to_cache(begun.id, next_turn(state))


async def test_the_end_of_a_game_that_never_was(games, game):
    """Nothing can end that did not begin."""
    state = await games.load_state(game)

    with pytest.raises(NotFoundError, match="there is no game"):
        await games.finish_game(uuid7(), state, won_by(None, EndReason.DRAW))


async def test_a_slow_worker_after_the_end(games, other, begun, assert_gone):
    """Whatever it still does with the state in hand, the game does not come back."""
    state = next_turn(await other.load_state(begun.id))
    await games.finish_game(begun.id, await games.load_state(begun.id), won_by(begun.player1_id))

    with pytest.raises(NotFoundError):
        await other.save_to_cache(begun.id, state)
    assert await other.delete_game(begun.id) is False
    await assert_gone(begun.id)


# --- Servers that are away


@pytest.fixture
async def restarting(tmp_path):
    """Give a Redis of the test's own, which can be stopped and started."""
    async with RedisServer(tmp_path / "redis") as server:
        yield server


async def test_redis_that_is_restarted(database, game, restarting):
    """What was persisted is there; who has more in hand than that is told so."""
    async with make_client(restarting.url()) as before:
        games = GameStateManager(database, before)
        kept = await advance(games, game, persist=True)
        lost = await advance(games, game)
    await restarting.stop()
    await restarting.start()
    async with make_client(restarting.url()) as after:
        games = GameStateManager(database, after)

        with pytest.raises(StateConflictError):
            await games.save_to_cache(game, next_turn(lost))
        state = await games.load_state(game)
        assert (state.turn_number, state.log) == (kept.turn_number, kept.log)
        await games.save_to_cache(game, next_turn(state))


async def test_redis_that_is_away(database, begun, restarting, row, count):
    """Nothing is done, which is said; what the row has is not played on from."""
    impatient = redis.RedisPolicy(connect_timeout=0.5, timeout=0.5)
    async with redis.client(restarting.url(), policy=impatient) as client:
        games = GameStateManager(database, client)
        state = await games.load_state(begun.id)
        await restarting.stop()

        for attempt in (
            games.load_state(begun.id),
            games.save_to_cache(begun.id, state),
            games.persist_to_db(begun.id),
            games.finish_game(begun.id, state, won_by(begun.player1_id)),
            games.delete_game(begun.id),
            games.recover_active_games(),
        ):
            with pytest.raises(StoreUnavailableError):
                await attempt
    assert (await row(begun.id)).turn_number == 0
    assert await count(GameHistory) == 0


async def test_postgresql_that_is_away(games, game, faults, row):
    """Playing goes on; a turn is not said to be persisted, and is once it is there again."""
    state = await advance(games, game)
    faults.refuse()
    faults.drop_all()
    with pytest.raises(StoreUnavailableError):
        await games.persist_to_db(game)
    state = next_turn(state)
    await games.save_to_cache(game, state)
    faults.heal()
    await games.persist_to_db(game)

    assert (await row(game)).version == state.version


async def test_a_turn_whose_answer_was_lost(games, game, faults, row):
    """It is written again, which changes nothing more."""
    state = await advance(games, game)
    faults.drop_connection(at="WITH locked", reached=True)
    assert await games.persist_to_db(game) == state.version

    assert (await row(game)).version == state.version


async def test_cancelled_at_the_end(games, begun, database, until_blocked, count):
    """A finisher that is cancelled while it waits leaves the game to whoever asks next."""
    state = await games.load_state(begun.id)
    async with database.begin() as session:
        await session.execute(text("SELECT FROM active_games FOR UPDATE"))
        ended = asyncio.create_task(games.finish_game(begun.id, state, won_by(begun.player1_id)))
        await until_blocked()
        ended.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ended

    found = await games.load_state(begun.id)
    await games.finish_game(begun.id, found, won_by(begun.player2_id))
    assert await count(GameHistory) == 1
