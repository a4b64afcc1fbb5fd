"""What a test gets to know of a database of its own."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """A database for one test alone.

    Attributes:
        name: of the database, or the path of a SQLite file.
        owner: its URL as the role that migrates.
        app: its URL as the role that applications have.
    """

    name: str
    owner: str
    app: str
