"""Refuse what no table can hold and no player means: card ids, counts and limits."""

from collections.abc import Mapping

from mantimon.errors import InvalidInputError

MOST_AT_ONCE = 10_000  # far above any gift, deck or page; keeps a slip of the pen out
LONGEST_ID = 64  # the column's length
LARGEST_STORED = 2**31 - 1  # what an integer column holds
_SHOWN = 80  # characters of a value in a message


def require_counts(what: str, *groups: Mapping[str, int]) -> None:
    """Refuse ids that cannot be one, else counts that are not between 1 and 10,000.

    Raises:
        InvalidInputError: it names all of them.
    """
    counts = [each for group in groups for each in group.items()]
    if wrong := [show(each) for each, _ in counts if not fits(each, LONGEST_ID)]:
        raise InvalidInputError(
            f"{', '.join(wrong)} is no id; one has 1 to {LONGEST_ID} printable characters"
        )
    in_order = sorted(counts, key=lambda each: each[0])
    if wrong := [f"{id_}: {show(n)}" for id_, n in in_order if not _is_count(n)]:
        raise InvalidInputError(f"{what} of {', '.join(wrong)}; it is between 1 and {MOST_AT_ONCE}")


def require_count(what: str, count: int) -> None:
    """Refuse a count that is none.

    Raises:
        InvalidInputError: it is not between 1 and 10,000.
    """
    if not _is_count(count):
        raise InvalidInputError(f"{what} is {show(count)}; it is between 1 and {MOST_AT_ONCE}")


def require_ranges(holder: object, ranges: Mapping[str, tuple[int, int]]) -> None:
    """Refuse attributes that are no whole number from the least to the most that each may be.

    Raises:
        InvalidInputError: it names all of them.
    """
    wrong = [
        f"{name} is {show(value)}, and is to be from {least} to {most}"
        for name, (least, most) in ranges.items()
        if type(value := getattr(holder, name)) is not int or not least <= value <= most
    ]
    if wrong:
        raise InvalidInputError("; ".join(wrong))


def require_limit(limit: int) -> None:
    """Refuse a limit that is no number of rows.

    Raises:
        InvalidInputError: it is not between 1 and 10,000.
    """
    require_count("limit", limit)


def fits(text: str, most: int) -> bool:
    """Tell whether a text has 1 to `most` characters and can be printed, so stored as well."""
    return isinstance(text, str) and 1 <= len(text) <= most and text.isprintable()


def show(value: object) -> str:
    """Write a value for a message in one line, however long it is."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than some thousand digits
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _is_count(value: int) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and 1 <= value <= MOST_AT_ONCE
