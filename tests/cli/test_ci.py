"""`.ci/run`: the README's test line, judged by its own end, then what it left out (C143)."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from not_run import documented_proofs

ROOT = Path(__file__).parents[2]
README = "```toml\na = 1\n```\n```sh\nthe demo\n```\n```toml\nb = 2\n```\n```sh\n{line}\n```\n"


def run_ci(directory: Path, line: str) -> subprocess.CompletedProcess[str]:
    """What `.ci/run` does in a clone whose test line is `line`."""
    for file in (".ci/run", "tests/support/not_run.py", "docs/proofs.md"):
        (directory / file).parent.mkdir(parents=True)
        shutil.copy(ROOT / file, directory / file)
    (directory / "README.md").write_text(README.format(line=line))
    return subprocess.run([directory / ".ci/run"], capture_output=True, text=True, check=False)


def test_what_was_not_run_is_named_after_the_tests(tmp_path: Path) -> None:
    result = run_ci(tmp_path, 'true && echo "7 passed in 0.01s"')
    assert result.returncode == 0
    line, tests, *rest = result.stdout.splitlines()
    assert line == '+ true && echo "7 passed in 0.01s"'
    assert tests == "7 passed in 0.01s"
    assert not [text for text in rest if "passed" in text or "failed" in text]
    for proof in documented_proofs():
        assert any(proof.command in text for text in rest), proof
    assert any("promtool check metrics" in text and "needs promtool" in text for text in rest)


@pytest.mark.parametrize("line", ["false && true", "true && exit 1", "(exit 1)"])
def test_a_failure_is_the_end(tmp_path: Path, line: str) -> None:
    result = run_ci(tmp_path, line)
    assert (result.returncode, result.stdout) == (1, f"+ {line}\n")


def test_every_proof_is_in_the_table_with_its_time() -> None:
    proofs = documented_proofs()
    assert all(proof.shows and proof.time for proof in proofs)
    commands = " ".join(proof.command for proof in proofs)
    for program in runpy.run_path(str(ROOT / "tests/proofs/__main__.py"))["PROGRAMS"]:
        assert f"python tests/proofs {program}" in commands
    for variable in ("SIP2GW_FULL", "SIP2GW_EXAMPLES", "SIP2GW_MODEL_OPERATIONS"):
        assert variable in commands


def is_traced() -> bool:
    return "coverage" in type(sys.gettrace()).__module__


@pytest.fixture
def scene_was_traced() -> bool:
    return is_traced()


@pytest.mark.no_cover
def test_what_does_not_count_for_the_coverage_is_not_traced() -> None:
    """Tracing takes half of the time once more, and most lines are reached without it."""
    assert not is_traced()


def test_nor_is_what_fixtures_do(scene_was_traced: bool) -> None:
    assert not scene_was_traced
