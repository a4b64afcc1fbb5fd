"""The lines of an import: JSON objects, one on each line, whose `type` says what they are.

    {"type": "project", "name": "Caching", "models": ["claude", "gpt"]}
    {"type": "discussion", "question": "Should answers be cached?", "kind": "consensus"}
    {"type": "round", "kind": "parallel"}
    {"type": "message", "model": "claude", "content": "Yes, for an hour."}
    {"type": "consensus", "summary": "Cache them.", "generated_by": "claude"}

Each belongs to what stands before it. Names of the other fields are those of the tables.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from moai.errors import InvalidInputError
from moai.services.inputs import (
    ConsensusInput,
    DiscussionInput,
    MessageInput,
    ProjectInput,
    RoundInput,
    checked,
    show,
)

LONGEST_LINE = 16 * 1024 * 1024  # bytes: what is held in memory of a file of any size

Input = ProjectInput | DiscussionInput | RoundInput | MessageInput | ConsensusInput

_KINDS: dict[object, type[Input]] = {
    "project": ProjectInput,
    "discussion": DiscussionInput,
    "round": RoundInput,
    "message": MessageInput,
    "consensus": ConsensusInput,
}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LineError(InvalidInputError):
    """A line that cannot be imported; nothing of the file was."""

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(f"line {number}: {problem}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one line asks for; `size` in bytes."""

    number: int
    size: int
    given: Input


def read_lines(source: BinaryIO) -> Iterator[Line]:
    """Read a file line by line, without those that are empty.

    Raises:
        LineError: a line is too long, no JSON object, or asks for what cannot be stored; all that
            is wrong with it is named.
    """
    number = 0
    while text := source.readline(LONGEST_LINE + 1):
        number += 1
        if len(text) > LONGEST_LINE:
            raise LineError(number, f"it is longer than {LONGEST_LINE // 1024**2} MB")
        if number == 1:
            text = text.removeprefix(_BYTE_ORDER_MARK)
        if line := text.strip():
            yield Line(number=number, size=len(line), given=_read(number, line))


def _read(number: int, text: bytes) -> Input:
    document = _parse(number, text)
    if not isinstance(document, dict):
        raise LineError(number, f"it is {show(document)}, no JSON object")
    found = document.pop("type", None)
    kind = _KINDS.get(found) if isinstance(found, str) else None
    if kind is None:
        said = "type is missing" if found is None else f"type is {show(found)}"
        raise LineError(number, f"{said}; it is one of {', '.join(map(str, _KINDS))}")
    try:
        return checked(kind, document)
    except InvalidInputError as error:
        raise LineError(number, str(error)) from None


def _parse(number: int, text: bytes) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        # Its own message counts lines as well, from 1 in each of ours.
        said = error.msg[0].lower() + error.msg[1:].removesuffix(" at")
        said = f"{said} at column {error.colno}"
    except UnicodeDecodeError:
        said = "its bytes are no UTF-8"
    except RecursionError:
        said = "it nests too deep"
    except ValueError:  # a number of thousands of digits
        said = "a number in it is too long"
    raise LineError(number, f"it is no JSON: {said}")
