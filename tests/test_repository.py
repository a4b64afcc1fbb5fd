"""The repository's own machinery: what is pinned, what make offers, what runs for each commit."""

import itertools
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from scripts import environment

ROOT = Path(__file__).parent.parent
PINS = (ROOT / "requirements.txt").read_text(encoding="utf-8")
TARGETS = (
    *("demo", "test", "check", "bench", "proofs", "acceptance", "redis-versions", "soak", "clean"),
)


def wanted() -> set[str]:
    """Return the name of every distribution that a pyproject.toml of the project asks for."""
    names = set()
    for file in (ROOT / "pyproject.toml", *ROOT.glob("apps/*/pyproject.toml")):
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        project = document["project"]
        groups = document.get("dependency-groups", {}).values()
        extras = project.get("optional-dependencies", {}).values()
        lines = itertools.chain(project["dependencies"], *groups, *extras)
        names |= {re.match(r"[\w-]+", line)[0].lower().replace("_", "-") for line in lines}
    return names - {"holdfast"}


def test_everything_that_is_asked_for_is_pinned():
    """`make lock` was run after the last change of a pyproject.toml."""
    pinned = set(re.findall(r"^([\w.-]+)==", PINS, re.MULTILINE))

    assert wanted() - pinned == set()


@pytest.mark.parametrize(
    "file", ["requirements.txt", "requirements-uv.txt", "requirements-redis.txt"]
)
def test_every_pin_has_a_hash_and_no_pin_an_address(file):
    """Whatever registry is used, the same files are installed."""
    text = (ROOT / file).read_text(encoding="utf-8")
    pins = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]

    assert pins
    assert [pin.splitlines()[0] for pin in pins if "--hash=sha256:" not in pin] == []
    assert re.findall(r"\w+://|file:|@ |--index|(?<!\w)/\w+/", text) == []


@pytest.mark.parametrize("target", TARGETS)
def test_make_offers_the_target(target):
    """`make` without a target lists each with what it does."""
    help_text = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout

    assert re.search(rf"^make {target} +\w", help_text, re.MULTILINE)


def test_an_old_python_is_refused_in_one_line(tmp_path):
    """The message says what is needed and how to name an interpreter."""
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)

    result = subprocess.run(
        ["sh", str(ROOT / "scripts" / "find-python.sh")],
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(old)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 1
    assert result.stderr.startswith("Python 3.11 or newer is needed")
    assert len(result.stderr.splitlines()) == 1


def test_a_newer_python_beside_an_old_one_is_found(tmp_path):
    """The first interpreter that is new enough is taken."""
    for name, line in {"python3": "exit 1", "python3.14": "exit 1", "python3.12": ""}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "sh").symlink_to("/bin/sh")

    found = subprocess.run(
        ["/bin/sh", str(ROOT / "scripts" / "find-python.sh")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert found == "python3.12\n"


def test_a_python_without_venv_is_told_how_to_get_it(monkeypatch, tmp_path):
    """Debian keeps it in a package of its own, and the message names it."""
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(environment, "UV_FOLDER", tmp_path / ".uv")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(environment.SetupError, match=r"apt install python3\.\d+-venv"):
        environment.find_uv()


def test_a_failed_step_is_one_line_and_a_broken_install_is_seen(monkeypatch, tmp_path, capfd):
    """The stamp is written last, so that the next run begins anew."""
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).write_text("")
    (tmp_path / "uv").write_text("#!/bin/sh\n[ $1 = venv ]\n")
    (tmp_path / "uv").chmod(0o755)
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "REQUIREMENTS", tmp_path / "requirements.txt")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path))
    (tmp_path / ".venv").mkdir()

    assert environment.main([]) == 1
    assert capfd.readouterr().err == "environment: uv pip failed (exit 1)\n"
    assert not (tmp_path / ".venv" / "installed").exists()


