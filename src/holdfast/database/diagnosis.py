"""Judge what a PostgreSQL server tells of itself: what an application needs, and what to change."""

from collections.abc import Iterator, Mapping

from holdfast.database.facts import Clock, Facts
from holdfast.events import Check
from holdfast.urls import DatabaseUrl

SUPPORTED = (14, 18)  # PostgreSQL's major versions that tests run on, and those between
_READS_WITHOUT = frozenset({"standby", "read-only", "prefer-standby", "any"})
# A token, a time-out or a lease that both sides look at the clock for is off by that much.
CLOCK_TOLERANCE = 1.0  # seconds


def check_pooler(facts: Facts, told_pid: int, url: DatabaseUrl, *, shared: bool) -> Check:
    """Compare what the URL says of a pooler with what is there.

    A pooler tells each client of a process of its own making, since the server's may change.

    Args:
        facts: have the process that answered.
        told_pid: the process that the connection was told of when it began.
        url: has the pooler that was recognised.
        shared: whether a process of the server was seen to serve two clients of it.
    """
    there = facts.pid != told_pid
    if shared and url.pooler == "session":
        return Check(
            name="pooler",
            said="the URL says that it is in session mode, and it gave one client's connection to "
            "another one: prepared statements of several clients meet there, with errors or "
            "another's results",
            state="failed",
            advice="write pooler=transaction in the URL",
        )
    if there == (url.pooler is not None):
        return Check(
            name="pooler", said=f"in {url.pooler} mode, as the URL says" if there else "none"
        )
    if there:
        return Check(
            name="pooler",
            said="there is one, and the URL does not say so: prepared statements of several "
            "clients meet in one connection of the server, with errors or another's results",
            state="failed",
            advice="write pooler=transaction in the URL (pooler=session where it is in that mode)",
        )
    return Check(
        name="pooler",
        said=f"the URL is read as that of a {url.pooler} pooler, and there is none",
        state="warning",
        advice="write pooler=none in the URL, and statements are prepared once",
    )


def check_version(facts: Facts) -> Check:
    """Compare the server's version with those that are supported."""
    oldest, newest = SUPPORTED
    major, said = facts.version // 10_000, f"PostgreSQL {facts.version_text}"
    if major < oldest:
        advice = f"upgrade the server to PostgreSQL {oldest} to {newest}"
        return Check(name="server", said=f"{said} is too old", state="failed", advice=advice)
    if major > newest:
        advice = f"run your tests on it; Holdfast's run on {oldest} to {newest}"
        return Check(name="server", said=f"{said} is newer", state="warning", advice=advice)
    return Check(name="server", said=said)


def check_role(facts: Facts) -> Check:
    """Refuse a role that the database's own rules do not hold for."""
    has = [("SUPERUSER", facts.superuser), ("BYPASSRLS", facts.bypasses_rls)]
    rights = [name for name, held in has if held]
    if not rights:
        return Check(name="role", said=f"{facts.role}, without SUPERUSER and BYPASSRLS")
    return Check(
        name="role",
        said=f"{facts.role} has {' and '.join(rights)}: neither limits nor row-level security "
        "hold for what the application does",
        state="failed",
        advice="give the application a role of its own: CREATE ROLE app LOGIN NOSUPERUSER "
        "NOBYPASSRLS; keep this one for migrations, in DATABASE_OWNER_URL",
    )


def check_writable(*, standby: bool, reads_only: bool, url: DatabaseUrl) -> Check:
    """Tell whether the server takes writes where the URL is to write."""
    if url.target in _READS_WITHOUT or not (standby or reads_only):
        kind = "a standby" if standby else "a primary"
        said = f"{kind}{', READ ONLY' if reads_only else ''}"
        return Check(
            name="writes",
            said=f"{said}, as target_session_attrs={url.target}" if url.target else said,
        )
    if standby:
        return Check(
            name="writes",
            said="the server is a standby: every write fails with 25006",
            state="failed",
            advice="name the primary, or all hosts with target_session_attrs=primary; for a URL "
            "that only reads write target_session_attrs=standby",
        )
    return Check(
        name="writes",
        said="default_transaction_read_only is on: every write fails with 25006",
        state="failed",
        advice="set it off for the role, the database or in the URL's options; for a URL that "
        "only reads write target_session_attrs=read-only",
    )


