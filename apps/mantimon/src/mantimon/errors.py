"""What the game refuses, each in one line that says what and where."""

from holdfast.errors import HoldfastError


class MantimonError(HoldfastError):
    """The root of the game's own errors."""


class InvalidInputError(MantimonError, ValueError):
    """Something was asked for that makes no sense; nothing was written."""


class GameOverError(InvalidInputError):
    """A game was to begin under an id whose game has ended; nothing was written."""


class EmailTakenError(MantimonError):
    """A first log-in came with the email address of another account; nothing was written."""


class NotFoundError(MantimonError, LookupError):
    """Somebody or something that was named does not exist; nothing was written."""


class IllegalActionError(MantimonError, ValueError):
    """Something that the rules of the game do not allow now; the game is as it was."""


class NoPackError(MantimonError):
    """A booster was to be opened by somebody who has no pack; nothing was written."""


class NotEnoughMantibucksError(MantimonError):
    """Something costs more than the player has; nothing was written."""


class NotReachedError(MantimonError):
    """A game against somebody whom the player may not challenge yet; nothing was written."""
