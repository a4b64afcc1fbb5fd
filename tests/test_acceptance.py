"""The count of proved requirements can be believed: every way to be wrong is seen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYTEST = ("pytest", "--quiet", "-p", "scripts.outcomes", "--outcomes=kept/outcomes.json")

TESTS = """
import pytest

def test_good(): assert True

def test_bad(): assert False

def test_left_out(): pytest.skip("no server")

@pytest.mark.xfail
def test_expected(): assert False

@pytest.mark.parametrize("n", [1, 2])
def test_many(n): assert n

@pytest.mark.parametrize("n", [1, 2])
def test_some(n): assert n == 1

@pytest.fixture
def broken_end():
    yield
    raise RuntimeError("leak")

def test_leaks(broken_end): assert True

class TestGroup:
    def test_inner(self): assert True
"""


NO_TEST = "\N{EN DASH}"
GOOD = "test_it.py::test_good"
PROVED = [
    GOOD,
    "test_it.py::test_many",
    "test_it.py::test_many[2]",
    "test_it.py::TestGroup",
    "test_it.py::TestGroup::test_inner",
]
ENDED = {
    "test_it.py::test_bad": "failed",
    "test_it.py::test_left_out": "skipped",
    "test_it.py::test_expected": "skipped",
    "test_it.py::test_some": "failed, passed",
    "test_it.py::test_leaks": "failed",
    "test_it.py::test_goo": "not found",
    "test_it.py::test_many[3]": "not found",
    "test_none.py::test_good": "not found",
    "test_broken.py::test_good": "not found",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Give a project's folder with tests that end in every way."""
    folder = tmp_path_factory.mktemp("accepted")
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    (folder / "test_it.py").write_text(TESTS)
    (folder / "test_broken.py").write_text("import nothing_like_this\n")
    return folder


@pytest.fixture(scope="module")
def run(folder):
    """Run a module in the folder; return its exit code and output."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}

    def run(*command: str) -> tuple[int, str]:
        result = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        return result.returncode, result.stdout + result.stderr

    return run


@pytest.fixture(scope="module")
def accept(folder, run):
    """Run the runner on a page with the given rows; return its exit code and output."""

    def accept(*rows: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
        page = ["| id | what | tests |", "|---|---|---|", *rows]
        (folder / "page.md").write_text("\n".join(page))
        return run("scripts.acceptance", *options, "page.md")

    return accept


@pytest.fixture(scope="module")
def kept(folder, run):
    """Give what names the outcomes of a run of all tests, in two processes."""
    code, output = run(*PYTEST, "-n", "2", "--continue-on-collection-errors")

    assert code == 1, output
    return "--results", "kept/outcomes.json"


def test_an_id_whose_tests_pass_is_proved(accept):
    """A test counts by its own name, that of its class, and with all or one of its parameters."""
    rows = [f"| TCG-{n} | a thing | `{name}` |" for n, name in enumerate(PROVED)]

    code, output = accept(*rows, f"| TCG-9b | another | {NO_TEST} |")

    assert output.splitlines()[-2:] == ["not proved: TCG 9b", "acceptance: 5 of 6 proved"]
    assert "4 passed, 6 deselected" in output
    assert code == 0


def test_an_id_whose_test_did_not_pass_fails_the_run(accept):
    """What is named must exist, run and pass, all of it; the other ids keep their proof."""
    rows = [f"| TODO-V{n} | a thing | `{GOOD}` `{name}` |" for n, name in enumerate(ENDED)]

    code, output = accept(*rows, f"| TCG-9b | another | `{GOOD}` |")

    said = [line for line in output.splitlines() if line.startswith("acceptance: TODO")]
    assert said == [
        f"acceptance: TODO-V{n}: {name}: {ended}" for n, (name, ended) in enumerate(ENDED.items())
    ]
    assert output.splitlines()[-1] == "acceptance: 1 of 10 proved"
    assert code == 1


def test_a_whole_file_can_be_named(accept):
    """All of its tests must pass then."""
    code, output = accept("| FACE-Q2 | tests | `test_it.py` |")

    assert "acceptance: FACE-Q2: test_it.py: failed, passed, skipped" in output
    assert code == 1


def test_what_a_run_has_kept_counts_alike(accept, kept):
    """Nothing is run again, and the same ids are proved by the same tests."""
    proofs = "".join(f"`{name}` " for name in PROVED)
    rows = [f"| TODO-V{n} | a thing | `{name}` |" for n, name in enumerate(ENDED)]
    rows += [f"| TCG-1 | a thing | {proofs}|", "| FACE-Q2 | tests | `test_it.py` |"]

    code, output = accept(*rows, options=kept)

    said = [line for line in output.splitlines() if not line.startswith("not proved")]
    assert said == [
        *(f"acceptance: TODO-V{n}: {it}: {ended}" for n, (it, ended) in enumerate(ENDED.items())),
        "acceptance: FACE-Q2: test_it.py: failed, passed, skipped",
        "acceptance: 1 of 11 proved",
    ]
    assert code == 1
    assert accept(f"| TCG-1 | a thing | {proofs}|", options=kept) == (
        0,
        "acceptance: 1 of 1 proved\n",
    )


def test_what_was_not_run_is_not_proved(accept, run):
    """A run of fewer tests is no proof of the others."""
    assert run(*PYTEST[:-1], "--outcomes=some.json", "test_it.py", "-k", "many")[0] == 0

    code, output = accept(
        "| TCG-1 | a thing | `test_it.py::test_many` |",
        f"| TCG-2 | a thing | `{GOOD}` |",
        options=("--results", "some.json"),
    )

    assert f"acceptance: TCG-2: {GOOD}: not found" in output
    assert output.endswith("acceptance: 1 of 2 proved\n")
    assert code == 1


@pytest.mark.parametrize("content", [None, "", '{"test_it.py::test_good": "pass'])
def test_outcomes_that_cannot_be_read_are_an_error(accept, folder, content):
    """The run that was to write them died, or has not been; it is said what writes them."""
    if content is not None:
        (folder / "half.json").write_text(content)

    code, output = accept(f"| TCG-1 | a thing | `{GOOD}` |", options=("--results", "half.json"))

    assert output.startswith("acceptance: half.json: ")
    assert output.endswith("; `make test COVERAGE=1` writes it\n")
    assert code == 1
    (folder / "half.json").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([f"| TCG-1 | one | {NO_TEST} |", f"| TCG-1 | two | {NO_TEST} |"], "TCG-1 stands twice"),
        (["| TCG-1 | one | test_it.py |"], "TCG-1 has neither"),
        (["| TCG-1 | one |  |"], "TCG-1 has neither"),
        (["| TCG-1 | one"], "line 3 is not"),
    ],
)
def test_a_page_that_cannot_be_read_is_an_error(accept, rows, problem):
    """A slip in the page never makes an id disappear from the count."""
    code, output = accept(*rows)

    assert problem in output
    assert code == 1
