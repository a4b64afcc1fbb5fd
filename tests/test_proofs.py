"""A proof holds only when the failure was seen on the plain stack and not on Holdfast."""

import dataclasses
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from proofs import real_tests
from proofs.contract import NotHereError, Outcome, Proof, Servers, Side, main, run
from proofs.engines import Fact, all_good, describe
from proofs.suite import shop

SERVERS = Servers(postgres=None, redis=None, quick=True)  # the sides below use none


def side(*, kept: bool | None) -> Side:
    """Make a side that keeps or breaks the promise, or cannot be run at all."""

    async def go(servers: Servers) -> Outcome:
        if kept is None:
            raise ConnectionError("no server")
        return Outcome(said="201 Created", true=f"{int(kept)} stored", kept=kept)

    return Side(packages=["sqlalchemy"], run=go)


PROOF = Proof(
    promise=1,
    title="nothing is lost",
    deed="A row is stored.",
    plain=side(kept=False),
    peers=[side(kept=False)],
    holdfast=side(kept=True),
)


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({}, True),
        ({"peers": []}, True),
        ({"peers": [side(kept=True)]}, True),
        ({"plain": side(kept=True)}, False),
        ({"plain": side(kept=None)}, False),
        ({"holdfast": side(kept=False)}, False),
        ({"holdfast": side(kept=None)}, False),
    ],
)
async def test_a_proof_holds_when_plain_fails_and_holdfast_does_not(changes, held):
    """A peer that keeps the promise does not change that; a side that did not run does."""
    assert await run(dataclasses.replace(PROOF, **changes), SERVERS) is held


async def test_what_is_shown_stands_side_by_side(capsys):
    """Each side is shown with its versions, what was said and what is true."""
    await run(dataclasses.replace(PROOF, holdfast=side(kept=None)), SERVERS)

    shown = capsys.readouterr().out
    assert " 1  nothing is lost\n    A row is stored.\n" in shown
    assert "sqlalchemy 2." in shown
    assert ": BROKEN\n        said  201 Created\n        true  0 stored\n" in shown
    assert "did not run: ConnectionError: no server" in shown
    assert shown.endswith("    DID NOT HOLD\n\n")


def test_sides_of_one_stack_are_told_apart():
    """The way that it is used stands before the versions."""
    there = dataclasses.replace(PROOF.plain, way="TRUNCATE")

    assert there.title == f"TRUNCATE, {PROOF.plain.title}"


def ended(text: str = "", **whens: bool) -> list[real_tests.Phase]:
    """Make the phases of the test that leaves a connection, each passed or not."""
    return [
        real_tests.Phase(
            test="test_orders_are_counted", when=when, passed=passed, seconds=0, text=text
        )
        for when, passed in whens.items()
    ]


LEAK = f"taken at shop.py:{inspect.getsourcelines(shop.count_orders)[1] + 2}"


@pytest.mark.parametrize(
    ("phases", "found"),
    [
        (ended(LEAK, call=True, teardown=False), (True, "its test fails and names")),
        (ended("taken at shop.py:1", call=True, teardown=False), (False, "without the line")),
        (ended(LEAK, call=True, teardown=True), (False, "its test passes")),
        (ended(call=True), (False, "the run hangs")),
    ],
)
def test_a_leak_is_found_when_its_line_is_named(phases, found):
    """A test that fails for another reason, or never ends, has not found it."""
    good, how = real_tests.find_leak(phases)

    assert good is found[0]
    assert found[1] in how


@pytest.mark.parametrize(
    ("there", "here", "shown", "good"),
    [
        (Fact(text="stored", good=True), Fact(text="stored", good=True), "stored", True),
        (
            Fact(text="refused", good=True),
            Fact(text="stored", good=False),
            "refused on PostgreSQL, stored on SQLite",
            False,
        ),
    ],
)
def test_engines_are_named_where_they_differ(there, here, shown, good):
    """What is the same on both is said once; one that is not as it should be is enough."""
    seen = {"PostgreSQL": {"a change": there}, "SQLite": {"a change": here}}

    assert describe(seen, ["a change"]) == f"a change: {shown}"
    assert all_good(seen) is good


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # of a peer's import
def test_every_proof_is_run_beside_the_nearest_peer():
    """None is left out of the run, and each has the plain stack, advanced-alchemy and ours.

    It has nothing to test with, and keeps no state in Redis.
    """
    from proofs.__main__ import PROOFS

    folder = Path(__file__).parent.parent / "proofs"
    written = [file for file in folder.glob("*.py") if "\nPROOF = Proof(" in file.read_text()]

    assert len(PROOFS) == len({id(proof) for proof in PROOFS}) == len(written)
    for proof in PROOFS:
        peers = [package for side in proof.peers for package in side.packages]
        assert proof.promise in {9, 10} or "advanced-alchemy" in peers, proof.title
        assert "holdfast" not in [*proof.plain.packages, *peers]
        assert "holdfast" in proof.holdfast.packages


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # of a peer's import
def test_the_proofs_name_promises_of_the_design():
    """There are twelve promises."""
    from proofs.__main__ import PROOFS

    assert all(1 <= proof.promise <= 12 for proof in PROOFS)


async def test_what_sides_share_is_made_once_and_ends_with_the_proof():
    """A server of its own kind serves all sides of a proof, and none of the next."""
    made: list[str] = []

    @asynccontextmanager
    async def server() -> AsyncIterator[str]:
        made.append("started")
        yield f"server {made.count('started')}"
        made.append("stopped")

    async def go(servers: Servers) -> Outcome:
        return Outcome(said=await servers.once(server), true="", kept=False)

    same = Side(packages=["sqlalchemy"], run=go)
    for _ in range(2):
        await run(dataclasses.replace(PROOF, plain=same, peers=[same], holdfast=same), SERVERS)

    assert made == ["started", "stopped"] * 2


def test_a_proof_that_did_not_hold_is_named_at_the_end(monkeypatch, capsys):
    """What stands in its place, before others that did, is long gone by then."""
    monkeypatch.setattr("sys.argv", ["proofs"])
    failing = dataclasses.replace(PROOF, title="nothing is doubled", holdfast=side(kept=False))

    assert main([failing, PROOF]) == 1
    shown = capsys.readouterr().out
    assert shown.endswith("proofs: did not hold: nothing is doubled\nproofs: 1 of 2 held\n")


@pytest.mark.parametrize(("required", "code"), [("0", 0), ("1", 1)])
def test_what_cannot_be_done_here_is_left_out(monkeypatch, capsys, required, code):
    """It says what to install, and fails only where nothing may be left out."""

    async def go(servers: Servers) -> Outcome:
        raise NotHereError("there is no PgBouncer: apt install pgbouncer")

    proof = dataclasses.replace(PROOF, plain=Side(packages=["sqlalchemy"], run=go))
    monkeypatch.setattr("sys.argv", ["proofs"])
    monkeypatch.setenv("HOLDFAST_REQUIRE_ALL", required)

    assert main([proof]) == code
    shown = capsys.readouterr().out
    assert "LEFT OUT: there is no PgBouncer: apt install pgbouncer" in shown
    assert shown.endswith("proofs: 0 of 1 held, 1 left out\n")
