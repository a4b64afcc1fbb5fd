"""Games in the database: each begins once, goes forward only, and ends once."""

import asyncio
import uuid
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import InvalidRequestError

from holdfast.database import Database
from holdfast.errors import CommitUnknownError
from mantimon.db.models import ActiveGame, CampaignProgress, EndReason, GameHistory, GameType, User
from mantimon.errors import InvalidInputError, NotFoundError
from mantimon.games.state import GameState, Outcome, Rules, Seat
from mantimon.services.deck_rules import DeckList
from mantimon.services.game_state_manager import GameStateManager
from mantimon.services.games import (
    GameResult,
    finish_game,
    get_games_of,
    get_result,
    select_games_of,
    start_game,
)
from mantimon.services.pairings import NewGame, require_playable
from mantimon.services.players import delete_player
from mantimon.services.starters import choose_starter

NPC = "club_1_brann"


@pytest.fixture
async def players(db, register):
    """Give two players who own that deck."""
    return await register(db)


@pytest.fixture
def ranked(players, deck):
    """Give a ranked game that can begin."""
    return against(players, deck)


@pytest.fixture
async def begun_here(db, ranked, cards):
    """Give the ranked game when it has begun."""
    await db.run(start_game, ranked, cards=cards, seed=1)
    return ranked


def against(players, deck, **values):
    one, two = players
    defaults = {"game_type": GameType.RANKED, "player2_id": two, "deck2": deck}
    return NewGame(**{"player1_id": one, "deck1": deck} | defaults | values)


def against_npc(player, deck, **values):
    defaults = {"game_type": GameType.CAMPAIGN, "npc_id": NPC}
    return NewGame(**{"player1_id": player, "deck1": deck} | defaults | values)


def won_by(winner, reason=EndReason.PRIZES_TAKEN, **values):
    return GameResult(**{"winner_id": winner, "end_reason": reason, "turn_count": 9} | values)


def undated(state):
    """Give the same state without what is another's in each game: its version, and its time."""
    return msgspec.structs.replace(state, version=0, deadline=None)


async def read_one(db, model, game_id):
    async with db.read() as session:
        return await session.scalar(select(model).where(model.id == game_id))


async def count(db, model):
    async with db.read() as session:
        return await session.scalar(select(func.count()).select_from(model))


@pytest.fixture
async def ending(redis):
    """Give a function that says where a game is played, and its version, as its end asks for it."""
    async with AsyncExitStack() as opened:

        async def found(db, game_id):
            store = GameStateManager(db, redis).store
            opened.push_async_callback(store.close)  # which waits for what follows a commit
            game = await store.load(game_id)
            return {"store": store, "expect": game.version if game else 0}

        yield found


@pytest.fixture
def finish(ending):
    """Give a function that ends a game."""

    async def finished(db, game_id, result):
        return await db.run(finish_game, game_id, result, **await ending(db, game_id))

    return finished


async def test_a_game_begins(db, cards, ranked):
    """The dealt state is stored with its rules, and read back as it is."""
    rules = Rules(prizes=6, turn_seconds=30)
    new = replace(ranked, rules=rules)
    state = await db.run(start_game, new, cards=cards, seed=1)

    game = await read_one(db, ActiveGame, new.id)
    assert (game.player1_id, game.player2_id, game.npc_id) == (
        new.player1_id,
        new.player2_id,
        None,
    )
    assert (game.game_type, game.turn_number) == (GameType.RANKED, 0)
    assert game.turn_deadline == state.deadline
    assert timedelta(seconds=29) < game.turn_deadline - game.started_at < timedelta(seconds=31)
    assert game.rules_config == {
        "opening_hand": 7,
        "prizes": 6,
        "bench_size": 4,
        "turn_limit": 50,
        "turn_seconds": 30,
    }
    assert GameState.from_json(game.game_state, version=game.version) == state


async def test_a_campaign_game_is_against_the_npc_s_own_deck(db, cards, first_set, players, deck):
    """An NPC plays the starter of its element; nobody gives or owns it."""
    state = await db.run(start_game, against_npc(players[0], deck), cards=cards, seed=1)

    theirs = Counter(card.card for card in state.player2.all_cards())
    starter = choose_starter("flame", first_set)
    assert theirs == {**starter.cards, "energy-flame": 20}


