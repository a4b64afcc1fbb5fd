"""Read the word lists that cards are made from, and pick from them the same way everywhere."""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final, TypeVar

_WORDS: Final = Path(__file__).parent / "words"
_T = TypeVar("_T")


def rows(name: str) -> list[list[str]]:
    """Give the rows of `words/<name>.txt` as columns; lines that open with `#` are comments."""
    lines = (_WORDS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line.split(" | ") for line in lines if line and not line.startswith("#")]


def grouped(name: str) -> dict[str, list[list[str]]]:
    """Give the rows of `words/<name>.txt` by their first column, without it."""
    groups: dict[str, list[list[str]]] = {}
    for first, *rest in rows(name):
        groups.setdefault(first, []).append(rest)
    return groups


def draw(*label: object) -> float:
    """Give a number from 0 up to 1 that depends on `label` alone.

    Unlike a stream of random numbers it does not change when another card draws one more, so
    that a new word alters few cards; and it is the same in every version of Python.
    """
    digest = blake2b("/".join(map(str, label)).encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48


def pick(options: Sequence[_T], *label: object) -> _T:
    """Give one of `options`, chosen by `draw`."""
    return options[int(draw(*label) * len(options))]
