"""Documents come back from a database as the standard library would read them."""

import enum
import json
import math
import uuid
from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import bindparam, text

from holdfast.database import Database, documents
from holdfast.errors import InvalidValueError
from holdfast.models import json_type

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
DOCUMENTS = st.recursive(SCALARS, lambda of: st.lists(of) | st.dictionaries(TEXT, of))
# What only the standard library reads, or which nothing reads.
ODD = ["1e400", '{"a": [-1e999]}', '"\\ud800"', "[NaN, Infinity]", "1" * 5000, "", "[1,]", '"\t"']


def read(loads, written):
    """Tell what a decoder makes of it, or how it fails."""
    try:
        return repr(loads(written))
    except Exception as error:  # noqa: BLE001
        return type(error), str(error)


class Kind(enum.Enum):
    """What JSON has no word for."""

    SPELL = "spell"


class Level(enum.IntEnum):
    """Numbers, for JSON."""

    LOW = 1


# What only one of two encoders takes, and what the other makes something else of.
ODDITIES = SCALARS | st.sampled_from(
    [
        *(math.nan, math.inf, 2**64, -(2**63) - 1, 10**400, "\0", "\ud800", "\\u0000"),
        *(b"bytes", datetime(2026, 1, 1, tzinfo=UTC), uuid.UUID(int=1), Decimal("1.5"), {1, 2}),
        *(Kind.SPELL, Level.LOW, (1, 2), {1: "one"}, {True: 1}, {None: 1}, {1.5: 1}, {(1,): 1}),
        *({1: 1, "1": 2}, OrderedDict(a=1), object(), msgspec.UNSET, msgspec.Raw(b"1"), 1e22, -0.0),
    ]
)
ANYTHING = st.recursive(ODDITIES, lambda of: st.lists(of) | st.dictionaries(TEXT, of))


def stored(dumps, document):
    """Tell what is stored of a document, or why it is not."""
    try:
        return repr(json.loads(dumps(document)))
    except InvalidValueError as error:
        return str(error)


@given(DOCUMENTS, st.sampled_from([documents.dumps, documents.dumps_compactly]))
def test_what_was_written_is_read(document, dumps):
    """To the last digit, with the types that the standard library gives."""
    written = dumps(document)

    assert repr(documents.loads(written)) == repr(json.loads(written)) == repr(document)


@given(ANYTHING)
def test_both_encoders_store_and_refuse_the_same(document):
    """One is quick, and takes a time for text and NaN for null; nothing of that may be seen."""
    assert stored(documents.dumps_compactly, document) == stored(documents.dumps, document)


@given(st.text(alphabet='{}[]",:0123456789.eE+-\\u\tnulltruefasNI ') | st.sampled_from(ODD))
@example("[" * 3000 + "]" * 3000)
def test_any_text_is_read_as_by_the_standard_library(written):
    """Also what is no document: the error is the same."""
    assert read(documents.loads, written) == read(json.loads, written)


class Text(str):
    """What a driver's own factory of texts may give."""

    __slots__ = ()


@pytest.mark.parametrize(
    "written", ['"\ud800"', b'{"\xed\xa0\x80": 1}', b'"\xff"', Text('{"a": 1}'), 1, None], ids=repr
)
def test_what_a_driver_gives_is_taken_as_by_the_standard_library(written):
    """Half of a surrogate pair, a str of another class, no text at all."""
    assert read(documents.loads, written) == read(json.loads, written)


@pytest.mark.parametrize(
    "document", [-(2**63), [10**30], {"a": [1.5, None, "é\u2028"]}, [], "text"], ids=str
)
async def test_through_a_database(any_url, document):
    """Whatever a driver hands over, bytes or text."""
    query = text("SELECT :it AS it").bindparams(bindparam("it", document, json_type()))

    async with Database(any_url) as db, db.read() as session:
        found = await session.scalar(query.columns(it=json_type()))

    assert found == document


async def test_sqlite_stores_the_text_of_the_standard_library(tmp_path):
    """Which another program compares its own with, in a row that it may have written."""
    document = {"a": [1, "é"]}
    query = text("SELECT :it").bindparams(bindparam("it", document, json_type()))

    async with Database(f"sqlite:///{tmp_path}/documents.db") as db, db.read() as session:
        assert await session.scalar(query) == json.dumps(document)
