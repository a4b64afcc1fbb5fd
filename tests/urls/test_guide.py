"""The guide's page says what the code prints, and knows every provider."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.urls.providers import PROVIDERS

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "urls.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"print\(.*\)  # (.+)$", re.MULTILINE)
TOLD = [each for each in EXAMPLES if PRINTED.search(each)]


@pytest.mark.parametrize("example", TOLD, ids=range(len(TOLD)))
def test_what_a_comment_says_is_printed(example):
    """In its order; an ellipsis stands for what is left out."""
    done = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, check=True
    )
    said = [re.escape(each).replace("…", ".*") for each in PRINTED.findall(example)]

    assert re.search(".*".join(said), done.stdout, re.DOTALL), done.stdout


def test_there_is_something_printed():
    """The page's first example and its last one."""
    assert len(TOLD) == 2


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_every_provider_is_in_the_table(provider):
    """Whoever is recognised is told of."""
    table = PAGE.partition("## Providers")[2].partition("## Poolers")[0]

    assert provider.name.removeprefix("Amazon ") in table
