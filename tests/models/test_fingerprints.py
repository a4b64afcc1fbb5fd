"""A document's fingerprint tells whether it was changed, whatever it is made of."""

import copy
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pydantic
import pytest

from holdfast.models import typed_json

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
THERE = NOON.astimezone(timezone(timedelta(hours=3)))


class Visit(msgspec.Struct):
    """A document with a time, deep inside."""

    at: list[datetime | None]
    after: "Visit | None" = None


class Stay(pydantic.BaseModel):
    """The same by pydantic."""

    at: list[datetime]


CHANGES = {
    "null to nan": (dict[str, Any], {"x": None}, {"x": float("nan")}),
    "key": (dict[str, Any], {"1": 0}, {1: 0}),
    "integer to float": (dict[str, Any], {"x": 1}, {"x": 1.0}),
    "integer to bool": (dict[str, Any], {"x": 1}, {"x": True}),
    "past 64 bits": (list[int], [2**64], [2**64 + 1]),
    "into 64 bits": (list[int], [2**64], [2**64 - 1]),
    "zone": (Visit, Visit([], Visit([NOON])), Visit([], Visit([THERE]))),
    "zone by pydantic": (Stay, Stay(at=[NOON]), Stay(at=[THERE])),
    "to what cannot be stored": (list[str], ["x"], [object()]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_a_document_changes_its_fingerprint(name):
    """Also what Python takes for equal, and what JSON writes alike."""
    schema, before, after = CHANGES[name]
    fingerprint = typed_json(schema).fingerprint

    assert fingerprint(before) == fingerprint(copy.deepcopy(before)) != fingerprint(after)
