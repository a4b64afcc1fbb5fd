"""A discussion as Markdown: what a reader's program makes of it, whatever was said."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from holdfast.cli.rows import printable
from holdfast.models import is_blank
from moai.core.models import (
    Consensus,
    Discussion,
    DiscussionKind,
    DiscussionStatus,
    Message,
    Project,
    Round,
    RoundKind,
)
from moai.markdown import LONGEST_TITLE, write_markdown

AT = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)

WHOLE = """\
# Should answers be cached?

- Project: Caching
- Models: claude, gpt
- Kind: consensus
- Status: completed 2026-11-23 08:30:00 UTC
- Opened: 2026-11-23 07:30:00 UTC
- Id: `019a0000`

## Round 1, parallel

### claude (2026-11-23 07:31:00 UTC)

> Yes.
>
> 1. They are alike.
> 2. They are dear.

### gpt, asked directly (2026-11-23 07:32:00 UTC)

> No.

## Round 2, sequential

Nobody has answered yet.

## Consensus

> Cache them for a while.

By claude, 2026-11-23 07:40:00 UTC.

### Agreements

1. Answers are alike.
2. They may be old:
   at most an hour.

### Disagreements

None.
"""


def make(question="Should answers be cached?", *, messages=(), rounds=None, **consensus):
    """Build a discussion as it is loaded."""
    project = Project(name="Caching", models=["claude", "gpt"])
    discussion = Discussion(
        id="019a0000",
        project=project,
        question=question,
        kind=DiscussionKind.CONSENSUS,
        status=DiscussionStatus.ACTIVE,
        created_at=AT,
        consensus=None,
    )
    if rounds is None:
        asked = Round(discussion=discussion, number=1, kind=RoundKind.PARALLEL)
        for number, (model, content) in enumerate(messages, 1):
            at = AT + timedelta(minutes=number)
            Message(round=asked, model=model, content=content, is_direct=False, created_at=at)
    if consensus:
        at = AT + timedelta(minutes=10)
        Consensus(discussion=discussion, generated_by="claude", created_at=at, **consensus)
    return discussion


def outline(text):
    """Give the headings of a page that are not inside of anything, by level and text."""
    tokens = MarkdownIt().parse(text)
    return [
        (token.tag, "".join(child.content for child in inline.children))
        for token, inline in itertools.pairwise(tokens)
        if token.type == "heading_open" and token.level == 0
    ]


def quotations(text):
    """Give what is quoted, as it was before."""
    lines = text.splitlines()
    tokens = MarkdownIt().parse(text)
    places = [each.map for each in tokens if each.type == "blockquote_open" and each.level == 0]
    return ["\n".join(line[2:] for line in lines[first:last]).rstrip() for first, last in places]


def test_a_whole_discussion():
    """It reads well as it is."""
    discussion = make(
        messages=[("claude", "Yes.\n\n1. They are alike.\n2. They are dear.\n"), ("gpt", "No.")],
        summary="Cache them for a while.",
        agreements=["Answers are alike.", "They may be old:\nat most an hour."],
        disagreements=[],
    )
    discussion.rounds[0].messages[1].is_direct = True
    Round(discussion=discussion, number=2, kind=RoundKind.SEQUENTIAL)
    discussion.status = DiscussionStatus.COMPLETED
    discussion.completed_at = AT + timedelta(hours=1)

    assert write_markdown(discussion) == WHOLE


def test_nothing_was_said_yet():
    """Without rounds, consensus and models it says so."""
    discussion = make(rounds=[])
    discussion.project.models = []
    text = write_markdown(discussion)

    assert "- Models: none\n" in text
    assert "\n\nThere are no rounds yet.\n\n## Consensus\n\nThere is none yet.\n" in text


STORED = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1
).filter(lambda text: not is_blank(text))

HOSTILE = [
    "# A heading\n\ntext\n\n## Another one",
    "Underlined\n==========\n\nso\n--",
    "```python\nprint('never closed')\n\n## Round 9",
    "~~~~\n```\n~~~\n# in code\n~~~~",
    "> quoted\nlazily\n\n- a\n  - b\n\n    code",
    "<!-- never closed\n\n# here",
    "<div>\n\n<script>\nalert(1)\n",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "\ttabs\n\n    four spaces\n",
    "---\n***\n___",
    "ends in spaces  \nand goes on\\\n",
    "windows\r\nlines\r\n\r\nand old mac\rlines",
    "x" * 50_000,
    "word " * 5_000,
    "- [ ] todo\n1) one\n+ plus",
]


@pytest.mark.parametrize("content", HOSTILE, ids=lambda each: each[:12])
def test_what_was_said_stays_inside(content):
    """Whatever it is, the page's own headings are there, and no other; and it is there whole."""
    text = write_markdown(make(messages=[("claude", content), ("gpt", content)]))

    assert [level for level, _ in outline(text)] == ["h1", "h2", "h3", "h3", "h2"]
    plain = content.replace("\r\n", "\n").replace("\r", "\n").rstrip()
    assert quotations(text) == [plain, plain]


@pytest.mark.parametrize("content", HOSTILE, ids=lambda each: each[:12])
def test_a_consensus_stays_inside(content):
    """Its summary and each of its points."""
    points = [content, "last"]
    text = write_markdown(make(rounds=[], summary=content, agreements=points, disagreements=points))

    assert [level for level, _ in outline(text)] == ["h1", "h2", "h3", "h3"]
    tokens = [each for each in MarkdownIt().parse(text) if each.level == 1]
    assert sum(each.type == "list_item_open" for each in tokens) == 6 + 4


@given(STORED, STORED)
def test_no_text_breaks_out(content, name):
    """Of any characters that can be stored."""
    discussion = make(
        messages=[(name, content)], summary=content, agreements=[content], disagreements=[name]
    )
    text = write_markdown(discussion)

    levels, said = zip(*outline(text), strict=True)
    assert levels == ("h1", "h2", "h3", "h2", "h3", "h3")
    assert said[3:] == ("Consensus", "Agreements", "Disagreements")
    assert printable(text.replace("\n", "")) == text.replace("\n", "")


TITLES = [
    "What is *this*?",
    "__init__ or _x_ and snake_case?",
    "Is `a` < b & c &amp; <b>d</b>?",
    "[link](http://x) ![image](y) \\ ~~gone~~ ~5 ms",
    "Why C# and not #",
    "# Is this one?",
    "1. Or this?",
    "- Or that?",
    "Is a | b?",
]


@pytest.mark.parametrize("title", TITLES)
def test_a_title_is_what_was_asked(title):
    """Character by character, and nothing of it is markup."""
    text = write_markdown(make(title))

    assert outline(text)[0] == ("h1", title)
    assert quotations(text) == []


@pytest.mark.parametrize("question", ["Two\nlines?", "x" * 200, "# A page\n\nof its own"])
def test_a_question_that_is_no_title_is_quoted_whole(question):
    """The title is its beginning, in one line."""
    text = write_markdown(make(question))
    [(_, title), *_] = outline(text)

    assert len(title) <= LONGEST_TITLE
    assert " ".join(question.split()).startswith(title.rstrip("…"))
    assert quotations(text) == [question]


@pytest.mark.parametrize("name", ["*a*", "<b>", "gpt-4_turbo", "a`b"])
def test_names_are_what_they_are(name):
    """Of a model, in a heading and in a list."""
    discussion = make(messages=[(name, "Yes.")])
    discussion.project.models = [name]
    text = write_markdown(discussion)

    assert outline(text)[2] == ("h3", f"{name} (2026-11-23 07:31:00 UTC)")
