"""The documentation tells the truth: its examples run, its links lead somewhere.

Every `python` block of README.md and the guide runs by itself, in an empty folder, with
DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL of real servers. A comment behind a `print(…)` is
what it prints; … stands for any part of the line. A shell block runs when it is
marked with `<!-- run -->` on the line above. A block that cannot run is marked with
`<!-- no-run: reason -->`. The blocks of a page whose first line names a file, as in
`# tests/test_shop.py`, make a project, whose tests pytest runs. One that names a file of this
repository, as in `# apps/mantimon/…`, shows a part of it, word for word; a line of … leaves some
out. The applications' own tests run their pages.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

ROOT = Path(__file__).parent.parent
GUIDE = ("README.md", "docs/guide/*.md")
PAGES = (*GUIDE, "*.md", "docs/*.md", "apps/*/README.md")
SHELLS = frozenset({"bash", "console", "sh"})
LIMIT = 60  # seconds; an example that hangs is as wrong as one that fails
README_LINES = 150
NOT_RUN_AT_MOST = 0.2  # of the python blocks: an example that cannot run teaches little
# Whoever has all of this installed waits for it; here it is what the examples need.
PLUGINS = ("holdfast.testing.plugin", "pytest_asyncio.plugin", "pytest_alembic.plugin")
NOT_FOR_EXAMPLES = {"TEST_DATABASE_URL", "TEST_REDIS_URL", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER"}

BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>run|no-run)(?:: (?P<reason>.+?))? -->\n+)?"
    r"```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
ELSEWHERE = re.compile(r"^(https?:|mailto:|#)")
FILE = re.compile(r"(?:#|--) ([\w/]+\.\w+)\n")
OURS = ("apps/", "src/")
LEFT_OUT = re.compile(r"^ *…\n", re.MULTILINE)
PRINTED = re.compile(r"^ *print\(.*\)  # (.+)$", re.MULTILINE)
TEST = re.compile(r"^(?:async )?def test_", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block of a page, and the mark above it."""

    page: Path
    line: int
    language: str
    text: str
    mark: str | None
    reason: str | None

    @property
    def runs(self) -> bool:
        """Whether the tests execute it by itself."""
        if self.language == "python":
            return self.mark != "no-run" and not self.file and not self.source
        return self.language in SHELLS and self.mark == "run"

    @property
    def file(self) -> str | None:
        """The file of the page's project that it is, None for any other block."""
        return None if self._named.startswith(OURS) else self._named or None

    @property
    def source(self) -> str | None:
        """The file of this repository that it shows a part of, None for any other block."""
        return self._named if self._named.startswith(OURS) else None

    @property
    def _named(self) -> str:
        named = FILE.match(self.text)
        return named[1] if named else ""

    def missing(self, shown: str) -> list[str]:
        """Give the pieces of it that a file has not, in this order."""
        missing, at = [], 0
        for piece in LEFT_OUT.split(self.text.partition("\n")[2]):
            found = shown.find(piece.strip("\n") + "\n", at)
            if found < 0:
                missing.append(piece)
            else:
                at = found + len(piece)
        return missing

    @property
    def script(self) -> str:
        """What a shell executes: of a console block, the lines that have a prompt."""
        if self.language == "python":
            return f"cat > app.py <<'END_OF_BLOCK'\n{self.text}END_OF_BLOCK\npython app.py\n"
        lines = self.text.splitlines(keepends=True)
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return "".join(lines)

    def untold(self, printed: str) -> list[str]:
        """Give what the comments say and a run did not print, in this order."""
        lines = iter(printed.splitlines())
        said = [each for each in PRINTED.findall(self.text) if self.language == "python"]
        return [each for each in said if not any(_fits(each, line) for line in lines)]

    @property
    def name(self) -> str:
        """The block's page and line, relative to the project."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def _fits(said: str, line: str) -> bool:
    return re.fullmatch(re.escape(said).replace("…", ".*"), line) is not None


def pages(patterns: Sequence[str]) -> list[Path]:
    """Return the pages that match, each once."""
    return sorted({page for pattern in patterns for page in ROOT.glob(pattern)})


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page=page, line=text.count("\n", 0, found.start()) + 1, **found.groupdict())
        for found in BLOCK.finditer(text)
    ]


EXAMPLES = [block for page in pages(GUIDE) for block in blocks_of(page)]


@pytest.fixture
def execute(tmp_path, empty_clone, redis_url):
    """Give a function that runs a block in one folder, in the roles that `holdfast env` gives."""
    servers = {
        "DATABASE_URL": empty_clone.app,
        "DATABASE_OWNER_URL": empty_clone.owner,
        "REDIS_URL": redis_url,
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def run(block: Block) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-euc", block.script],
            cwd=tmp_path,
            env=os.environ | servers | {"PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
            check=False,
        )

    yield run
    with redis.from_url(redis_url) as client:
        client.delete("holdfast:state:owners")  # which a store leaves, as a table has its rows


@pytest.mark.parametrize(
    "block", [pytest.param(block, id=block.name) for block in EXAMPLES if block.runs]
)
def test_the_example_runs(block, execute):
    """It ends without an error, by itself, and prints what its comments say."""
    result = execute(block)

    assert result.returncode == 0, result.stdout
    assert block.untold(result.stdout) == [], result.stdout


@pytest.mark.slow
def test_examples_can_be_pasted_one_after_the_other(execute):
    """Those that share a database also share a folder here, and each is run a second time."""
    examples = [block for block in EXAMPLES if block.runs and "DATABASE_" in block.text]
    assert len({block.page for block in examples}) > 5

    for block in [*examples, *examples]:
        result = execute(block)
        assert result.returncode == 0, f"{block.name}: {result.stdout}"


@pytest.mark.parametrize("page", sorted({block.page for block in EXAMPLES if block.file}))
def test_the_project_of_a_page_passes_its_tests(page, tmp_path):
    """The files that a page shows are a project as somebody would have it; every test passes."""
    files = [block for block in blocks_of(page) if block.file]
    for block in files:
        file = tmp_path / block.file
        assert not file.exists(), f"{block.name}: the page has {block.file} twice"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text)
    named = [option for plugin in PLUGINS for option in ("-p", plugin)]
    environ = {name: value for name, value in os.environ.items() if name not in NOT_FOR_EXAMPLES}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *named],
        cwd=tmp_path,
        env=environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
        check=False,
    )

    assert result.returncode == 0, result.stdout
    passed = re.search(r"(\d+) passed", result.stdout)
    assert int(passed[1]) >= sum(len(TEST.findall(block.text)) for block in files)


@pytest.mark.parametrize(
    "block", [pytest.param(block, id=block.name) for block in EXAMPLES if block.source]
)
def test_code_that_is_shown_is_the_code(block):
    """What a page shows of a file stands in it."""
    assert block.missing((ROOT / block.source).read_text(encoding="utf-8")) == []


def test_what_a_file_has_not_is_found(tmp_path):
    """Pieces that are changed, gone or in another order are named; others may be left out."""
    text = "# src/a.py\n{}\n    …\n{}\n"
    (tmp_path / "page.md").write_text("".join(
        f"```python\n{text.format(*pieces)}```\n" for pieces in ("ac", "ca", "ax")
    ))  # fmt: skip

    assert [block.missing("a\nb\nc\n") for block in blocks_of(tmp_path / "page.md")] == [
        [], ["a\n"], ["x\n"],
    ]  # fmt: skip


def test_the_readme_works_as_it_is_pasted(tmp_path):
    """Servers, their URLs and the program, twice, in a new folder and a shell that knows none."""
    blocks = blocks_of(ROOT / "README.md")
    [servers] = [block.script for block in blocks if "holdfast up" in block.text]
    [program] = [block.script for block in blocks if block.language == "python"]
    unset = {"DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL"}
    environ = {name: value for name, value in os.environ.items() if name not in unset}
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)

    def shell(script: str) -> subprocess.CompletedProcess[str]:
        command = ["sh", "-ec", script]  # without -u: `activate` reads what is not set
        return subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False,
            timeout=LIMIT,
        )  # fmt: skip

    try:
        pasted = [shell(servers + program) for _ in range(2)]
    finally:
        left = shell(". .venv/bin/activate; holdfast down --remove-data")

    assert [each.stderr for each in (*pasted, left)] == [""] * 3
    assert all("second True" in each.stdout for each in pasted)


def test_examples_that_do_not_run_say_why_and_are_few():
    """Each has a reason, and most run."""
    examples = [block for block in EXAMPLES if block.language == "python"]
    left_out = [block for block in EXAMPLES if block.mark == "no-run"]

    assert [block.name for block in left_out if not block.reason] == []
    assert len(left_out) <= NOT_RUN_AT_MOST * len(examples)


@pytest.mark.parametrize("page", pages(PAGES), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    """A link to a file names one that is there."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    files = [link.split("#")[0] for link in LINK.findall(text) if not ELSEWHERE.match(link)]

    assert [file for file in files if not (page.parent / file).exists()] == []


