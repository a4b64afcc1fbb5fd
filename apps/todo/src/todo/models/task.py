"""A task of a user."""

import uuid
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import AwareDatetime, field_validator
from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from holdfast.models import (
    NAMING_CONVENTION,
    NotBlank,
    UTCDateTime,
    ValueEnum,
    clock_timestamp,
    is_blank,
)
from holdfast.models.sqlmodel import ValidatedModel

LONGEST_TITLE = 200
LONGEST_DESCRIPTION = 1000

# Before the first table: it names constraints as they are made.
SQLModel.metadata.naming_convention = NAMING_CONVENTION


class TaskStatus(StrEnum):
    """Whether a task is done.

    A newer release may have more: a row with a status that this one does not know is read with
    its text, and keeps it until somebody sets another.
    """

    PENDING = "pending"
    COMPLETED = "completed"


def _now() -> datetime:
    return datetime.now(UTC)


class Task(ValidatedModel, table=True):
    """Something to do: `Task(user_id=…, title="Buy milk")`.

    Both times are Python's when an object is made, and `updated_at` moves with every UPDATE by
    ORM or Core; the server fills them for a bare INSERT.

    Raises:
        pydantic.ValidationError: at construction and at assignment, for all that is wrong.
    """

    __tablename__ = "tasks"
    __table_args__ = (Index(None, "user_id", "created_at", "id"),)  # what pages are read by

    id: uuid.UUID = Field(default_factory=uuid.uuid4, primary_key=True)
    user_id: uuid.UUID = Field(index=True)
    title: str = Field(
        max_length=LONGEST_TITLE, sa_type=NotBlank(LONGEST_TITLE, name="title_not_empty")
    )
    description: str | None = Field(default=None, max_length=LONGEST_DESCRIPTION)
    status: TaskStatus = Field(
        default=TaskStatus.PENDING,
        sa_type=ValueEnum(TaskStatus, length=50),
        sa_column_kwargs={"server_default": TaskStatus.PENDING.value},
    )
    created_at: AwareDatetime = Field(
        default_factory=_now,
        sa_type=UTCDateTime,
        sa_column_kwargs={"server_default": clock_timestamp()},
    )
    updated_at: AwareDatetime = Field(
        default_factory=_now,
        sa_type=UTCDateTime,
        sa_column_kwargs={"server_default": clock_timestamp(), "onupdate": _now},
    )

    def model_post_init(self, _context: object, /) -> None:
        """Let both times be the same until something is changed."""
        if "updated_at" not in self.model_fields_set:
            self.updated_at = self.created_at

    @field_validator("title")
    @classmethod
    def _says_something(cls, value: str) -> str:
        if is_blank(value):
            raise ValueError("Title cannot be empty")
        return value

    @field_validator("title", "description")
    @classmethod
    def _can_be_stored(cls, value: str | None) -> str | None:
        if value is not None and "\0" in value:
            raise ValueError("It has a zero character, which PostgreSQL cannot keep")
        return value
