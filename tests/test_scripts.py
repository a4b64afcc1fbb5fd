"""What `make` calls does what people are told of it."""

import re
from pathlib import Path

import coverage
import pytest
from scripts import run_tests, soak, storm

ROOT = Path(__file__).parent.parent
SESSION = ROOT / "apps" / "faceplate" / "src" / "faceplate" / "db" / "session.py"
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_coverage_is_held_of_each_package_and_of_the_session_module():
    """What nobody runs of the one module would not be seen in its package's share."""
    held = {str(source.relative_to(ROOT)) for source in run_tests.sources()}

    assert held >= {"src/holdfast", "apps/faceplate/src/faceplate", "apps/mantimon/src/mantimon"}
    assert SESSION in run_tests.sources()
    assert run_tests.LEAST_COVERAGE == 90


def statements() -> list[int]:
    """Give the lines of the session module that count."""
    _, lines, _, _ = coverage.Coverage(data_file=None).analysis(str(SESSION))
    return lines


@pytest.mark.parametrize(
    ("share", "enough"), [(1.0, True), (0.95, True), (0.85, False), (0.0, False)]
)
def test_a_module_of_which_too_little_is_run(tmp_path, monkeypatch, share, enough):
    """Nine tenths of its lines are enough, and less is not; nothing measured is nothing."""
    monkeypatch.setenv("COVERAGE_FILE", str(tmp_path / "measured"))
    lines = statements()
    data = coverage.CoverageData(str(tmp_path / "measured"))
    data.add_lines({str(SESSION): lines[: round(share * len(lines))]} if share else {})
    data.write()

    assert run_tests.is_covered(SESSION) is enough
    assert not run_tests.is_covered(SESSION.with_name("start.py"))


def test_a_run_that_covers_too_little_fails(monkeypatch, capsys):
    """It is named, and the exit code says so."""
    monkeypatch.setenv("COVERAGE", "1")
    monkeypatch.setattr(run_tests, "is_covered", lambda source: source != SESSION)
    monkeypatch.setattr(run_tests.subprocess, "run", lambda *_args, **_options: Passed())

    assert run_tests.main([]) == 1
    said = capsys.readouterr().out
    assert "96 % is covered" in said
    assert "90 % of apps/faceplate/src/faceplate/db/session.py" in said


class Passed:
    """A run of pytest in which nothing failed."""

    returncode = 0
    stdout = "96\n"


@pytest.fixture
def storms(monkeypatch):
    """Give what the storm of a soak is told; nothing is run."""
    told = []

    def run(_name, command, **_environ):
        if command[:2] == soak.STORM:
            told.append(storm.read(list(command[2:])))
        return 1  # and no more of it

    monkeypatch.setattr(soak, "run", run)
    return told


def test_a_soak_is_ten_minutes_with_200_tasks(storms):
    """As people are told, unless they ask for less."""
    soak.main([])
    soak.main(["--quick"])

    assert [(each.seconds, each.tasks) for each in storms] == [(600, 200), (30, 200)]
    assert "ten minutes in which 200 tasks write" in soak.__doc__.replace("\n", " ")


def test_make_soak_runs_all_of_it():
    """Less only with QUICK."""
    [recipe] = re.findall(r"^soak: .*\n\t(.*)$", MAKEFILE, re.MULTILINE)

    assert recipe == "@$(python) scripts/soak.py $(if $(QUICK),--quick)"
