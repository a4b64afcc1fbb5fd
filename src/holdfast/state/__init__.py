"""Hot state that survives: in Redis while it changes, in PostgreSQL when it matters.

    store = StateStore(db, client, table=StateTable(model=ActiveGame, prefix="game:"),
                       codec=GameState)
    async with store.flushing():
        game = await store.load(game_id)
        game = await store.save(game_id, play(game.value), expect=game.version)
        await store.persist(game_id)

Any number of processes may use one key; a write names the version that it saw. Needs
`holdfast[redis]`.
"""

from holdfast.state.codecs import StateCodec
from holdfast.state.facts import (
    StateConflicted,
    StateRefused,
    StateSaved,
    StatesFlushed,
    StatesRecovered,
    StateUnreadable,
    StoreFailed,
)
from holdfast.state.inspecting import Difference, KeyReport, StateStats, Verified
from holdfast.state.policy import StatePolicy
from holdfast.state.recovering import Recovered
from holdfast.state.requests import RefusedError
from holdfast.state.store import Entry, StateStore
from holdfast.state.table import Key, StateTable, state_version

__all__ = [
    "Difference",
    "Entry",
    "Key",
    "KeyReport",
    "Recovered",
    "RefusedError",
    "StateCodec",
    "StateConflicted",
    "StatePolicy",
    "StateRefused",
    "StateSaved",
    "StateStats",
    "StateStore",
    "StateTable",
    "StateUnreadable",
    "StatesFlushed",
    "StatesRecovered",
    "StoreFailed",
    "Verified",
    "state_version",
]