async def test_the_same_seed_deals_the_same(db, cards, players, deck):
    """What is dealt depends on the seed and the decks, not on their order or the ids."""
    turned = DeckList(
        cards=dict(reversed(deck.cards.items())), energy_cards=dict(deck.energy_cards)
    )
    one, same, other = [
        undated(await db.run(start_game, against(players, each), cards=cards, seed=seed))
        for each, seed in ((deck, "x"), (turned, "x"), (deck, "y"))
    ]

    assert one == same
    assert one != other


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"npc_id": NPC}, "a game is against a player or an NPC, and both are given"),
        (
            {"player2_id": None, "deck2": None},
            "a game is against a player or an NPC, and none is given",
        ),
        ({"game_type": GameType.CAMPAIGN}, "a campaign game, and no other, is against an NPC"),
        (
            {"player2_id": None, "deck2": None, "npc_id": NPC},
            "a campaign game, and no other, is against an NPC",
        ),
        (
            {"game_type": "chess"},
            "'chess' is no type of game; there are campaign, .*",
        ),
        ({"deck2": None}, "a second deck is given with a second player, and only then"),
    ],
)
async def test_seats_that_do_not_fit(db, cards, ranked, changes, says):
    """Seats that make no game are refused in a line, and nothing is written."""
    wrong = replace(ranked, **changes)

    with pytest.raises(InvalidInputError, match=f"^{says}$"):
        await db.run(start_game, wrong, cards=cards, seed=1)
    assert await count(db, ActiveGame) == 0


async def test_nobody_plays_against_oneself(db, cards, players, deck):
    """One player cannot sit in both seats."""
    one, _ = players

    with pytest.raises(InvalidInputError, match=f"player {one} cannot play in both seats"):
        await db.run(start_game, against((one, one), deck), cards=cards, seed=1)


async def test_everything_wrong_is_said_at_once(db, cards, players, deck):
    """Unknown players and every problem of both decks are in one message."""
    one, two = players
    ghost = uuid.uuid4()
    small = DeckList(cards={}, energy_cards={"tide": 3})
    foreign = DeckList(cards={"m9-999": 1}, energy_cards={"tide": 59})

    with pytest.raises(InvalidInputError) as refused:
        await db.run(start_game, against((ghost, one), small), cards=cards, seed=1)
    wrong = against((one, two), small, deck2=foreign, npc_id="nobody")
    with pytest.raises(InvalidInputError) as others:
        await db.run(start_game, wrong, cards=cards, seed=1)

    assert f"there is no player {ghost}" in str(refused.value)
    assert "player 1's deck: the deck has 3 cards; it needs 60" in str(refused.value)
    for problem in (
        "both are given",
        "there is no opponent 'nobody'; those of Emberhall are club_1_brann",
        "player 1's deck: the deck has 3 cards; it needs 60",
        "player 2's deck: there is no card 'm9-999'",
        "player 2's deck: the deck has no basic creature",
    ):
        assert problem in str(others.value)
    assert await count(db, ActiveGame) == 0


async def test_a_deck_must_be_owned(db, cards, players, first_set):
    """Nobody plays with cards of others."""
    storm = choose_starter("storm", first_set)

    wrong = against(players, choose_starter("tide", first_set), deck2=storm)
    with pytest.raises(InvalidInputError, match=r"player 2's deck: .* in the deck, 0 owned"):
        await db.run(start_game, wrong, cards=cards, seed=1)


async def test_a_game_that_is_started_again_is_the_same_game(db, redis, cards, ranked):
    """The same id gives the game as far as it has come, and no second one."""
    dealt = await db.run(start_game, ranked, cards=cards, seed=1)
    games = GameStateManager(db, redis)
    state = await games.load_state(ranked.id)
    state.turn_number = 3
    await games.save_to_cache(ranked.id, state)
    await games.persist_to_db(ranked.id)
    again = await db.run(start_game, ranked, cards=cards, seed=1)

    assert again == state
    assert again.version > dealt.version
    assert await count(db, ActiveGame) == 1


async def test_an_id_belongs_to_one_game(db, cards, ranked, deck, finish):
    """The id of another game, or of one that is over, is refused, and nothing changes."""
    await db.run(start_game, ranked, cards=cards, seed=1)
    other = against((ranked.player2_id, ranked.player1_id), deck, id=ranked.id)

    with pytest.raises(InvalidInputError, match="is one of other players"):
        await db.run(start_game, other, cards=cards, seed=1)
    await finish(db, ranked.id, won_by(ranked.player1_id))
    async with db.begin() as session:
        with pytest.raises(InvalidInputError, match=f"game {ranked.id} is over"):
            await start_game(session, ranked, cards=cards, seed=1)
    assert await count(db, ActiveGame) == 0


