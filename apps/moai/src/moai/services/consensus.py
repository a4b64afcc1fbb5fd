"""What a discussion came to, written down once."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from moai.core.models import Consensus, DiscussionStatus
from moai.errors import ConsensusExistsError, EndedError
from moai.services.discussions import hold_discussion
from moai.services.inputs import ConsensusInput, checked


async def write_consensus(
    session: AsyncSession,
    discussion_id: str,
    *,
    summary: str,
    generated_by: str,
    agreements: Sequence[str] = (),
    disagreements: Sequence[str] = (),
) -> Consensus:
    """Write down what the models agree on and what they do not.

    Args:
        session: its owner commits.
        discussion_id: of an active or a completed discussion, whatever its kind.
        summary: any text that can be seen.
        generated_by: who wrote it: a model, or a person.
        agreements: one text for each.
        disagreements: one text for each.

    Raises:
        ConsensusExistsError: there is one already, which stays as it is.
        EndedError: the discussion is abandoned.
        NotFoundError: there is no such discussion.
        InvalidInputError: that is no id, or a text is blank; all that is wrong is named.
    """
    given = checked(
        ConsensusInput,
        {
            "summary": summary,
            "generated_by": generated_by,
            "agreements": list(agreements),
            "disagreements": list(disagreements),
        },
    )
    discussion = await hold_discussion(session, discussion_id)
    if discussion.status == DiscussionStatus.ABANDONED:
        raise EndedError(
            f"discussion {discussion.id} is abandoned, and came to nothing; to go on with it: "
            f"moai discussions reopen {discussion.id}"
        )
    await refuse_second(session, discussion.id)
    consensus = Consensus(discussion_id=discussion.id, **given.model_dump())
    session.add(consensus)
    await session.flush()
    return consensus


async def refuse_second(session: AsyncSession, discussion_id: str) -> None:
    """Refuse a consensus for a discussion that has one.

    Raises:
        ConsensusExistsError: it has.
    """
    wanted = select(Consensus.generated_by).where(Consensus.discussion_id == discussion_id)
    author = await session.scalar(wanted)
    if author is not None:
        raise ConsensusExistsError(
            f"discussion {discussion_id} has a consensus already, by {author}; it is written once"
        )
