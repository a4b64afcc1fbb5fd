"""The guide's page knows every provider."""

from pathlib import Path

import pytest

from holdfast.urls.providers import PROVIDERS

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "urls.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_every_provider_is_in_the_table(provider):
    """Whoever is recognised is told of."""
    table = PAGE.partition("## Providers")[2].partition("## Poolers")[0]

    assert provider.name.removeprefix("Amazon ") in table
