"""Games from their beginning to their place in the history, each step safe to be done again."""

import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Integer, Select, Text, cast, delete, extract, func, literal, or_, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from holdfast.models import clock_timestamp
from holdfast.state import StateStore
from mantimon.db.models import ActiveGame, EndReason, GameHistory
from mantimon.db.partitions import make_room
from mantimon.errors import GameOverError, InvalidInputError, NotFoundError
from mantimon.games.dealing import deal
from mantimon.games.replay import make_replay
from mantimon.games.state import GameState, Seat
from mantimon.services.campaign import record_campaign_game
from mantimon.services.card_service import CardService
from mantimon.services.inputs import LARGEST_STORED, show
from mantimon.services.pairings import NewGame, get_second_deck, require_playable, spread


@dataclass(frozen=True, slots=True, kw_only=True)
class GameResult:
    """How a game ended; without a winner it is a draw, or an NPC has won."""

    winner_id: uuid.UUID | None
    end_reason: EndReason
    turn_count: int
    replay_data: dict[str, Any] | None = None


async def start_game(
    session: AsyncSession, new: NewGame, *, cards: CardService, seed: int | str
) -> GameState:
    """Shuffle, deal, and store a game that begins.

    Started again, with the same id, it is the same game, as far as its row has it. So work that is
    repeated makes no second one, and `seed` instead of a source of chance deals the same hands.
    To play on, load it from the `GameStateManager`, which may have more of it. For READ COMMITTED,
    the default: an older snapshot does not see that the game has ended.

    Raises:
        InvalidInputError: it names everything that is wrong: seats that do not fit the type, a
            player or an NPC that does not exist, an NPC whom the player may not challenge yet,
            every problem of both decks. Or the id belongs to another game. Nothing is written.
        GameOverError: the id belongs to a game that is over. Nothing is written.
    """
    await require_playable(session, new, cards)
    state = deal(
        spread(new.deck1),
        spread(get_second_deck(new, cards)),
        new.rules,
        {card.id: card for card in cards},
        random.Random(seed),  # noqa: S311  -- a caller who plays for something gives a secret one
    )
    state.start_clock()
    version = await _insert(session, new, state)
    if version is None:
        return await _get_started(session, new)
    state.version = version
    return state


async def finish_game(
    session: AsyncSession,
    game_id: uuid.UUID,
    result: GameResult,
    *,
    store: StateStore[GameState],
    expect: int,
) -> GameHistory:
    """Move a game into the history, under the same id; once, however often it is asked for.

    Whoever asks again, or at the same time, gets what the first one stored, whatever the own
    result is. A game against an NPC that is no draw counts for the player's campaign, in the same
    transaction. For READ COMMITTED, the default: an older snapshot does not see who was first.

    Args:
        session: whose transaction it is.
        game_id: of the game.
        result: of the game.
        store: where its state is while it is played; nobody plays on from the call on.
        expect: the version of the state that led to the result.

    Raises:
        InvalidInputError: it names everything that is wrong with the result: a winner who did
            not play, none where somebody must have won, one of a draw, a number of turns that
            is none. Nothing is written.
        NotFoundError: there is no such game, and there was none that has ended.
        StateConflictError: the game has gone on, or back to what was stored, since that version.
        StoreUnavailableError: Redis could not be reached.
    """
    # Who plays never changes, so what is found wrong here stays wrong.
    game = (await session.execute(_seats(game_id))).one_or_none()
    if game is None:
        return await _get_finished(session, game_id)
    if wrong := [*_wrong_result(result, (game.player1_id, game.player2_id))]:
        raise InvalidInputError("; ".join(wrong))
    if not await store.delete(game_id, expect=expect, session=session):
        return await _get_finished(session, game_id)  # somebody else was quicker
    await session.execute(select(make_room()))
    history = GameHistory(
        id=game_id,
        game_type=game.game_type,
        player1_id=game.player1_id,
        player2_id=game.player2_id,
        npc_id=game.npc_id,
        duration_seconds=game.seconds,
        winner_id=result.winner_id,
        end_reason=result.end_reason,
        turn_count=result.turn_count,
        replay_data=result.replay_data,
    )
    session.add(history)
    await session.flush()
    if game.npc_id is not None and result.end_reason != EndReason.DRAW:
        won = result.winner_id == game.player1_id
        await record_campaign_game(session, game.player1_id, game.npc_id, won=won)
    return history


