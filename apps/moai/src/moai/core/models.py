"""The five tables: projects, their discussions, rounds of answers, and what came out.

    Project → Discussion → Round → Message
                        ↘ Consensus

What belongs to a row goes with it, deleted by the database. A relationship is loaded where it is
asked for (`selectinload`, or `await session.refresh(project, ["discussions"])`), never behind an
attribute; of an object that was made here and not loaded, the lists are there at once.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    MetaData,
    String,
    UniqueConstraint,
    false,
    inspect,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column, relationship

from holdfast import models
from holdfast.models import (
    NAMING_CONVENTION,
    NotBlank,
    Timestamps,
    UTCDateTime,
    ValueEnum,
    clock_timestamp,
    typed_json,
    uuid7,
)


class DiscussionKind(StrEnum):
    """What is wanted of the models: their opinions, or one that they share."""

    OPEN = "open"
    CONSENSUS = "consensus"


class DiscussionStatus(StrEnum):
    """Whether a discussion goes on, and how it ended."""

    ACTIVE = "active"
    COMPLETED = "completed"
    ABANDONED = "abandoned"


class RoundKind(StrEnum):
    """Whether the models answer at once, or one after the other, knowing what was said."""

    PARALLEL = "parallel"
    SEQUENTIAL = "sequential"


class Base(DeclarativeBase):
    """The declarative base, with a registry and a `MetaData` of the application's own."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = models.Base.type_annotation_map

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        # What the server makes comes back with the statement: async code cannot fetch it later.
        return {"eager_defaults": True}


class Record(Base):
    """What every table has: an id, a UUID of version 7 as text, and when it was made."""

    __abstract__ = True

    id: Mapped[str] = mapped_column(
        String(36), primary_key=True, default=lambda: str(uuid7()), sort_order=-2
    )
    created_at: Mapped[datetime] = mapped_column(
        UTCDateTime(), server_default=clock_timestamp(), sort_order=1
    )

    def __init__(self, **values: Any) -> None:
        # Without it, the list of an object that was just stored would have to be loaded.
        for each in inspect(type(self)).relationships:
            if each.uselist:
                values.setdefault(each.key, [])
        super().__init__(**values)


class Project(Timestamps, Record):
    """What discussions belong to, and the models that are asked; edit `models` in place or anew."""

    __tablename__ = "projects"
    __table_args__ = (Index(None, "created_at", "id"),)

    name: Mapped[str] = mapped_column(NotBlank())
    models: Mapped[list[str]] = mapped_column(
        typed_json(list[str]), default=list, server_default=text("'[]'")
    )

    discussions: Mapped[list["Discussion"]] = relationship(
        back_populates="project",
        cascade="all, delete-orphan",
        passive_deletes=True,
        lazy="raise_on_sql",
        order_by="(Discussion.created_at, Discussion.id)",
    )


class Discussion(Record):
    """One question, and what becomes of it; `completed_at` is set while it is completed."""

    __tablename__ = "discussions"
    __table_args__ = (
        CheckConstraint("completed_at IS NULL OR status = 'completed'", name="completed_at"),
        Index(None, "project_id", "created_at", "id"),
    )

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    question: Mapped[str] = mapped_column(NotBlank())
    kind: Mapped[DiscussionKind] = mapped_column(
        ValueEnum(DiscussionKind), default=DiscussionKind.OPEN, server_default=DiscussionKind.OPEN
    )
    status: Mapped[DiscussionStatus] = mapped_column(
        ValueEnum(DiscussionStatus),
        default=DiscussionStatus.ACTIVE,
        server_default=DiscussionStatus.ACTIVE,
    )
    completed_at: Mapped[datetime | None] = mapped_column(UTCDateTime(), sort_order=1)

    project: Mapped[Project] = relationship(back_populates="discussions", lazy="raise_on_sql")
    rounds: Mapped[list["Round"]] = relationship(
        back_populates="discussion",
        cascade="all, delete-orphan",
        passive_deletes=True,
        lazy="raise_on_sql",
        order_by="Round.number",
    )
    consensus: Mapped["Consensus | None"] = relationship(
        back_populates="discussion",
        cascade="all, delete-orphan",
        passive_deletes=True,
        lazy="raise_on_sql",
    )


class Round(Record):
    """One time that models were asked; `number` counts from 1 in its discussion."""

    __tablename__ = "rounds"
    __table_args__ = (
        UniqueConstraint("discussion_id", "number"),
        CheckConstraint("number >= 1", name="number_positive"),
    )

    discussion_id: Mapped[str] = mapped_column(ForeignKey("discussions.id", ondelete="CASCADE"))
    number: Mapped[int]
    kind: Mapped[RoundKind] = mapped_column(
        ValueEnum(RoundKind), default=RoundKind.PARALLEL, server_default=RoundKind.PARALLEL
    )

    discussion: Mapped[Discussion] = relationship(back_populates="rounds", lazy="raise_on_sql")
    messages: Mapped[list["Message"]] = relationship(
        back_populates="round",
        cascade="all, delete-orphan",
        passive_deletes=True,
        lazy="raise_on_sql",
        order_by="(Message.created_at, Message.id)",
    )


class Message(Record):
    """What one model said; the order of a round is `created_at`, then `id`.

    `is_direct` tells that only this model was asked.
    """

    __tablename__ = "messages"
    __table_args__ = (Index(None, "round_id", "created_at", "id"),)

    round_id: Mapped[str] = mapped_column(ForeignKey("rounds.id", ondelete="CASCADE"))
    model: Mapped[str] = mapped_column(NotBlank())
    content: Mapped[str] = mapped_column(NotBlank())
    is_direct: Mapped[bool] = mapped_column(default=False, server_default=false())

    round: Mapped[Round] = relationship(back_populates="messages", lazy="raise_on_sql")


class Consensus(Record):
    """What the models agree on in the end, what they do not, and who wrote that down."""

    __tablename__ = "consensus"

    discussion_id: Mapped[str] = mapped_column(
        ForeignKey("discussions.id", ondelete="CASCADE"), unique=True
    )
    agreements: Mapped[list[str]] = mapped_column(
        typed_json(list[str]), default=list, server_default=text("'[]'")
    )
    disagreements: Mapped[list[str]] = mapped_column(
        typed_json(list[str]), default=list, server_default=text("'[]'")
    )
    summary: Mapped[str] = mapped_column(NotBlank())
    generated_by: Mapped[str] = mapped_column(NotBlank())

    discussion: Mapped[Discussion] = relationship(back_populates="consensus", lazy="raise_on_sql")
