"""The guide's table is that of the code."""

import re
from dataclasses import fields
from pathlib import Path

from holdfast.pool import PoolPolicy

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "pool.md"


def test_every_knob_is_in_the_guide_with_its_default():
    """Each field of the policy, in its order, with the default that the code has."""
    found = re.findall(r"^\| `(\w+)` \| ([\d,.]+) \|", GUIDE.read_text(), re.MULTILINE)

    told = [(name, float(value.replace(",", ""))) for name, value in found]
    assert told == [(each.name, float(each.default)) for each in fields(PoolPolicy)]
