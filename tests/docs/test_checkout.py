"""What everybody gets who clones the repository."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LARGEST = 256 * 1024
"""Bytes. The largest text is a quarter of that."""


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_nothing_is_in_it_that_a_crash_or_a_tool_has_left() -> None:
    """B16: a core dump holds the memory and the environment of a process, whatever was in them."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    if not (ROOT / ".git").exists() or listing.returncode:
        pytest.skip("not a clone, or somebody else's")
    files = [ROOT / name for name in listing.stdout.split("\0") if name]
    there = [file for file in files if file.is_file()]
    assert ROOT / "README.md" in there
    large = [file.name for file in there if file.stat().st_size > LARGEST]
    assert large == []
    dumps = [file.name for file in there if file.read_bytes()[:4] == b"\x7fELF"]
    assert dumps == []
