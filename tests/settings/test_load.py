"""Policies from the environment: types, defaults, and every problem at once."""

from dataclasses import dataclass, field

import pytest

from holdfast import settings
from holdfast.database import DatabasePolicy, PoolPolicy
from holdfast.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopPolicy:
    """Limits of a shop."""

    opens: float = 9.0
    guests: int = 20
    name: str = "shop"
    closed: bool = False
    key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.guests < 0:
            raise ConfigurationError(f"guests is {self.guests}; it is at least 0")


def load(**environ: str) -> ShopPolicy:
    return settings.load(ShopPolicy, prefix="SHOP_", environ=environ)


def test_defaults_hold_where_nothing_is_set():
    """An empty environment gives the policy's own defaults."""
    assert load() == ShopPolicy()


def test_text_becomes_the_field_s_type():
    """Values are read as what the field is."""
    assert load(SHOP_OPENS="8.5", SHOP_GUESTS="3", SHOP_NAME="deli", SHOP_CLOSED="true") == (
        ShopPolicy(opens=8.5, guests=3, name="deli", closed=True)
    )


def test_other_variables_are_left_alone():
    """Only the prefix counts."""
    assert load(OPENS="8", OTHER_OPENS="7", shop_opens="6") == ShopPolicy()


def test_the_process_s_environment_is_read(monkeypatch):
    """Without a mapping, `os.environ` is read."""
    monkeypatch.setenv("SHOP_GUESTS", "4")

    assert settings.load(ShopPolicy, prefix="SHOP_").guests == 4


def test_all_problems_are_named_at_once():
    """Every wrong variable has its line, with what is wrong and what it is."""
    with pytest.raises(ConfigurationError) as caught:
        load(SHOP_OPENS="early", SHOP_GUESTS="3.5", SHOP_GESTS="2")

    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert lines[0] == "SHOP_GESTS: there is no such setting; did you mean SHOP_GUESTS?"
    assert lines[1].startswith("SHOP_OPENS: ")
    assert lines[1].endswith("it is 'early'")
    assert lines[2].startswith("SHOP_GUESTS: ")


def test_a_variable_like_no_setting_lists_them():
    """Where nothing is near, the settings are listed."""
    with pytest.raises(ConfigurationError, match="known: closed, guests, key, name, opens"):
        load(SHOP_ZZZZ="1")


def test_a_secret_is_not_shown():
    """The value of a field without repr stays out of the error."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Secret:
        pin: int = field(default=0, repr=False)

    with pytest.raises(ConfigurationError) as caught:
        settings.load(Secret, prefix="S_", environ={"S_PIN": "hunter2"})

    assert "S_PIN" in str(caught.value)
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"


def test_the_policy_s_own_check_is_heard():
    """What the policy itself refuses is an error of the settings too."""
    with pytest.raises(ConfigurationError, match="guests is -1; it is at least 0"):
        load(SHOP_GUESTS="-1")


def test_the_library_s_policies_load():
    """A policy and the one inside it are loaded each by itself."""
    environ = {"DB_STATEMENT_TIMEOUT": "2.5", "POOL_SIZE": "7"}

    assert settings.load(DatabasePolicy, prefix="DB_", environ=environ).statement_timeout == 2.5
    assert settings.load(PoolPolicy, prefix="POOL_", environ=environ).size == 7


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "soon", ""])
def test_a_wrong_limit_names_its_variable_or_field(value):
    """A limit that is no number of seconds is refused, whatever text it is."""
    with pytest.raises(ConfigurationError, match=r"(?i)statement_timeout"):
        settings.load(DatabasePolicy, prefix="DB_", environ={"DB_STATEMENT_TIMEOUT": value})
