"""The errors are one family, and each is documented."""

import inspect
from pathlib import Path

import pytest

from holdfast import errors

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "errors.md"
LEAVES = [each for _, each in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("error", LEAVES, ids=lambda error: error.__name__)
def test_every_error_is_of_the_family(error):
    """`except HoldfastError` catches whatever the library raises itself."""
    assert issubclass(error, errors.HoldfastError)
    assert error.__name__.endswith("Error")


@pytest.mark.parametrize("error", LEAVES, ids=lambda error: error.__name__)
def test_every_error_is_documented(error):
    """The guide has a line for each."""
    assert f"`{error.__name__}`" in GUIDE.read_text(encoding="utf-8")


def test_kin_of_builtins():
    """Code that catches the builtin kind catches ours."""
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.MissingExtraError, ImportError)
    assert issubclass(errors.UnavailableError, ConnectionError)


def test_an_aborted_transaction_says_what_to_do():
    """The message of a lost commit explains it without a word from the caller."""
    assert "session.begin_nested()" in str(errors.TransactionAbortedError())


def test_sqlstates_are_codes():
    """Every named SQLSTATE has the five characters that PostgreSQL gives."""
    states = [value for name, value in vars(errors).items() if name.isupper() and name[0] != "_"]

    assert states
    assert all(len(state) == 5 and state.isalnum() for state in states)
