"""Documents come back from a database as the standard library would read them."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import bindparam, text

from holdfast.database import Database, documents
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


@given(DOCUMENTS)
def test_what_was_written_is_read(document):
    """To the last digit, with the types that the standard library gives."""
    written = documents.dumps(document)

    assert repr(documents.loads(written)) == repr(json.loads(written)) == repr(document)


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


@pytest.mark.parametrize("document", [10**30, {"a": [1.5, None, "é\u2028"]}, [], "text"], ids=str)
async def test_through_a_database(any_url, document):
    """Whatever a driver hands over, bytes or text."""
    query = text("SELECT :it AS it").bindparams(bindparam("it", document, json_type()))

    async with Database(any_url) as db, db.read() as session:
        found = await session.scalar(query.columns(it=json_type()))

    assert found == document