def test_the_workflow_runs_the_same_on_the_oldest_and_a_newer_python():
    """GitHub runs what a machine at hand runs, on 3.11 and 3.13."""
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    job = yaml.safe_load(text)["jobs"]["all"]

    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    assert job["steps"][-1] == {"run": "bash .ci/run"}
    assert job["timeout-minutes"] == 40


def test_each_commit_is_held_to_everything():
    """The run for a commit lets nothing be skipped, and stops at the first failure."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "set -euo pipefail" in script
    assert "export HOLDFAST_REQUIRE_ALL=1" in script
    assert re.findall(
        r'^step "(?:check|test|acceptance|demo)" make (.*)$', script, re.MULTILINE
    ) == [
        "check",
        "test",
        "acceptance RESULTS=.cache/outcomes.json",  # which the tests have just written
        "demo",
    ]


# Each step says six hundred lines, and one of them fails.
STEPS = """#!/bin/sh
for number in $(seq 600); do echo "$1 $number"; done
[ "$*" != "$FAILS" ] || { echo "why it failed" >&2; exit 2; }
"""


def run_for_a_commit(folder, fails=""):
    """Run what is run for a commit, where `make` and what installs servers are only said to be."""
    (folder / ".ci").mkdir()
    (folder / ".ci" / "run").write_bytes((ROOT / ".ci" / "run").read_bytes())
    for name, content in {"make": STEPS, "apt-get": "#!/bin/sh", "sudo": "#!/bin/sh"}.items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o755)
    environ = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "FAILS": fails}
    return subprocess.run(
        ["bash", ".ci/run"], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )


def test_a_step_of_ci_says_how_it_ended(tmp_path):
    """Each is named, with its last lines and its seconds."""
    done = run_for_a_commit(tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    for step in ("environment", "check", "demo", "proofs, short form", "soak, short form"):
        assert f"==== {step}\n" in done.stdout
        assert re.search(rf"^==== {step}: \d+ s$", done.stdout, re.MULTILINE)
    assert re.findall(r"^test \d+$", done.stdout, re.MULTILINE)[::24] == ["test 576", "test 600"]
    assert re.search(r"\nci: ok, \d+ s\n$", done.stdout)


def test_the_end_of_a_step_that_fails_is_the_end_of_ci(tmp_path):
    """More of what it said is shown, errors included; nothing comes after it but its name."""
    done = run_for_a_commit(tmp_path, fails="proofs QUICK=1")

    assert done.returncode == 2
    assert done.stdout.endswith("proofs 600\nwhy it failed\nci: FAILED in proofs, short form\n")
    assert len(re.findall(r"^proofs \d+$", done.stdout, re.MULTILINE)) == 499
    assert len((tmp_path / ".cache" / "ci.log").read_text().splitlines()) == 601


@pytest.mark.parametrize(
    "file", list(ROOT.glob("apps/*/alembic.ini")), ids=lambda it: it.parent.name
)
def test_alembic_can_read_its_configuration_anywhere(file):
    """It reads the file in the locale's encoding, which may be ASCII."""
    assert file.read_bytes().isascii()


SKIPS = """
import pytest
def test_skip(): pytest.skip("no server")
@pytest.mark.xfail
def test_expected(): assert False
"""


@pytest.mark.parametrize(("value", "code"), [("1", 1), ("", 0)])
def test_a_skip_fails_where_everything_must_run(value, code, tmp_path):
    """An expected failure does not count as a skip."""
    (tmp_path / "test_it.py").write_text(SKIPS)
    (tmp_path / "conftest.py").write_text((ROOT / "conftest.py").read_text(encoding="utf-8"))
    command = [sys.executable, "-m", "pytest", "-o", "asyncio_default_fixture_loop_scope=function"]

    result = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"HOLDFAST_REQUIRE_ALL": value},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == code
    assert ("HOLDFAST_REQUIRE_ALL=1 lets nothing be skipped" in result.stdout) is bool(code)
