"""What may be stored: checked before anything is written, all problems at once."""

import re
import uuid
from collections.abc import Iterator
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from holdfast.models import is_blank
from moai.core.models import DiscussionKind, DiscussionStatus, RoundKind
from moai.errors import InvalidInputError

LONGEST_NAME = 200  # characters
MOST_AT_ONCE = 10_000  # rows of one page
_SHOWN = 80  # characters of a value in a message
# The zero and half a character: PostgreSQL keeps neither, and a database may move there.
_NOT_STORED = re.compile("[\0\ud800-\udfff]")

T = TypeVar("T", bound=BaseModel)


def _said(value: str) -> str:
    if is_blank(value):
        raise ValueError("it is empty or blank; give it a text that can be seen")
    if _NOT_STORED.search(value):
        raise ValueError("it has a zero or half a character in it; remove it")
    return value


def _named(value: str) -> str:
    if not value.isprintable() or len(value) > LONGEST_NAME:
        raise ValueError(f"it has 1 to {LONGEST_NAME} printable characters, in one line")
    return value


def _once(values: list[str]) -> list[str]:
    if twice := sorted({each for each in values if values.count(each) > 1}):
        raise ValueError(f"{', '.join(twice)} is there more than once")
    return values


def _one_of(members: type[DiscussionKind | DiscussionStatus | RoundKind]) -> BeforeValidator:
    def find(value: object) -> object:
        if isinstance(value, str) and value in list(members):
            return members(value)
        raise ValueError(f"it is {show(value)}, not {' or '.join(members)}")

    return BeforeValidator(find)


Text = Annotated[str, AfterValidator(_said)]
Name = Annotated[str, AfterValidator(_said), AfterValidator(_named)]
Kind = Annotated[DiscussionKind, _one_of(DiscussionKind)]
Status = Annotated[DiscussionStatus, _one_of(DiscussionStatus)]


class _Input(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class ProjectInput(_Input):
    """A project that is made."""

    name: Name
    models: Annotated[list[Name], AfterValidator(_once)] = []


class DiscussionInput(_Input):
    """A discussion that is opened; one that is imported may have ended."""

    question: Text
    kind: Kind = DiscussionKind.OPEN
    status: Status = DiscussionStatus.ACTIVE


class StatusInput(_Input):
    """What is looked for in a list."""

    status: Status


class RoundInput(_Input):
    """A round that is begun."""

    kind: Annotated[RoundKind, _one_of(RoundKind)] = RoundKind.PARALLEL


class MessageInput(_Input):
    """A message that has arrived."""

    model: Name
    content: Text
    is_direct: bool = False


class ConsensusInput(_Input):
    """A consensus that is written down."""

    summary: Text
    generated_by: Name
    agreements: list[Text] = []
    disagreements: list[Text] = []


def checked(kind: type[T], values: dict[str, object]) -> T:
    """Give values that may be stored.

    Raises:
        InvalidInputError: one line that names everything that is wrong.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InvalidInputError("; ".join(_problems(error))) from None


def require_id(what: str, given: str) -> str:
    """Give an id in the form in which it is stored.

    Raises:
        InvalidInputError: it is none.
    """
    try:
        return str(uuid.UUID(given))
    except ValueError:
        raise InvalidInputError(
            f"{what} is {show(given)}, which is no id; one has 36 characters, as lists show them"
        ) from None


def require_limit(limit: int) -> None:
    """Refuse a limit that is no number of rows.

    Raises:
        InvalidInputError: it is not between 1 and 10,000.
    """
    if not 1 <= limit <= MOST_AT_ONCE:
        raise InvalidInputError(f"limit is {show(limit)}; it is between 1 and {MOST_AT_ONCE}")


def show(value: object) -> str:
    """Write a value for a message in one line, however long it is."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than some thousand digits
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _problems(error: ValidationError) -> Iterator[str]:
    for each in error.errors(include_url=False, include_input=False, include_context=False):
        first, *steps = each["loc"]
        where = f"{first}{''.join(f'[{step}]' for step in steps)}"
        message = each["msg"].removeprefix("Value error, ")
        said = {"missing": "it is missing", "extra_forbidden": "there is no such field"}
        yield f"{where}: {said.get(each['type'], message[0].lower() + message[1:])}"