async def test_a_start_whose_answer_was_lost(faults, database, cards, register, deck):
    """When nobody knows whether a game began, starting it again is safe: there is one."""
    ranked = against(await register(database), deck)
    faults.cut_commit()

    with pytest.raises(CommitUnknownError):
        await database.run(start_game, ranked, cards=cards, seed=1)
    again = await database.run(start_game, ranked, cards=cards, seed=1)

    assert again.turn_number == 0
    assert await count(database, ActiveGame) == 1


async def test_a_lost_connection_deals_no_other_hands(faults, database, cards, register, deck):
    """Work that is done again on a new connection deals what the first attempt dealt."""
    players = await register(database)
    one = await database.run(start_game, against(players, deck), cards=cards, seed=5)
    faults.drop_connection(at="INSERT", reached=True)
    other = await database.run(start_game, against(players, deck), cards=cards, seed=5)

    assert undated(one) == undated(other)
    assert await count(database, ActiveGame) == 2


async def test_a_player_who_goes_while_a_game_begins(database, cards, register, deck):
    """A player cannot be deleted under a game that begins; afterwards the game goes, too."""
    ranked = against(await register(database), deck)
    async with database.begin() as session:
        await require_playable(session, ranked, cards)
        gone = asyncio.create_task(_delete(database, ranked.player2_id))
        await _until_waiting(database)
        await start_game(session, ranked, cards=cards, seed=1)
    await gone

    assert await count(database, ActiveGame) == 0


async def _delete(db, player):
    async with db.begin() as session:
        await session.execute(delete(User).where(User.id == player))


async def _until_waiting(db, tasks=1):
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    async with asyncio.timeout(30), db.read() as session:
        while await session.scalar(waiting) < tasks:  # noqa: ASYNC110  -- a server has no event
            await asyncio.sleep(0.01)


async def test_a_game_ends(db, cards, ranked, finish):
    """It moves into the history under its id, with its players, at the database's time."""
    await db.run(start_game, ranked, cards=cards, seed=1)
    async with db.begin() as session:
        game = await session.scalar(select(ActiveGame).where(ActiveGame.id == ranked.id))
        game.started_at -= timedelta(seconds=100)
    result = won_by(ranked.player2_id, turn_count=12, replay_data={"log": [1]})
    played = await finish(db, ranked.id, result)

    assert await count(db, ActiveGame) == 0
    stored = await read_one(db, GameHistory, ranked.id)
    for history in (played, stored):
        assert history.id == ranked.id
        assert (history.player1_id, history.player2_id) == (ranked.player1_id, ranked.player2_id)
        assert (history.winner_id, history.end_reason) == (ranked.player2_id, "prizes_taken")
        assert (history.game_type, history.npc_id) == (GameType.RANKED, None)
        assert (history.turn_count, history.replay_data) == (12, {"log": [1]})
        assert 100 <= history.duration_seconds < 160
    assert stored.played_at > game.started_at + timedelta(seconds=100)


async def test_a_game_ends_once(db, cards, ranked, finish):
    """Who ends it again gets what is stored, also with another result."""
    await db.run(start_game, ranked, cards=cards, seed=1)
    first = await finish(db, ranked.id, won_by(ranked.player1_id))
    again = await finish(db, ranked.id, won_by(ranked.player2_id, EndReason.CONCESSION))

    assert (again.winner_id, again.end_reason) == (ranked.player1_id, "prizes_taken")
    assert again.played_at == first.played_at
    assert await count(db, GameHistory) == 1


async def test_two_end_a_game_at_once(database, begun, finish, ending):
    """One of them writes, the other one waits for it and gets the same."""
    end = await ending(database, begun.id)
    async with database.begin() as session:
        first = await finish_game(session, begun.id, won_by(begun.player1_id), **end)
        second = asyncio.create_task(finish(database, begun.id, won_by(begun.player2_id)))
        await _until_waiting(database)

    assert (await second).winner_id == begun.player1_id
    assert (await second).played_at == first.played_at
    assert await count(database, GameHistory) == 1


