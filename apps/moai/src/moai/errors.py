"""What MoAI refuses, each in one line that says what and where."""

from holdfast.errors import HoldfastError


class MoaiError(HoldfastError):
    """The root of the application's own errors."""


class NotInitializedError(MoaiError, RuntimeError):
    """The database was asked for before `init_db()`."""


class InvalidInputError(MoaiError, ValueError):
    """Something was given that makes no sense; nothing was written."""


class NotFoundError(MoaiError, LookupError):
    """Something was named that is not there; nothing was written."""


class EndedError(MoaiError):
    """Something was to be added to a discussion that is not active; nothing was written."""


class ConsensusExistsError(MoaiError):
    """A discussion that has a consensus was to get another; nothing was written."""
