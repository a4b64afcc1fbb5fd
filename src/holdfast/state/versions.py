"""Versions of a state: an epoch that a row gave out, and a count of the saves since.

`version = epoch << 23 | count` is one BIGINT. A save counts. Whenever Redis cannot vouch for what
it has, the row is given a new epoch from a sequence first, so that no number that anybody still
holds is ever given to another state.
"""

from typing import Final

COUNT_BITS: Final = 23  # eight million saves in one epoch, and a trillion epochs
_COUNT: Final = (1 << COUNT_BITS) - 1
SEQUENCE: Final = "holdfast_epoch"


def epoch(version: int) -> int:
    """Give the epoch of a version."""
    return version >> COUNT_BITS


def is_last(version: int) -> bool:
    """Tell whether no more saves can be counted in its epoch."""
    return version & _COUNT == _COUNT


def continues(version: int, other: int) -> bool:
    """Tell whether a version is a later one than the other, of the same history."""
    return epoch(version) == epoch(other) and version > other
