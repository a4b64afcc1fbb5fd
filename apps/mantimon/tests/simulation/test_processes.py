"""The command with its processes: in a pipe and on a terminal, killed, interrupted, deserted."""

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


async def test_a_worker_that_is_killed(command, outside):
    """The check names what the dead worker left, and the command fails; the rest is played."""
    process = command("--games", 40, "--players", 2, "--json")
    await outside.until_games_are_played({0})
    killed, other = outside.children(process.pid)
    os.kill(killed, signal.SIGKILL)
    out, err = process.communicate()

    report = json.loads(out)
    worker, *missing = report["problems"]
    assert (process.returncode, err) == (1, "")
    assert worker == "worker 1 ended with exit code -9"
    assert any("missing; it stopped in turn" in each for each in missing)
    assert {int(each.split()[1]) % 2 for each in missing} == {0}
    assert report["played"] == 40 - len(missing)
    assert not outside.is_there(other)


async def test_all_workers_are_killed(command, outside):
    """Of very many problems the first ones are printed; a program gets them all."""
    process = command("--games", 80, "--players", 2, "--workers", 1)
    await outside.until_games_are_played({0}, workers=1)
    (killed,) = outside.children(process.pid)
    os.kill(killed, signal.SIGKILL)
    out, err = process.communicate()

    assert (process.returncode, err) == (1, "")
    assert out.count("PROBLEM") == 21
    assert "missing; it never began" in out
    assert out.splitlines()[-1].startswith("PROBLEM  … and ")


@pytest.mark.parametrize("workers", [1, 3])
async def test_ctrl_c(command, outside, workers):
    """Ctrl-C ends the workers with the command, which says nothing more."""
    process = command(*MANY, "--workers", workers, start_new_session=True)
    await outside.until_games_are_played(range(workers), workers=workers)
    pids = outside.children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate()

    assert (process.returncode, out, err) == (130, "", "")
    assert len(pids) == workers
    assert not any(map(outside.is_there, pids))


async def test_workers_do_not_outlive_a_command_that_is_killed(command, outside):
    """When the command is killed, its workers end by themselves, without a word."""
    process = command(*MANY)
    await outside.until_games_are_played({0, 1})
    pids = outside.children(process.pid)
    process.kill()
    _, err = process.communicate()
    await outside.until_gone(pids)

    assert len(pids) == 2
    assert err == ""


async def test_no_password_is_on_a_command_line(command, outside):
    """Workers are told the database by a pipe."""
    process = command(*MANY)
    await outside.until_games_are_played({0, 1})
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
    assert out.splitlines()[-1].startswith("check    ok: no game is missing, double, wrong or left")


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


def test_a_worker_that_cannot_work(clean_environment, redis_url):
    """It says why, in a message without the password, and fails."""
    url = "postgresql://app:hush-hush@127.0.0.1:1/nothing"
    job = Job(url=url, redis_url=redis_url, run=uuid7(), seed=1, players=[], numbers=[])
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


def test_a_worker_that_is_told_nothing():
    """When whoever starts it has gone before telling the job, it ends without a word."""
    command = [sys.executable, "-m", "mantimon.simulation.worker"]
    worker = subprocess.run(command, input=b"", capture_output=True, check=False)

    assert (worker.returncode, worker.stdout, worker.stderr) == (0, b"", b"")
