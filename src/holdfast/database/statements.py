"""Tell from a statement's text whether it writes, or ends a transaction."""

import re
from functools import lru_cache

_SHOWN = 60
# Texts, quoted names and comments, which may hold any word. A $ inside a name quotes nothing.
_QUOTED = re.compile(
    r"\be'(?:[^'\\]|\\.|'')*'"
    r"|'(?:[^']|'')*'"
    r'|"(?:[^"]|"")*"'
    r"|(?<![\w$])\$(?P<tag>\w*)\$.*?\$(?P=tag)\$"
    r"|--[^\n\r]*"
    r"|/\*",
    re.DOTALL | re.IGNORECASE,
)
_COMMENT = re.compile(r"/\*|\*/")
_READS = re.compile(r"[\s(]*(?:select|with|values|table|show|explain)\b", re.IGNORECASE)
# A WITH that writes, SELECT … INTO, row locks, and a second statement. After a dot stands a
# column's name: a table of permissions may have one called `update`.
_WRITES = re.compile(
    r"(?<!\.)\b(?:insert|update|delete|merge|analy[sz]e|into)\b"
    r"|\bfor\s+(?:key\s+)?share\b"
    r"|;\s*\S",
    re.IGNORECASE,
)
_ENDS = re.compile(
    r"(?:\A|;)\s*(?:commit|end|abort|prepare\s+transaction"
    r"|rollback(?!\s+(?:work\s+|transaction\s+)?to\b))\b",
    re.IGNORECASE,
)
# The body of a function or trigger is closed by END after a semicolon, too.
_CREATES = re.compile(
    r"(?P<create>\s*create\s+(?:or\s+replace\s+|temp\s+|temporary\s+)?"
    r"(?:function|procedure|trigger)\b.*);\s*end\b",
    re.IGNORECASE | re.DOTALL,
)
# What nearly every statement begins with; alone it ends nothing.
_PLAIN = re.compile(r"(?:select|insert|update|delete)\b", re.IGNORECASE)


# Few and not many: a text with a thousand values is long.
@lru_cache(maxsize=256)
def may_write(sql: str) -> bool:
    """Tell whether a statement could write; in doubt it could."""
    bare = _bare(sql)
    return not _READS.match(bare) or bool(_WRITES.search(bare))


def ends_transaction(sql: str) -> bool:
    """Tell whether a statement commits or rolls back; going back to a savepoint is neither."""
    if _PLAIN.match(sql) and ";" not in sql:
        return False
    bare = _bare(sql)
    return bool(_ENDS.search(_CREATES.sub(r"\g<create>", bare, count=1)))


def _bare(sql: str) -> str:
    """Leave out what may hold any word."""
    parts, at, nests = [], 0, True
    while found := _QUOTED.search(sql, at):
        parts.append(sql[at : found.start()])
        at = found.end()
        if found.group() == "/*":
            end = _end_of_comment(sql, at) if nests else None
            if end is None:  # SQLite's do not nest
                nests, first = False, sql.find("*/", at)
                end = len(sql) if first < 0 else first + 2
            at = end
    return " ".join([*parts, sql[at:]])


def _end_of_comment(sql: str, at: int) -> int | None:
    """Find where a comment ends that may hold others, as PostgreSQL's do."""
    depth = 1
    for mark in _COMMENT.finditer(sql, at):
        depth += 1 if mark.group() == "/*" else -1
        if not depth:
            return mark.end()
    return None


def shortened(sql: str) -> str:
    """Give the statement for a message: one line, quoted, not too long."""
    words = " ".join(sql.split())
    return repr(words if len(words) <= _SHOWN else words[: _SHOWN - 1] + "…")
