"""Games while they are played: every action in Redis, every turn and the end in PostgreSQL."""

import uuid
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from redis.asyncio import Redis

from holdfast import settings
from holdfast.database import Database
from holdfast.errors import StateConflictError, StoreUnavailableError, UnknownKeyError
from holdfast.state import Recovered, StateCodec, StatePolicy, StateStore, StateTable
from mantimon.db.models import ActiveGame, GameHistory
from mantimon.db.redis import get_client
from mantimon.db.session import get_database
from mantimon.errors import NotFoundError
from mantimon.games.state import GameState
from mantimon.services.games import GameResult, finish_game


def _now(_: GameState) -> datetime:
    return datetime.now(UTC)


_TABLE: Final[StateTable[GameState]] = StateTable(
    model=ActiveGame,
    prefix="game:",
    state="game_state",
    columns={
        "turn_number": lambda state: state.turn_number,
        "turn_deadline": lambda state: state.deadline,
        "last_action_at": _now,
        "updated_at": _now,
    },
)
_CODEC: Final[StateCodec[GameState]] = StateCodec(
    encode=GameState.to_json, decode=lambda text: GameState.from_json(text, version=0)
)


class GameStateManager:
    """The states of all games that are being played, for any number of workers at once.

        games = get_game_state_manager()
        state = await games.load_state(game_id)
        state = play(state, action, cards, rng)
        await games.save_to_cache(game_id, state)   # every action
        await games.persist_to_db(game_id)          # every turn: it cannot get lost any more
        await games.finish_game(game_id, state, get_result(state, player1_id, player2_id))

    A state carries the version that it was loaded or saved with, so whoever has an old one in hand
    cannot replace a newer one. Nothing is opened here, and nothing is held in the process.

    Args:
        db: of the games, which `mantimon.services.games.start_game` begins.
        redis: where they are while they are played, under `game:{game_id}`.

    Attributes:
        store: what it stands on; `store.flushing()` writes what is saved in the background.

    Raises:
        ConfigurationError: a limit is wrong; the message names its variable.
    """

    def __init__(self, db: Database, redis: Redis) -> None:
        self.store = make_store(db, redis)
        self._db = db

    async def load_state(self, game_id: uuid.UUID) -> GameState | None:
        """Give a game as it is now, from Redis, else from PostgreSQL; None where there is none.

        Raises:
            StoreUnavailableError: Redis or, where it is needed, PostgreSQL did not answer in time.
        """
        entry = await self.store.load(game_id)
        if entry is None:
            return None
        entry.value.version = entry.version
        return entry.value

    async def save_to_cache(self, game_id: uuid.UUID, state: GameState) -> None:
        """Replace the state in Redis that this one came from; it has the new version then.

        A turn that has just begun is given its deadline.

        Raises:
            StateConflictError: somebody else was quicker, or Redis had forgotten it; load it again.
                It has both versions, but for what was forgotten.
            NotFoundError: nobody plays such a game, or nobody does any more.
            OutcomeUnknownError: no answer; load it and look whether the action is in it.
            StoreUnavailableError: Redis could not be reached; nothing was changed.
            OverloadedError: too many games wait to be written; nothing was changed.
        """
        state.start_clock()
        try:
            entry = await self.store.save(game_id, state, expect=state.version)
        except StateConflictError as error:
            if error.found is None and await self.store.load(game_id) is None:
                raise _not_found(game_id) from error
            raise
        state.version = entry.version

    async def persist_to_db(self, game_id: uuid.UUID) -> int:
        """Have PostgreSQL hold the newest state, and give its version.

        Once it returned, that state or a newer one is what everybody loads, whatever is lost. It is
        another one than yours where the version is not that of your state: somebody has gone on, or
        Redis has lost it between saving and persisting. Load it again.

        Raises:
            NotFoundError: nobody plays such a game.
            StoreUnavailableError: it could not be written now; what was saved is as it was.
        """
        try:
            return await self.store.persist(game_id)
        except UnknownKeyError as error:
            raise _not_found(game_id) from error

    async def finish_game(
        self, game_id: uuid.UUID, state: GameState, result: GameResult
    ) -> GameHistory:
        """Move a game into the history, in one transaction; then its state goes from Redis.

        Whoever asks again, also after an error, gets what the first one stored.

        Args:
            game_id: of the game.
            state: its last one; it need not have been saved.
            result: what came of it; see `mantimon.services.games.get_result`.

        Raises:
            InvalidInputError: it names everything that is wrong with the result.
            NotFoundError: there is no such game, and there was none that has ended.
            StateConflictError: the state does not come from the newest one; load it again.
            CommitUnknownError: nobody knows whether it is stored; ask again.
            StoreUnavailableError: Redis could not be reached; the game goes on.
        """
        history = await self._db.run(
            finish_game, game_id, result, store=self.store, expect=state.version
        )
        with suppress(StoreUnavailableError):  # nobody can play on from it, and a writer removes it
            await self.store.delete(game_id)
        return history

    async def delete_game(self, game_id: uuid.UUID) -> bool:
        """Delete a game that has no end, and its state; tell whether there was one.

        Raises:
            StoreUnavailableError: Redis or PostgreSQL could not be reached; the game goes on.
            OutcomeUnknownError: no answer; the game may be there or not. Ask again.
        """
        return await self.store.delete(game_id)

    async def recover_active_games(self) -> Recovered:
        """Have Redis hold every game, at a start; give how many were looked at and filled.

        A game that a running worker has there already is left alone, so every worker may do so.

        Raises:
            StoreUnavailableError: Redis or PostgreSQL is away.
        """
        return await self.store.recover()


def get_game_state_manager() -> GameStateManager:
    """Give the one manager on the shared database and Redis; no I/O is done here.

    Raises:
        ConfigurationError: a setting is wrong; the message names it.
    """
    return _make(get_database(), get_client())


def make_store(db: Database, redis: Redis) -> StateStore[GameState]:
    """Make the store of games, with the application's limits, `MANTIMON_STATE_…`.

    Raises:
        ConfigurationError: a limit is wrong; the message names its variable.
    """
    policy = settings.load(StatePolicy, prefix="MANTIMON_STATE_")
    return StateStore(db, redis, table=_TABLE, codec=_CODEC, policy=policy)


@lru_cache(maxsize=1)
def _make(db: Database, redis: Redis) -> GameStateManager:
    return GameStateManager(db, redis)


def _not_found(game_id: uuid.UUID) -> NotFoundError:
    return NotFoundError(f"there is no game {game_id} that is being played")