def test_the_readme_is_short():
    """Whoever opens it reads it."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()

    assert len(lines) <= README_LINES


def test_every_part_has_a_page_of_the_guide():
    """A part that nobody can read about is not there."""
    found = {file.stem for file in (ROOT / "src" / "holdfast").glob("[a-z]*.py")}
    found |= {file.parent.name for file in (ROOT / "src" / "holdfast").glob("*/__init__.py")}

    assert {
        part for part in found if not (ROOT / "docs" / "guide" / f"{part}.md").exists()
    } == set()


@pytest.mark.parametrize(
    ("printed", "untold"),
    [
        ("before\n1 s\n2 b\nafter\n", []),
        ("1 s\n", ["2 b"]),
        ("2 b\n1 s\n", ["2 b"]),
        ("1 s, and more\n2 b\n", ["1 s", "2 b"]),
    ],
)
def test_what_comments_say_is_compared(tmp_path, printed, untold):
    """Whole lines, in their order; other comments say something else."""
    (tmp_path / "page.md").write_text(
        "```python\nprint(1)  # 1…s\nif x:  # 3\n    print(2, 'b')  # 2 b\nprint(3)\n```\n"
    )
    [block] = blocks_of(tmp_path / "page.md")

    assert block.untold(printed) == [each.replace("1 s", "1…s") for each in untold]


def test_blocks_are_read_with_their_marks(tmp_path):
    """Marks belong to the block below them, and prompts are taken off."""
    (tmp_path / "page.md").write_text(
        "```python\nx = 1\n```\n\n<!-- no-run: needs a cloud -->\n```python\ny\n```\n"
        "```\nplain\n```\n<!-- run -->\n\n```console\n$ true\nsaid\n$ echo\n```\n```bash\nrm\n```\n"
    )

    found = blocks_of(tmp_path / "page.md")

    assert [(b.language, b.line, b.runs, b.reason) for b in found] == [
        ("python", 1, True, None),
        ("python", 5, False, "needs a cloud"),
        ("", 9, False, None),
        ("console", 12, True, None),
        ("bash", 19, False, None),
    ]
    assert found[0].script == "cat > app.py <<'END_OF_BLOCK'\nx = 1\nEND_OF_BLOCK\npython app.py\n"
    assert found[3].script == "true\necho\n"
