"""The command with its processes: killed, interrupted, deserted, or used wrongly."""

import json
import os
import pty
import signal
import subprocess
import sys

import msgspec
import pytest

from holdfast.models import uuid7
from mantimon.simulation.messages import Failed, Job

MANY = ("--games", 2_000, "--players", 2)
ALL_WRONG = (
    "error: games is -1, and is to be from 1 to 100000; seed is -1, and is to be from 0 to "
    "9223372036854775807; players is 1, and is to be from 2 to 10000; workers is 0, and is to be "
    "from 1 to 64\n"
)


async def test_a_worker_that_is_killed(command, outside, clone):
    """The check names what the dead worker left, and the command fails; the rest is played."""
    process = command("--games", 40, "--players", 2)
    await outside.until_games_are_played()
    killed, other = outside.children(process.pid)
    os.kill(killed, signal.SIGKILL)
    out, err = process.communicate()

    assert (process.returncode, err) == (1, "")
    assert "PROBLEM  worker 1 ended with exit code -9" in out
    assert "missing; it stopped in turn" in out
    assert "missing; it never began" in out
    lines = [line for line in out.splitlines() if "PROBLEM  game" in line]
    assert lines
    assert all(int(line.split()[2]) % 2 == 0 for line in lines)
    assert not outside.is_there(other)


@pytest.mark.parametrize("workers", [1, 3])
async def test_ctrl_c(command, outside, workers):
    """Ctrl-C ends the workers with the command, which says nothing more."""
    process = command(*MANY, "--workers", workers, start_new_session=True)
    await outside.until_games_are_played(workers)
    pids = outside.children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate()

    assert (process.returncode, out, err) == (130, "", "")
    assert len(pids) == workers
    assert not any(map(outside.is_there, pids))


async def test_workers_do_not_outlive_a_command_that_is_killed(command, outside, clone):
    """When the command is killed, its workers end by themselves, without a word."""
    process = command(*MANY)
    await outside.until_games_are_played()
    pids = outside.children(process.pid)
    process.kill()
    _, err = process.communicate()
    await outside.until_gone(pids)

    assert len(pids) == 2
    assert err == ""


async def test_no_password_is_on_a_command_line(command, outside, clone):
    """Workers are told the database by a pipe."""
    process = command(*MANY)
    await outside.until_games_are_played()
    lines = [outside.command_line(pid) for pid in outside.children(process.pid)]
    process.send_signal(signal.SIGINT)
    process.communicate()

    assert len(lines) == 2
    assert all(line.strip().endswith("-m mantimon.simulation.worker") for line in lines)


def test_the_report(command):
    """A pipe gets the report alone: no bar, nothing on the error stream."""
    process = command("--games", 3, "--players", 2, "--workers", 1)
    out, err = process.communicate()

    assert (process.returncode, err) == (0, "")
    assert "games    3 of 3 played and in the history" in out
    assert out.splitlines()[-1] == "check    ok: no game is missing, double, wrong or left"


def test_the_report_for_programs(command):
    """With --json the report is one document."""
    out, err = command("--games", 3, "--players", 2, "--json").communicate()

    report = json.loads(out)
    assert err == ""
    assert report["plan"] == {"games": 3, "seed": 1, "players": 2, "workers": 2}
    assert (report["played"], report["problems"]) == (3, [])
    assert report["writes"] == report["turns"] + 2 * 3


def test_a_terminal_sees_a_bar(command):
    """On a terminal there is progress, on the error stream."""
    ours, theirs = pty.openpty()
    process = command("--games", 3, "--players", 2, stderr=theirs)
    os.close(theirs)
    seen = b""
    while chunk := _read(ours):
        seen += chunk
    out, _ = process.communicate()
    os.close(ours)

    assert process.returncode == 0
    assert b"games" in seen
    assert "check    ok" in out


def _read(terminal):
    try:
        return os.read(terminal, 4096)
    except OSError:  # how Linux says that nobody has it open any more
        return b""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--games", "-1", "--players", "1", "--workers", "0", "--seed", "-1"], ALL_WRONG),
        (["--games", str(10**30)], "error: games is 10000"),
    ],
)
def test_numbers_that_make_no_sense(command, arguments, says):
    """They are refused all at once, in a line, before anything is started."""
    process = command(*arguments)
    out, err = process.communicate()

    assert (process.returncode, out) == (2, "")
    assert err.startswith(says)
    assert err.count("\n") == 1


def test_production_is_left_alone(command, clean_environment):
    """Nobody simulates among real players."""
    for name in ("SECRET_KEY", "REDIS_URL"):
        clean_environment.setenv(name, "redis://example/0")
    for provider in ("GOOGLE", "DISCORD"):
        clean_environment.setenv(f"OAUTH_{provider}_CLIENT_ID", "id")
        clean_environment.setenv(f"OAUTH_{provider}_CLIENT_SECRET", "secret")
    clean_environment.setenv("ENVIRONMENT", "prod")
    process = command()
    out, err = process.communicate()

    assert (process.returncode, out) == (2, "")
    assert err == "error: ENVIRONMENT is prod, and simulated games would count as real ones\n"


def test_a_worker_that_cannot_work(clean_environment):
    """It says why, in a message without the password, and fails."""
    url = "postgresql://app:hush-hush@127.0.0.1:1/nothing"
    job = Job(url=url, run=uuid7(), seed=1, players=[], numbers=[])
    worker = subprocess.Popen(
        [sys.executable, "-m", "mantimon.simulation.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    worker.stdin.write(msgspec.json.encode(job) + b"\n")
    worker.stdin.flush()
    out = worker.stdout.read()
    err = worker.stderr.read()
    for pipe in (worker.stdin, worker.stdout, worker.stderr):
        pipe.close()

    assert worker.wait() == 1
    assert err == b""
    assert "127.0.0.1:1" in msgspec.json.decode(out, type=Failed).why
    assert b"hush-hush" not in out