async def test_the_second_ends_it_when_the_first_fails(database, begun, finish, ending):
    """Whoever waits for one that is rolled back writes itself."""
    end = await ending(database, begun.id)
    async with database.session() as session:
        await finish_game(session, begun.id, won_by(begun.player1_id), **end)
        second = asyncio.create_task(finish(database, begun.id, won_by(begun.player2_id)))
        await _until_waiting(database)
        await session.rollback()

    assert (await second).winner_id == begun.player2_id
    assert await count(database, GameHistory) == 1


@pytest.mark.parametrize("at", ["DELETE FROM active_games", "INSERT INTO game_history"])
async def test_a_connection_lost_at_the_end(faults, database, begun, at, finish):
    """The game is in exactly one place after each failure, and in the history in the end."""
    faults.drop_connection(at=at, reached=True)
    await finish(database, begun.id, won_by(begun.player1_id))

    assert (await count(database, ActiveGame), await count(database, GameHistory)) == (0, 1)


@pytest.mark.parametrize("reached", [True, False])
async def test_an_end_whose_answer_was_lost(faults, database, begun, reached, finish):
    """Whether the COMMIT arrived or not, asking again gives the one result."""
    faults.cut_commit(reached=reached)

    with pytest.raises(CommitUnknownError):
        await finish(database, begun.id, won_by(begun.player1_id))
    again = await finish(database, begun.id, won_by(begun.player2_id))
    assert again.winner_id == (begun.player1_id if reached else begun.player2_id)
    assert (await count(database, ActiveGame), await count(database, GameHistory)) == (0, 1)


async def test_a_game_makes_room_for_itself(database, begun, clone, finish):
    """Where nobody has made a partition for the month, the game that ends in it does."""
    month = f"game_history_{datetime.now(UTC):%Y_%m}"
    async with Database(clone.owner) as owner, owner.begin() as session:
        await session.execute(text(f"DROP TABLE {month}"))

    await finish(database, begun.id, won_by(begun.player1_id))

    async with database.read() as session:
        sql = text("SELECT tableoid::regclass::text FROM game_history")
        assert (await session.scalars(sql)).all() == [month]


async def test_cancelled_at_the_end(database, begun, finish, ending):
    """A finisher that is cancelled while it waits leaves the game to the one it waits for."""
    end = await ending(database, begun.id)
    async with database.begin() as session:
        await finish_game(session, begun.id, won_by(begun.player1_id), **end)
        second = asyncio.create_task(finish(database, begun.id, won_by(begun.player2_id)))
        await _until_waiting(database)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second

    assert (await count(database, ActiveGame), await count(database, GameHistory)) == (0, 1)


async def test_started_again_while_it_ends(database, begun, cards, ending):
    """Who starts a game again while another one ends it does not bring it back."""
    end = await ending(database, begun.id)
    async with database.begin() as session:
        await finish_game(session, begun.id, won_by(begun.player1_id), **end)
        late = asyncio.create_task(database.run(start_game, begun, cards=cards, seed=1))
        await _until_waiting(database)

    with pytest.raises(InvalidInputError, match=f"game {begun.id} is over"):
        await late
    assert (await count(database, ActiveGame), await count(database, GameHistory)) == (0, 1)


async def test_a_game_that_never_was(db, finish):
    """Nothing can end that did not begin."""
    game = uuid.uuid4()

    with pytest.raises(NotFoundError, match=f"there is no game {game}"):
        await finish(db, game, won_by(None, EndReason.DRAW))


async def test_a_game_whose_player_has_gone(db, cards, ranked, finish):
    """A game that went with its player has no end."""
    await db.run(start_game, ranked, cards=cards, seed=1)
    await _delete(db, ranked.player2_id)

    with pytest.raises(NotFoundError, match="there is no game"):
        await finish(db, ranked.id, won_by(ranked.player1_id))


STRANGER = uuid.UUID(int=1)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"winner_id": STRANGER}, f"winner {STRANGER} has not played in this game"),
        ({"end_reason": EndReason.DRAW}, "a draw has no winner"),
        ({"winner_id": None}, "ended by prizes_taken, and no winner is given"),
        ({"turn_count": -1}, "turn_count is -1; it is between 0 and 2147483647"),
        ({"turn_count": 10**10}, "turn_count is 10000000000"),
        (
            {"winner_id": STRANGER, "end_reason": EndReason.DRAW, "turn_count": True},
            f"winner {STRANGER} has .*; a draw has .*; turn_count is True",
        ),
    ],
)
async def test_a_result_that_cannot_be(db, begun_here, ending, wrong, says):
    """Everything wrong with a result is said at once, and the game goes on, also if committed."""
    result = replace(won_by(begun_here.player1_id), **wrong)
    end = await ending(db, begun_here.id)

    async with db.begin() as session:
        with pytest.raises(InvalidInputError, match=says):
            await finish_game(session, begun_here.id, result, **end)
    assert (await count(db, ActiveGame), await count(db, GameHistory)) == (1, 0)


