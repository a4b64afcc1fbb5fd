"""The quick start of the README, run as a reader would."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

APP = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_quick_start(tmp_path):
    """Every command and line of code of the quick start works, in its order."""
    copy = tmp_path / "mantimon"
    shutil.copytree(APP, copy, ignore=shutil.ignore_patterns(".holdfast", "tests", "__pycache__"))
    blocks = BLOCK.findall((APP / "README.md").read_text(encoding="utf-8"))
    script = "\n".join(
        code if language == "sh" else f"python - <<'END'\n{code}END" for language, code in blocks
    )
    unset = {"DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL"}
    environ = {name: value for name, value in os.environ.items() if name not in unset}
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"

    try:
        run = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=copy, env=environ, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        # Also after a failure: servers that were detached would outlive the test, and so would
        # their data, which root's servers keep outside of a folder that only root may enter.
        down = ["holdfast", "down", "--remove-data"]
        left = subprocess.run(down, cwd=copy, env=environ, capture_output=True, check=False)

    assert run.returncode == 0, run.stderr
    assert left.returncode == 0, left.stderr
    assert "001 (head)" in run.stdout
    assert "372 cards" in run.stdout
    assert "drawn: " in run.stdout
    assert "deck: First valid" in run.stdout
