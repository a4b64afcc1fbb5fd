"""Hundreds of tests in four processes, some of which kill their connection, worker or server."""

import json
import os
import random
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

# `make soak` gives both; a failure is repeated with the seed that it printed.
COUNT = int(os.environ.get("SOAK_TESTS", "60"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
# What a test may use, and how often; then each harm, who can do it, and who fails of it.
USES = {"sandbox": 45, "own": 25, "redis": 15, "all": 15}
ON_POSTGRES = ("sandbox", "own", "all")
SANDBOXED = ("sandbox", "all")
ANYBODY = tuple(USES)
HARMS = {
    "crash": (ANYBODY, ANYBODY),
    "crash anywhere": (ANYBODY, ANYBODY),
    "kill redis": (("redis", "all"), ANYBODY),
    "quit postgres": (ON_POSTGRES, ANYBODY),
    "kill postgres": (ON_POSTGRES, ANYBODY),
    "kill backend": (ON_POSTGRES, ANYBODY),
    "terminate": (ON_POSTGRES, ANYBODY),
    "terminate and go on": (ON_POSTGRES, SANDBOXED),
    "cancel": (ON_POSTGRES, SANDBOXED),
    "leak": (ON_POSTGRES, ANYBODY),
    "leak and keep": (ON_POSTGRES, ANYBODY),
    "task": (ON_POSTGRES, ANYBODY),
    "task in a statement": (ON_POSTGRES, ANYBODY),
    "many at once": (ON_POSTGRES, SANDBOXED),
}
ON_SQLITE = ("crash", "crash anywhere", "kill redis", "leak", "leak and keep", "task")
SHARE = 100  # one test in so many does each of the harms
USERS = {"postgres": ON_POSTGRES, "redis": ("redis", "all")}
OUTCOME = re.compile(
    r"^(PASSED|FAILED|ERROR) test_harmful\.py::test_own_data_only\[(\d+)\]", re.MULTILINE
)


def plan(count, seed, engine):
    """Decide what each test uses and does."""
    chance = random.Random(seed)
    kinds = chance.choices(list(USES), list(USES.values()), k=count)
    tests = [{"uses": uses, "harm": "", "pause": chance.random() * 0.05} for uses in kinds]
    for harm in HARMS if engine == "postgres" else ON_SQLITE:
        able, _ = HARMS[harm]
        free = [test for test in tests if test["uses"] in able and not test["harm"]]
        for test in chance.sample(free, max(1, count // SHARE)):
            test["harm"] = harm
    return tests


@dataclass(slots=True)
class Seen:
    """What the tests themselves told: when each began, did harm and ended, in nanoseconds."""

    begun: dict[int, int] = field(default_factory=dict)
    ended: dict[int, int] = field(default_factory=dict)
    harmed: list[tuple[str, int, int]] = field(default_factory=list)

    @classmethod
    def read(cls, file):
        """Read what they wrote."""
        seen, harms = cls(), {}
        for line in file.read_text().splitlines():
            when, _worker, number, what = line.split(maxsplit=3)
            if what == "begins":
                assert int(number) not in seen.begun, "it ran twice"
                seen.begun[int(number)] = int(when)
            elif what == "ends":
                seen.ended[int(number)] = int(when)
            elif what.startswith("harms"):
                harms[number] = int(when)
            else:
                seen.harmed.append((what.split()[-1], harms[number], int(when)))
        return seen

    def excuses(self, number, uses):
        """Tell whether a server that the test used was killed while it ran.

        That may come before its own harm, too: a test that fails of it does not crash any more.
        """
        return any(
            uses in USERS[server] and self.begun[number] <= end and begin <= self.ended[number]
            for server, begin, end in self.harmed
        )


def judge(tests, seen, output):
    """Say what went otherwise than it had to."""
    found = {}
    for outcome, number in OUTCOME.findall(output):
        found.setdefault(int(number), set()).add(outcome)
    for number, test in enumerate(tests):
        outcomes = found.get(number, set())
        failed = bool(outcomes & {"FAILED", "ERROR"})
        crashed = test["harm"].startswith("crash")
        harmful = test["harm"] and test["uses"] in HARMS[test["harm"]][1]
        if not outcomes:
            yield f"{number} {test}: has no outcome"
        elif harmful and not failed:
            yield f"{number} {test}: passed"
        elif crashed and number in seen.ended and not seen.excuses(number, test["uses"]):
            yield f"{number} {test}: did not crash"
        elif not crashed and number not in seen.ended:
            yield f"{number} {test}: did not end"
        elif failed and not harmful and not seen.excuses(number, test["uses"]):
            yield f"{number} {test}: failed"


@pytest.fixture
def temporary():
    """Give a folder for temporary files that a server's user gets to."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.mark.parametrize("engine", ["postgres", "sqlite"])
def test_harm_stays_with_who_did_it(suite, engine, tmp_path, temporary):
    """Who did harm fails, and nobody else but who used a server when it was killed."""
    shutil.copy(Path(__file__).with_name("harmful.py"), suite.folder / "test_harmful.py")
    tests = plan(COUNT, SEED, engine)
    plan_file = suite.write("plan.json", json.dumps(tests))
    print(f"{COUNT} tests on {engine}, SOAK_SEED={SEED}")

    ran = suite.run(
        *("-n", "4", "--max-worker-restart=1000", "-rpfE", "--tb=native"),
        *("-o", "asyncio_mode=auto", f"--holdfast-engine={engine}"),
        f"--basetemp={tmp_path}/of-pytest",
        PLAN=str(plan_file),
        SEEN=str(tmp_path / "seen"),
        TMPDIR=str(temporary),
    )

    problems = list(judge(tests, Seen.read(tmp_path / "seen"), ran.output))
    assert not problems, "\n".join([ran.output, *problems])
    assert list(temporary.rglob("*")) == []
    assert suite.running() == []
    assert engine == "sqlite" or suite.databases() == []