async def campaign_of(db, player):
    async with db.read() as session:
        mine = select(CampaignProgress).where(CampaignProgress.user_id == player)
        return await session.scalar(mine)


@pytest.mark.parametrize("won", [True, False])
async def test_a_campaign_game_ends(database, campaign_game, finish, won):
    """An NPC that wins is no player, so there is no winner; it counts once for the campaign."""
    player = campaign_game.player1_id
    for _ in range(2):
        played = await finish(database, campaign_game.id, won_by(player if won else None))

    assert played.npc_id == NPC
    assert played.winner_id == (player if won else None)
    progress = await campaign_of(database, player)
    assert (progress.total_wins, progress.total_losses) == (won, not won)
    assert progress.defeated_npcs == ([NPC] if won else [])


async def test_a_campaign_game_without_a_winner(db, cards, players, deck, finish):
    """A draw is neither a win nor a loss."""
    new = against_npc(players[0], deck)
    await db.run(start_game, new, cards=cards, seed=1)
    played = await finish(db, new.id, won_by(None, EndReason.DRAW))

    progress = await campaign_of(db, players[0])
    assert played.end_reason is EndReason.DRAW
    assert (progress.total_wins, progress.total_losses) == (0, 0)


@pytest.mark.parametrize("npc", ["club_1_ignace", "club_2_osk"])
async def test_an_npc_who_cannot_be_challenged_yet(db, cards, players, deck, npc):
    """A leader comes after the members, and a club after the one before it."""
    wrong = against_npc(players[0], deck, npc_id=npc)

    with pytest.raises(InvalidInputError, match=npc):
        await db.run(start_game, wrong, cards=cards, seed=1)
    assert await count(db, ActiveGame) == 0


@pytest.mark.parametrize("reached", [True, False])
async def test_a_campaign_counts_once(faults, database, campaign_game, reached, finish):
    """Whether the COMMIT arrived or not, a game that is ended again is one win."""
    result = won_by(campaign_game.player1_id)
    faults.cut_commit(reached=reached)

    with pytest.raises(CommitUnknownError):
        await finish(database, campaign_game.id, result)
    await finish(database, campaign_game.id, result)
    assert (await campaign_of(database, campaign_game.player1_id)).total_wins == 1


async def test_two_campaign_games_that_end_at_once(database, cards, campaign_game, deck, finish):
    """Games of one player that end together wait for each other, and each counts."""
    other = against_npc(campaign_game.player1_id, deck)
    await database.run(start_game, other, cards=cards, seed=2)
    result = won_by(campaign_game.player1_id)
    async with asyncio.TaskGroup() as group:
        for game in (campaign_game, other):
            group.create_task(finish(database, game.id, result))

    assert (await campaign_of(database, campaign_game.player1_id)).total_wins == 2


async def test_the_result_of_a_game_that_goes_on(db, cards, ranked):
    """There is no result before the end; an NPC that has won is nobody."""
    state = await db.run(start_game, ranked, cards=cards, seed=1)
    one, two = ranked.player1_id, ranked.player2_id

    with pytest.raises(InvalidInputError, match="the game goes on: it is for player"):
        get_result(state, one, two)
    state.outcome = Outcome(reason=EndReason.TIMEOUT, winner=Seat.PLAYER2)
    assert get_result(state, one, None).winner_id is None
    assert get_result(state, one, two).winner_id == two


async def test_games_of_a_player(session, make, player, rival, store):
    """A player's games in either seat come with the newest action first, without their states."""
    started = (await session.scalars(select(User.created_at))).first()
    games = [
        make.game(player, player2_id=rival.id, last_action_at=started),
        make.game(rival, player2_id=player.id, last_action_at=started + timedelta(minutes=2)),
        make.game(player, npc_id=NPC, last_action_at=started + timedelta(minutes=1)),
        make.game(rival, npc_id=NPC, last_action_at=started + timedelta(minutes=3)),
    ]
    await store(*games)
    found = await get_games_of(session, player.id)

    assert [game.id for game in found] == [games[n].id for n in (1, 2, 0)]
    assert await get_games_of(session, uuid.uuid4()) == []
    with pytest.raises(InvalidRequestError, match="game_state"):
        _ = found[0].game_state


