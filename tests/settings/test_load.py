"""Policies from the environment: types, defaults, and every problem at once."""

import traceback
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import settings
from holdfast.database import DatabasePolicy
from holdfast.errors import ConfigurationError
from holdfast.pool import PoolPolicy


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
    with pytest.raises(
        ConfigurationError, match="known: SHOP_CLOSED, SHOP_GUESTS, SHOP_KEY, SHOP_NAME, SHOP_OPENS"
    ):
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


def test_a_policy_inside_a_policy():
    """Its fields are read with both names, and the rest of it keeps its defaults."""
    environ = {"DB_STATEMENT_TIMEOUT": "2.5", "DB_POOL_MAX_SIZE": "7"}

    policy = settings.load(DatabasePolicy, prefix="DB_", environ=environ)

    assert policy == DatabasePolicy(statement_timeout=2.5, pool=PoolPolicy(max_size=7))
    assert settings.load(PoolPolicy, prefix="DB_POOL_", environ=environ).max_size == 7


def test_problems_of_both_are_named_at_once():
    """Wrong types and what the policies themselves refuse come in one error, by variable."""
    environ = {
        "DB_POOL_MAX_SIZE": "many",
        "DB_POOL_TIMEOUT": "-1",
        "DB_LOCK_TIMEOUT": "soon",
        "DB_STATEMENT_TIMEOUT": "-2",
        "DB_POOL_MAX_SIZ": "3",
    }
    with pytest.raises(ConfigurationError) as caught:
        settings.load(DatabasePolicy, prefix="DB_", environ=environ)

    lines = {line.partition(": ")[0]: line for line in str(caught.value).splitlines()}
    assert set(lines) == set(environ)
    assert lines["DB_POOL_MAX_SIZ"].endswith("did you mean DB_POOL_MAX_SIZE?")
    assert lines["DB_POOL_MAX_SIZE"].endswith("it is 'many'")
    assert "timeout is -1.0" in lines["DB_POOL_TIMEOUT"]


def test_a_variable_whose_name_is_part_of_another_s_is_not_blamed():
    """What is wrong is named alone, also where `timeout` of the pool is given and is right."""
    environ = {"DB_POOL_TIMEOUT": "30", "DB_STATEMENT_TIMEOUT": "nan"}
    with pytest.raises(ConfigurationError, match=r"\ADB_STATEMENT_TIMEOUT: statement_timeout is"):
        settings.load(DatabasePolicy, prefix="DB_", environ=environ)


def test_only_upper_case_is_a_variable():
    """Another spelling would be a second value for the same setting, so it is an error."""
    with pytest.raises(ConfigurationError, match=r"SHOP_guests: .* did you mean SHOP_GUESTS\?"):
        load(SHOP_guests="3", SHOP_GUESTS="4")


@pytest.mark.parametrize("prefix", ["", "shop_", "SHOP", "_", "SHOP-"])
def test_a_prefix_that_would_catch_others_is_refused(prefix):
    """It is upper-case letters ending in an underscore."""
    with pytest.raises(ConfigurationError, match="prefix is"):
        settings.load(ShopPolicy, prefix=prefix, environ={})


@given(st.text(min_size=3))
def test_no_secret_is_in_an_error(secret):
    """Neither the type's error nor the policy's own repeats it, whatever it is."""
    marked = f"Zq7{secret}Xk9"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Secrets:
        pin: int = field(default=0, repr=False)
        key: str = field(default="", repr=False)

        def __post_init__(self) -> None:
            if self.key:
                raise ValueError(f"key {self.key} is refused")

    for environ in ({"S_PIN": marked}, {"S_KEY": marked}, {"S_PIN": "x", "S_KEY": marked}):
        with pytest.raises(ConfigurationError) as caught:
            settings.load(Secrets, prefix="S_", environ=environ)
        said = "".join(traceback.format_exception(caught.value))
        assert "Zq7" not in said
        assert "Xk9" not in said


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "soon", ""])
def test_a_wrong_limit_names_its_variable_or_field(value):
    """A limit that is no number of seconds is refused, whatever text it is."""
    with pytest.raises(ConfigurationError, match=r"(?i)statement_timeout"):
        settings.load(DatabasePolicy, prefix="DB_", environ={"DB_STATEMENT_TIMEOUT": value})
