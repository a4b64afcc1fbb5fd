"""Say why a server did not start or went away, in the words of its log."""

import shutil
from pathlib import Path

from holdfast.errors import ServiceError
from holdfast.services.process import describe

TAIL = 2_000  # bytes of a log that are looked at for an error
LINES = 10  # of these, how many are shown
FULL = 100_000  # bytes: with less than this free, a log that has no words was cut off by it

# What servers print, and what it means to whoever started them.
REASONS = {
    "No space left on device": "the disk is full: free some space and start again",
    "Address already in use": "the port is taken: choose another, or 0 for a free one",
    "Permission denied": "its user may not use a file or folder named below",
}


class PortLostError(ServiceError):
    """The port was free when it was looked for, and taken when the server came to it."""


def read_tail(log: Path, start: int = 0) -> str:
    """Read the end of a log, nothing before byte `start`."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, log.stat().st_size - TAIL))
            text = file.read().decode(errors="replace").strip()
    except OSError:
        text = ""
    if not text and shutil.disk_usage(log.parent).free < FULL:
        return "(nothing could be written: No space left on device)"
    return text


def failure(what: str, status: int | None, text: str) -> ServiceError:
    """Build the error for a program that ended: how, why if that is known, and its words."""
    reason = next((f": {why}" for sign, why in REASONS.items() if sign in text), "")
    kind = PortLostError if "Address already in use" in text else ServiceError
    how = f" ({describe(status)})" if status is not None else ""
    return kind(f"{what} ended{how}{reason}; it said:{indented(text)}")


def indented(text: str) -> str:
    """Put a server's last words below a message."""
    return "".join(f"\n  {line}" for line in text.splitlines()[-LINES:]) or " nothing"