async def test_games_of_a_player_are_found_by_the_indexes(clone):
    """Among thousands of games those of a player are found by the indexes of both seats."""
    fill = """
        WITH players AS (
            INSERT INTO users (id, email, display_name, oauth_provider, oauth_id)
            SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid,
                   n || '@example.test', 'Player', 'google', n::text
            FROM generate_series(0, 499) n RETURNING id, oauth_id::int AS n)
        INSERT INTO active_games (id, game_type, player1_id, player2_id)
        SELECT gen_random_uuid(), 'ranked', a.id, b.id
        FROM generate_series(1, 10) round
        JOIN players a ON true JOIN players b ON b.n = (a.n + round) % 500"""
    one = uuid.UUID("00000000-0000-7000-8000-000000000007")
    async with Database(clone.owner) as db, db.begin() as session:
        await session.execute(text(fill))
        await session.execute(text("ANALYZE active_games"))
        compiled = select_games_of(one).compile(
            dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}
        )
        plan = await session.scalar(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {compiled}"))
        assert len(await get_games_of(session, one)) == 20

    used = {node.get("Index Name") for node in _nodes(plan[0]["Plan"])}
    assert {"ix_active_games_player1_id", "ix_active_games_player2_id"} <= used
    assert "Seq Scan" not in {node["Node Type"] for node in _nodes(plan[0]["Plan"])}


def _nodes(plan):
    yield plan
    for each in plan.get("Plans", []):
        yield from _nodes(each)


@pytest.mark.parametrize("wrong", [{"tide": 40, "flame": -20}, {"tide": 20.0}, {"tide": True}])
async def test_a_deck_with_counts_that_are_none(db, cards, ranked, deck, wrong):
    """Counts that add up to a deck only with a negative one make no larger deck."""
    energy = {"tide": 20} | wrong
    cheating = replace(ranked, deck1=DeckList(cards=deck.cards, energy_cards=energy))

    with pytest.raises(InvalidInputError, match=r"player 1's deck: count of .*between 1 and"):
        await db.run(start_game, cheating, cards=cards, seed=1)
    assert await count(db, ActiveGame) == 0


async def _alone(db, work, *arguments, **options):
    """Do something once: whoever is turned away as a deadlock is not helped by another attempt."""
    async with db.begin() as session:
        return await work(session, *arguments, **options)


async def test_a_player_goes_while_a_game_ends(database, begun, ending):
    """The game goes with the player, and neither is turned away as a deadlock."""
    held = "SELECT FROM users WHERE id = :id FOR UPDATE"
    await _race_to_the_end(database, begun, await ending(database, begun.id), held=held)


async def test_a_player_goes_while_a_campaign_game_ends(database, campaign_game, ending):
    """The same where the end of the game is to be counted for the campaign."""
    held = "SELECT FROM campaign_progress WHERE user_id = :id FOR UPDATE"
    end = await ending(database, campaign_game.id)
    await _race_to_the_end(database, campaign_game, end, held=held)


async def _race_to_the_end(db, new, end, *, held):
    """Let the deletion come first, and both wait for what is held at that moment."""
    async with db.begin() as session:
        await session.execute(text(held), {"id": new.player1_id})
        gone = asyncio.create_task(_alone(db, delete_player, new.player1_id))
        await _until_waiting(db)
        ended = asyncio.create_task(_alone(db, finish_game, new.id, won_by(new.player1_id), **end))
        await _until_waiting(db, 2)

    found = await asyncio.gather(gone, ended, return_exceptions=True)
    assert [type(each) for each in found] == [type(None), NotFoundError]
    assert (await count(db, ActiveGame), await count(db, GameHistory)) == (0, 0)


async def test_a_player_goes_after_a_game_that_ends(database, campaign_game, ending):
    """A game that is just ending is in the history when its player has gone."""
    end = await ending(database, campaign_game.id)
    player = campaign_game.player1_id
    async with database.begin() as session:
        await finish_game(session, campaign_game.id, won_by(player), **end)
        gone = asyncio.create_task(_alone(database, delete_player, player))
        await _until_waiting(database)
    await gone

    assert (await count(database, User), await count(database, GameHistory)) == (1, 1)
