"""What Faceplate refuses, each in one line that says what and where."""

from holdfast.errors import HoldfastError


class FaceplateError(HoldfastError):
    """The root of the application's own errors."""


class InvalidInputError(FaceplateError, ValueError):
    """Something was given that makes no sense; nothing was written."""


class NotFoundError(FaceplateError, LookupError):
    """Something was asked for, or referred to, that is not there; nothing was written."""


class TakenError(FaceplateError):
    """A name that can be used once is used already; nothing was written."""
