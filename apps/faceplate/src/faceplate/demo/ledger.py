"""What was sent and what became of it, and whether a database agrees with that."""

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count


@dataclass(slots=True, kw_only=True)
class Sent:
    """One message: the moments at which it was sent and acknowledged, in one order for all."""

    content: str
    sent: int
    acknowledged: int | None = None


@dataclass(slots=True)
class Ledger:
    """All messages of a run, by what the one who sent them was told."""

    acknowledged: dict[uuid.UUID, list[Sent]] = field(default_factory=lambda: defaultdict(list))
    unknown: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    _moments: Iterator[int] = field(default_factory=count)

    def send(self, content: str) -> Sent:
        """Note that a message is being sent."""
        return Sent(content=content, sent=next(self._moments))

    def acknowledge(self, conversation: uuid.UUID, message: Sent) -> None:
        """Note that its sender was told that it is stored."""
        message.acknowledged = next(self._moments)
        self.acknowledged[conversation].append(message)

    @property
    def total(self) -> int:
        """How many messages were acknowledged."""
        return sum(map(len, self.acknowledged.values()))

    def check(self, stored: Mapping[uuid.UUID, Sequence[str]]) -> dict[str, bool]:
        """Compare with the contents of each conversation, as they are read back.

        Of two messages, the one that was acknowledged before the other was sent comes first.
        """
        there = Counter(content for contents in stored.values() for content in contents)
        known = Counter(
            message.content for messages in self.acknowledged.values() for message in messages
        )
        others = there - known
        found = len(others)
        return {
            f"each of {self.total:,} acknowledged messages is there, once": (
                all(there[content] == 1 for content in known)
            ),
            f"all of them are in order, in each of {len(stored):,} conversations": all(
                _in_order(messages, stored.get(conversation, ()))
                for conversation, messages in self.acknowledged.items()
            ),
            f"of {len(self.failed):,} that were given up none is there": (
                not self.failed & set(there)
            ),
            f"of {len(self.unknown):,} whose COMMIT was cut off {found} are there, and no others": (
                set(others) <= self.unknown and all(n == 1 for n in others.values())
            ),
        }


def _in_order(messages: Sequence[Sent], stored: Sequence[str]) -> bool:
    by_content = {message.content: message for message in messages}
    latest = -1  # the moment at which the youngest message so far was sent
    for message in filter(None, map(by_content.get, stored)):
        if message.acknowledged is not None and message.acknowledged < latest:
            return False
        latest = max(latest, message.sent)
    return True
