"""Several terminals at once on one file: nothing is lost, and nobody is told that it is locked."""

import json
import os
import subprocess
import sys
from collections import Counter

TERMINALS = 4
# Each waits until all of them are ready, with everything imported, and then begins.
PROGRAM = """
import sys
from todo import cli

def run(*words):
    sys.argv = ["todo", *words]
    try:
        cli.main()
    except SystemExit as ended:
        if ended.code:
            raise

print("ready", flush=True)
sys.stdin.readline()
"""


def at_once(work: str) -> None:
    """Run a program in several processes that begin together; none of them may fail."""
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", f"{PROGRAM}\nnumber = {number}\n{work}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ,
        )
        for number in range(TERMINALS)
    ]  # fmt: skip
    for program in programs:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
    for program in programs:
        assert program.stdin is not None
        program.stdin.write("\n")
        program.stdin.flush()
    ended = [program.communicate() for program in programs]
    failed = [err for program, (_, err) in zip(programs, ended, strict=True) if program.returncode]
    assert not failed


def titles(made) -> list[tuple[str, str]]:
    """Give what is stored: titles with their status."""
    tasks = made("list", "--limit", 1000)["items"]
    return sorted((task["title"], task["status"]) for task in tasks)


def test_the_first_use_at_the_same_moment(made, file):
    """One of them makes the file and migrates it, and each task is there."""
    at_once('run("add", f"task {number}", "--json")')

    assert titles(made) == [(f"task {number}", "pending") for number in range(TERMINALS)]


def test_adding_at_the_same_time(made, file):
    """Each task is there, once."""
    made("list")
    at_once('[run("add", f"task {number} {turn}", "--json") for turn in range(10)]')

    assert Counter(title for title, _ in titles(made)) == Counter(
        f"task {number} {turn}" for number in range(TERMINALS) for turn in range(10)
    )


def test_changing_the_same_tasks(made, file):
    """One completes, one edits, one lists and one adds: all of it is done."""
    ids = [made("add", f"task {number}")["id"] for number in range(8)]
    works = [
        'for each in ids: run("complete", each, "--json")',
        'for each in ids: run("edit", each, "--description", "edited", "--json")',
        'for each in ids: run("list", "--json")',
        'for each in ids: run("add", f"new {each}", "--json")',
    ]
    work = f"ids = {ids!r}\nexec({works!r}[number])"
    at_once(work)

    tasks = made("list", "--limit", 1000)["items"]
    old = [task for task in tasks if task["id"] in ids]
    assert {(task["status"], task["description"]) for task in old} == {("completed", "edited")}
    assert (len(old), len(tasks)) == (8, 16)


def test_a_terminal_that_is_killed(made, file):
    """What it was told is stored is there; the others go on."""
    made("list")
    work = 'print("begin", flush=True)\nfor turn in range(10_000): run("add", f"{turn}", "--json")'
    program = subprocess.Popen(
        [sys.executable, "-c", f"{PROGRAM}\n{work}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ,
    )  # fmt: skip
    program.stdin.write(b"\n")
    program.stdin.flush()
    told = b""
    while told.count(b"\n}\n") < 5:
        said = os.read(program.stdout.fileno(), 10_000)
        assert said, "it ended by itself"
        told += said
    program.kill()
    told += program.communicate()[0]
    whole = told.partition(b"begin\n")[2].split(b"\n}\n")[:-1]
    acknowledged = {json.loads(each + b"}")["id"] for each in whole}

    made("add", "after")
    stored = {task["id"] for task in made("list", "--limit", 10_000)["items"]}
    assert acknowledged <= stored
    assert len(acknowledged) >= 5
