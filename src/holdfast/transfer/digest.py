"""A digest of a table's rows that is the same in any order, and on any engine."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any

from asyncpg import Path
from msgspec.msgpack import Encoder

from holdfast.transfer.refusing import MisfitError

_BYTES = 16


def _alone(value: object) -> object:
    """Give what only one engine has, such as a range, as its driver writes it."""
    if isinstance(value, Path):  # and polygons, of which it writes only where they are in memory
        return [value.is_closed, *value.points]
    return repr(value)


encode = Encoder(enc_hook=_alone, order="deterministic").encode


class Digest:
    """The sum of the hashes of rows: nothing is sorted, which each engine does in its own way.

    Attributes:
        rows: how many were added.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, columns: Sequence[Sequence[Any]]) -> None:
        """Add rows, given as columns.

        Raises:
            MisfitError: a row has a text that is none.
        """
        try:
            found = list(hashes(columns))
        except UnicodeEncodeError as error:
            raise MisfitError(_not_text(columns), "it has a text with half a character") from error
        self.rows += len(found)
        self._sum += sum(found)

    def __str__(self) -> str:
        return (self._sum % (1 << 8 * _BYTES)).to_bytes(_BYTES).hex()


def _not_text(columns: Sequence[Sequence[Any]]) -> int:
    for at, row in enumerate(zip(*columns, strict=True)):
        try:
            encode(row)
        except UnicodeEncodeError:
            return at
    raise AssertionError("one of them was not encoded")


def hashes(columns: Sequence[Sequence[Any]]) -> Iterator[int]:
    """Give a number for each row, given as columns."""
    encoded = map(encode, zip(*columns, strict=True))
    return map(int.from_bytes, [blake2b(each, digest_size=_BYTES).digest() for each in encoded])
