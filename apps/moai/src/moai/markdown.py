"""A discussion as Markdown, for people to read as it is or rendered.

What was said is quoted, so that it stays what it is: headings, lists and code of an answer, also
code that is never closed, are inside of the quotation and change nothing around it.
"""

import re
from collections.abc import Iterator
from datetime import datetime

from holdfast.cli.rows import printable
from moai.core.models import Consensus, Discussion, DiscussionStatus, Message, Round

LONGEST_TITLE = 100  # characters

# What would be taken for emphasis, code, a link, HTML or an entity in the middle of a line.
_SPECIAL = re.compile(r"[\\`*\[\]<]|~(?=~)|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)|(?<!\S)#+$")
_LINE_END = re.compile(r"\r\n|\r|\n")


def write_markdown(discussion: Discussion) -> str:
    """Write a discussion down.

    Args:
        discussion: loaded with its project, rounds, messages and consensus.
    """
    return "\n\n".join(_blocks(discussion)) + "\n"


def _blocks(discussion: Discussion) -> Iterator[str]:
    title = " ".join(discussion.question.split())
    is_whole = title == discussion.question and len(title) <= LONGEST_TITLE
    yield f"# {_inline(title if len(title) <= LONGEST_TITLE else _cut(title))}"
    if not is_whole:
        yield _quote(discussion.question)
    yield _facts(discussion)
    for each in discussion.rounds:
        yield from _round_blocks(each)
    if not discussion.rounds:
        yield "There are no rounds yet."
    yield "## Consensus"
    yield from _consensus_blocks(discussion.consensus)


def _facts(discussion: Discussion) -> str:
    project, status = discussion.project, str(discussion.status)
    if discussion.status == DiscussionStatus.COMPLETED and discussion.completed_at:
        status = f"{status} {_time(discussion.completed_at)}"
    return "\n".join(
        [
            f"- Project: {_inline(project.name)}",
            f"- Models: {', '.join(map(_inline, project.models)) or 'none'}",
            f"- Kind: {discussion.kind}",
            f"- Status: {status}",
            f"- Opened: {_time(discussion.created_at)}",
            f"- Id: `{discussion.id}`",
        ]
    )


def _round_blocks(asked: Round) -> Iterator[str]:
    yield f"## Round {asked.number}, {asked.kind}"
    for message in asked.messages:
        yield _heading(message)
        yield _quote(message.content)
    if not asked.messages:
        yield "Nobody has answered yet."


def _heading(message: Message) -> str:
    asked = ", asked directly" if message.is_direct else ""
    return f"### {_inline(message.model)}{asked} ({_time(message.created_at)})"


def _consensus_blocks(consensus: Consensus | None) -> Iterator[str]:
    if consensus is None:
        yield "There is none yet."
        return
    yield _quote(consensus.summary)
    yield f"By {_inline(consensus.generated_by)}, {_time(consensus.created_at)}."
    yield from _list("Agreements", consensus.agreements)
    yield from _list("Disagreements", consensus.disagreements)


def _list(title: str, texts: list[str]) -> Iterator[str]:
    yield f"### {title}"
    yield "\n".join(_item(f"{n}. ", text) for n, text in enumerate(texts, 1)) or "None."


def _item(mark: str, text: str) -> str:
    # With a number, since `- ---` would be a line across the page.
    first, *rest = _lines(text)
    return "\n".join([mark + first, *(" " * len(mark) + each if each else "" for each in rest)])


def _quote(text: str) -> str:
    return "\n".join(f"> {line}" if line else ">" for line in _lines(text))


def _lines(text: str) -> list[str]:
    """Give the lines that Markdown sees, without what a terminal would obey."""
    lines = [printable(line) for line in _LINE_END.split(text)]
    said = [number for number, line in enumerate(lines) if line.strip()]
    return lines[said[0] : said[-1] + 1] if said else [""]


def _inline(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", printable(text))


def _cut(text: str) -> str:
    return f"{text[: LONGEST_TITLE - 1].rstrip()}…"


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