def check_pool(facts: Facts, url: DatabaseUrl, *, max_size: int, processes: int) -> Check:
    """Compare the connections that the pools may want with those that the server has for them."""
    wanted = max_size * processes
    times = "1 process" if processes == 1 else f"{processes} processes"
    pools = f"connections: at most {wanted} (max_size {max_size} x {times})"
    if url.pooler is not None:
        return Check(name="pool", said=f"{pools}; the pooler's max_client_conn has to allow them")
    room, why = min(_rooms(facts))
    said = f"{pools}; {room} can be had: {why}"
    if wanted <= room:
        return Check(name="pool", said=said)
    return Check(
        name="pool",
        said=said,
        state="failed",
        advice=f"lower PoolPolicy.max_size to {max(1, room // processes)}, run fewer processes, "
        "raise the limit, or put a pooler in front",
    )


def check_limits(
    inside: Mapping[str, int], outside: Mapping[str, int] | None, *, forgotten: bool
) -> Iterator[Check]:
    """Judge the limits of statements, in milliseconds; 0 is none.

    Args:
        inside: those of a transaction.
        outside: those of a statement without one, where they may differ.
        forgotten: whether a pooler was given them that the URL does not tell of.
    """
    advice = "give it a value in DatabasePolicy, or ALTER ROLE … SET {name} = '30s'"
    if forgotten:
        advice = "write pooler=… in the URL, as said above, and each transaction sets its own"
    for name, milliseconds in inside.items():
        said = f"{milliseconds / 1000:g} s"
        if milliseconds and (outside is None or outside[name]):
            yield Check(name=name, said=said)
        elif milliseconds:
            yield _inside_only(name, said)
        else:
            yield Check(
                name=name,
                said="none: one statement or client can hold locks and connections for ever",
                state="failed",
                advice=advice.format(name=name),
            )


def check_clock(clock: Clock) -> Check:
    """Judge the difference of the clocks."""
    way = "ahead of" if clock.ahead >= 0 else "behind"
    said = f"the server's is {abs(clock.ahead):.3f} s {way} this machine's"
    said += f" (± {clock.within:.3f} s, half of one round trip)"
    if abs(clock.ahead) - clock.within <= CLOCK_TOLERANCE:
        return Check(name="clock", said=said)
    return Check(
        name="clock",
        said=said,
        state="failed",
        advice="have both machines set their clocks by NTP (chrony, systemd-timesyncd)",
    )


def _rooms(facts: Facts) -> Iterator[tuple[int, str]]:
    """Give what each limit leaves for the pools, with its reason."""
    left = facts.max_connections - facts.reserved - facts.others
    why = f"max_connections {facts.max_connections}, {facts.reserved} reserved, "
    yield max(0, left), f"{why}{facts.others} in use by others"
    if facts.role_limit >= 0:
        yield facts.role_limit, f"role {facts.role} has CONNECTION LIMIT {facts.role_limit}"
    if facts.database_limit >= 0:
        left = facts.database_limit - facts.others_in_database
        why = f"the database has CONNECTION LIMIT {facts.database_limit}, "
        yield max(0, left), f"{why}{facts.others_in_database} in use by others"


def _inside_only(name: str, said: str) -> Check:
    # idle_in_transaction_session_timeout has nothing to limit outside.
    if name.startswith("idle"):
        return Check(name=name, said=said)
    return Check(
        name=name,
        said=f"{said} within transactions; none outside, as in read(), for the pooler takes no "
        "limits when a connection begins",
        state="warning",
        advice=f"ALTER ROLE … SET {name} = '{said.replace(' ', '')}'",
    )
