"""The pytest plugin: fixtures on real servers, and the options that choose them.

Everything else is imported when a test first asks for it: pytest loads this file in every project
that has Holdfast installed.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from holdfast.testing.marks import SYNTAX, read_mark

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from sqlalchemy.ext.asyncio import AsyncSession

    from holdfast.database import Database
    from holdfast.testing.clone import Clone
    from holdfast.testing.faults import Faults
    from holdfast.testing.kit import Kit
    from holdfast.testing.servers import Host

_NO_SANDBOX = (
    "faults stand in front of a database of the test's own, and this test uses the sandbox: mark "
    'it @pytest.mark.holdfast(isolation="database")'
)
_FAULTS = "_holdfast_faults"
_NAME = "holdfast"  # under which the processes of a run tell each other things


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose the database."""
    group = parser.getgroup("holdfast", "real databases for tests")
    group.addoption(
        "--holdfast-url",
        metavar="URL",
        help="the PostgreSQL to make test databases on, by the URL of one whose name says that it "
        "is for tests; else TEST_DATABASE_URL, else a server of this run",
    )
    group.addoption(
        "--holdfast-engine",
        choices=("postgres", "sqlite"),
        default="postgres",
        help="what tests run on (postgres)",
    )
    group.addoption(
        "--holdfast-any-database",
        action="store_true",
        help="accept a URL whose database does not look like one for tests, and a Redis with keys",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line("markers", SYNTAX)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist where it can ask for servers."""
    node.workerinput[_NAME] = _host(node.config).invite()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take over what a worker had to say, or has left."""
    told = getattr(node, "workeroutput", {}).get(_NAME)
    node.config.stash.setdefault(_PROBLEMS, {}).update(dict.fromkeys(told or ()))
    if error:
        node.config.stash[_CRASHED] = True


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the first process of the run what went wrong in this one."""
    kit = session.config.stash.get(_KIT, None)
    if kit is not None:
        session.config.stash.setdefault(_PROBLEMS, {}).update(kit.problems)
        if output := getattr(session.config, "workeroutput", None):
            output[_NAME] = list(kit.problems)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say once why tests had nothing to run on."""
    for problem in config.stash.get(_PROBLEMS, {}):
        terminalreporter.section("holdfast")
        terminalreporter.write_line(problem)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what was started, in whatever way the run ended."""
    try:
        if config.stash.get(_CRASHED, False):
            _kit(config).sweep()
        if _KIT in config.stash:
            config.stash[_KIT].close()
    finally:
        if _HOST in config.stash:
            config.stash[_HOST].close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that leaves tasks behind, while its loop still has them."""
    kit = item.config.stash.get(_KIT, None)
    with kit.watched(item) if kit else nullcontext():
        return (yield)


@pytest.fixture(scope="session")
def make_database() -> "Callable[[str], Database]":
    """Give what makes the application's database from a URL; an application overrides it."""
    from holdfast.database import Database  # noqa: PLC0415

    return Database


@pytest.fixture
def db(
    request: pytest.FixtureRequest, make_database: "Callable[[str], Database]"
) -> "Iterator[Database]":
    """Give the application's database; what the test does to it is taken back at the end."""
    if read_mark(request.node).isolation == "database":
        yield request.getfixturevalue("database")
        return
    if _FAULTS in request.fixturenames:
        pytest.fail(_NO_SANDBOX, pytrace=False)
    with _kit(request.config).sandboxed(request.node, make_database) as database:
        yield database


@pytest.fixture
def clone(request: pytest.FixtureRequest) -> "Iterator[Clone]":
    """Give the URLs of a database for this test alone, as `owner` and as `app`."""
    with _kit(request.config).cloned(request.node) as made:
        yield made


@pytest.fixture(scope="session")
def make_clone() -> "Callable[[pytest.FixtureRequest], AbstractContextManager[Clone]]":
    """Give what makes a clone for as long as a fixture wants, so that several tests share it.

    @pytest.fixture(scope="module")
    def filled(request, make_clone):
        with make_clone(request) as clone:
            ...
            yield clone
    """
    return lambda request: _kit(request.config).cloned(request.node)


@pytest.fixture
def empty_clone(request: pytest.FixtureRequest) -> "Iterator[Clone]":
    """Give the URLs of a database for this test alone that has no tables."""
    with _kit(request.config).cloned(request.node, empty=True) as made:
        yield made


@pytest.fixture
def database(
    request: pytest.FixtureRequest, clone: "Clone", make_database: "Callable[[str], Database]"
) -> "Iterator[Database]":
    """Give the application's database, on a clone of the migrated one for this test alone.

    Where the test asks for `faults`, they stand in front of it.
    """
    faults = request.getfixturevalue(_FAULTS) if _FAULTS in request.fixturenames else None
    with _kit(request.config).opened(request.node, clone, make_database, faults) as opened:
        yield opened


@pytest.fixture
def faults(_holdfast_faults: "Faults") -> "Faults":
    """Give what lets things go wrong in front of `database`; `clone` is the way around it."""
    return _holdfast_faults


@pytest.fixture
def _holdfast_faults(request: pytest.FixtureRequest, clone: "Clone") -> "Iterator[Faults]":
    # `database` looks whether the test asks for this one: `faults` may be a project's own.
    with _kit(request.config).disturbed(request.node, clone) as faults:
        yield faults


@pytest.fixture
def session(request: pytest.FixtureRequest, db: "Database") -> "Iterator[AsyncSession]":
    """Give a plain session on `db`."""
    with _kit(request.config).session(db) as opened:
        yield opened


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URL of an empty logical database of Redis."""
    with _kit(request.config).keyspace(request.node) as url:
        yield url


@pytest.fixture
def redis(request: pytest.FixtureRequest, redis_url: str) -> "Iterator[Redis]":
    """Give a client of an empty logical database of Redis."""
    with _kit(request.config).redis(redis_url) as client:
        yield client


_KIT: "pytest.StashKey[Kit]" = pytest.StashKey()
_HOST: "pytest.StashKey[Host]" = pytest.StashKey()
_PROBLEMS: pytest.StashKey[dict[str, None]] = pytest.StashKey()
_CRASHED: pytest.StashKey[bool] = pytest.StashKey()


def _kit(config: pytest.Config) -> "Kit":
    if _KIT not in config.stash:
        from holdfast.testing.kit import Kit  # noqa: PLC0415
        from holdfast.testing.servers import Guest  # noqa: PLC0415

        invitation = getattr(config, "workerinput", {}).get(_NAME)
        party = Guest(invitation) if invitation else _host(config)
        config.stash[_KIT] = Kit(config, party)
    return config.stash[_KIT]


def _host(config: pytest.Config) -> "Host":
    if _HOST not in config.stash:
        from holdfast.testing.servers import Host, Servers  # noqa: PLC0415

        config.stash[_HOST] = Host(Servers(config.rootpath))
    return config.stash[_HOST]