def get_result(state: GameState, player1_id: uuid.UUID, player2_id: uuid.UUID | None) -> GameResult:
    """Give the result of a state that has ended; `player2_id` is None for an NPC.

    Raises:
        InvalidInputError: the game goes on.
    """
    if state.outcome is None:
        raise InvalidInputError(f"the game goes on: it is for {state.waiting_for} to act")
    players = {Seat.PLAYER1: player1_id, Seat.PLAYER2: player2_id}
    return GameResult(
        winner_id=players[state.outcome.winner] if state.outcome.winner else None,
        end_reason=state.outcome.reason,
        turn_count=state.turn_number,
        replay_data=make_replay(state),
    )


async def get_games_of(session: AsyncSession, player_id: uuid.UUID) -> list[ActiveGame]:
    """Give the games that a player is in, in either seat, the one with the newest action first.

    Their `game_state` is not loaded: it is for the game that is chosen.
    """
    return list(await session.scalars(select_games_of(player_id)))


def select_games_of(player_id: uuid.UUID) -> Select[ActiveGame]:
    """Build the query of `get_games_of`: both indexes together find the few games of a player."""
    return (
        select(ActiveGame)
        .where(or_(ActiveGame.player1_id == player_id, ActiveGame.player2_id == player_id))
        .order_by(ActiveGame.last_action_at.desc(), ActiveGame.id.desc())
        .options(defer(ActiveGame.game_state, raiseload=True))
    )


async def _insert(session: AsyncSession, new: NewGame, state: GameState) -> int | None:
    """Give the version of the row; None where there is one of this id."""
    statement = (
        insert(ActiveGame)
        .values(
            id=new.id,
            game_type=new.game_type,
            player1_id=new.player1_id,
            player2_id=new.player2_id,
            npc_id=new.npc_id,
            rules_config=msgspec.to_builtins(new.rules),
            # As JSON text: as objects, for a JSON column, it would cost ten times more.
            game_state=cast(literal(state.to_json().decode(), Text()), JSONB()),
            turn_deadline=state.deadline,
        )
        .on_conflict_do_nothing(index_elements=["id"])
        .returning(ActiveGame.version)
    )
    version = await session.scalar(statement)
    if version is None:
        return None
    # After the INSERT, which waits for a game of this id that is just being finished.
    over = await session.scalar(select(GameHistory.id).where(GameHistory.id == new.id))
    if over:
        await session.execute(delete(ActiveGame).where(ActiveGame.id == new.id))
        raise _is_over(new.id)
    return version


async def _get_started(session: AsyncSession, new: NewGame) -> GameState:
    game = await session.scalar(
        select(ActiveGame).where(ActiveGame.id == new.id).execution_options(populate_existing=True)
    )
    if game is None:
        raise _is_over(new.id)
    same = ("game_type", "player1_id", "player2_id", "npc_id")
    if any(getattr(game, name) != getattr(new, name) for name in same):
        raise InvalidInputError(f"game {new.id} is one of other players; a game has its own id")
    return GameState.from_json(game.game_state, version=game.version)


def _is_over(game_id: uuid.UUID) -> GameOverError:
    return GameOverError(f"game {game_id} is over; a new game has a new id")


def _wrong_result(result: GameResult, players: Sequence[uuid.UUID | None]) -> Iterator[str]:
    drawn = result.end_reason == EndReason.DRAW
    if result.winner_id is not None and result.winner_id not in players:
        yield f"winner {result.winner_id} has not played in this game"
    if drawn and result.winner_id is not None:
        yield "a draw has no winner"
    if not drawn and result.winner_id is None and None not in players:
        yield f"somebody has won a game that ended by {result.end_reason}, and no winner is given"
    if type(result.turn_count) is not int or not 0 <= result.turn_count <= LARGEST_STORED:
        yield f"turn_count is {show(result.turn_count)}; it is between 0 and {LARGEST_STORED}"


def _seats(game_id: uuid.UUID) -> "Select[*tuple[Any, ...]]":
    past = extract("epoch", clock_timestamp() - ActiveGame.started_at)
    return select(
        ActiveGame.game_type,
        ActiveGame.player1_id,
        ActiveGame.player2_id,
        ActiveGame.npc_id,
        cast(func.greatest(func.floor(past), 0), Integer).label("seconds"),
    ).where(ActiveGame.id == game_id)


async def _get_finished(session: AsyncSession, game_id: uuid.UUID) -> GameHistory:
    found = await session.scalar(select(GameHistory).where(GameHistory.id == game_id))
    if found is None:
        raise NotFoundError(f"there is no game {game_id}")
    return found
