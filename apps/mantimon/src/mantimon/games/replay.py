"""What is kept of a game that was played: enough to show it again, in a tenth of its state."""

from typing import Any

import msgspec

from mantimon.games.state import CardInstance, GameState

# One row for each line of the log, in this order; cards are named by their ids in the game.
COLUMNS = ("turn", "seat", "event", "card", "target", "amount", "note")


def make_replay(state: GameState) -> dict[str, Any]:
    """Give the rules, what each card of the log is, and the log itself, one list for each line."""
    told = [card for entry in state.log for card in (entry.card, entry.target) if card]
    return {
        "rules": msgspec.to_builtins(state.rules),
        "cards": {card.id: card.card for card in told},
        "columns": list(COLUMNS),
        "log": [[_plain(getattr(entry, name)) for name in COLUMNS] for entry in state.log],
    }


def _plain(value: object) -> object:
    return value.id if isinstance(value, CardInstance) else value
