"""Turn what the database refuses into an error that says what was wrong."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy.exc import IntegrityError

from faceplate.errors import FaceplateError


@contextmanager
def refusing(known: Mapping[str, FaceplateError]) -> Iterator[None]:
    """Raise the error that belongs to the constraint or index that was violated.

    The transaction has failed then: roll it back, as the end of its block does.

    Args:
        known: an error for each name; the violation of any other one passes through.
    """
    try:
        yield
    except IntegrityError as error:
        refusal = known.get(_violated(error))
        if refusal is None:
            raise
        raise refusal from error


def _violated(error: IntegrityError) -> str:
    # asyncpg's own error is the cause of SQLAlchemy's; psycopg has it in `diag`.
    cause = getattr(error.orig, "__cause__", None) or getattr(error.orig, "diag", None)
    return str(getattr(cause, "constraint_name", ""))
