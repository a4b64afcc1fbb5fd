"""Pages by what rows are sorted by."""

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.paging import make_page, read_place, write_place

TIMES = st.datetimes(timezones=st.just(UTC))
PLACES = st.tuples(TIMES, st.uuids())


@given(PLACES)
def test_a_place_is_read_as_it_was_written(place):
    """Also before 1970, and to the microsecond."""
    assert read_place(write_place(*place)) == place


def test_a_place_is_a_moment():
    """A time in another zone is the same place."""
    moment, row = datetime(2026, 1, 1, tzinfo=UTC), uuid.uuid4()
    east = moment.astimezone(timezone(timedelta(hours=9)))

    assert write_place(east, row) == write_place(moment, row)


@pytest.mark.parametrize(
    "written", ["", "x", "1-2", "-", "9" * 21 + "-" + "0" * 32, "9" * 5000 + "-1", 7, None]
)
def test_a_place_that_is_none(written):
    """What no page has given is refused in one line, however long it is."""
    with pytest.raises(
        ConfigurationError, match=r"^after is .{1,90}; it is what the page before has given"
    ):
        read_place(written)


@given(st.lists(PLACES, unique=True), st.integers(1, 7))
def test_pages_are_the_list(places, limit):
    """Page by page each row comes once, in order, and no page follows the last."""
    rows, listed, after = sorted(places), [], None
    for _ in range(len(rows) // limit + 1):
        begin = read_place(after) if after else None
        rest = [row for row in rows if begin is None or row > begin]
        page = make_page(rest[: limit + 1], limit, lambda row: row)
        listed, after = [*listed, *page.items], page.next
        if after is None:
            break

    assert listed == rows
    assert after is None
