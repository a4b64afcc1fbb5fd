"""What Todo refuses, each in one line that says what and where."""

from holdfast.errors import HoldfastError


class TodoError(HoldfastError):
    """The root of the application's own errors."""


class InvalidInputError(TodoError, ValueError):
    """Something was given that makes no sense; nothing was written."""


class NotFoundError(TodoError, LookupError):
    """The user has no such task, whoever else may have it; nothing was written."""
