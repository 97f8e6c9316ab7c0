"""A fuzzer that follows the branches of our code looks for bytes that break it.

Atheris (libFuzzer) sets out from good input and keeps what reaches new branches. Each target runs
in a process of its own, for `--seconds`. Shown (B1-B4, B66, B69, C132): whatever comes as a frame,
a message, a PROXY header, a configuration or a line of JSON, no exception leaves that is not the
declared one, no answer is malformed, and nothing hangs.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from proofs.report import Report

NAMES = ("frames", "codec", "proxy", "configuration", "json-lines")
INPUT_SECONDS_MAX = 10
"""An input that takes longer hangs."""
MEMORY_MIB_MAX = 1024
INPUT_BYTES_MAX = 4096
WORDS_MAX = 1000
_WORD = re.compile(rb"[\w.-]{2,30}")
_FINAL = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_COVERED = re.compile(r"\bcov: (\d+)")


def words_of(seeds: Iterable[bytes]) -> list[bytes]:
    """The words of good input, which a fuzzer may put anywhere."""
    found = dict.fromkeys(word for seed in seeds for word in _WORD.findall(seed))
    return list(found)[:WORDS_MAX]


def follow(name: str, seconds: int, directory: Path) -> None:
    """Fuzz one target; libFuzzer ends the process, with a status other than 0 at a finding."""
    import atheris

    # Only what is imported in here is followed.
    with atheris.instrument_imports(include=["sip2gw"]):
        from proofs.targets import TARGETS
    target = TARGETS[name]
    corpus = directory / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(target.seeds):
        (corpus / str(number)).write_bytes(seed)
    dictionary = directory / "words"
    dictionary.write_bytes(b"".join(b'"%s"\n' % word for word in words_of(target.seeds)))
    options = {
        "max_total_time": seconds,
        "max_len": INPUT_BYTES_MAX,
        # A record that is spoiled in many places is refused for the first of them.
        "mutate_depth": 2,
        "timeout": INPUT_SECONDS_MAX,
        "rss_limit_mb": MEMORY_MIB_MAX,
        "artifact_prefix": f"{directory}/",
        "dict": dictionary,
        "print_final_stats": 1,
    }
    settings = [f"-{key}={value}" for key, value in options.items()]
    atheris.Setup([sys.argv[0], *settings, str(corpus)], target.feed)
    atheris.Fuzz()


def finding(name: str, directory: Path, said: str) -> str:
    """What was found, with the input that shows it."""
    inputs = [
        file.read_bytes()
        for file in directory.iterdir()
        if file.name.startswith(("crash-", "timeout-", "oom-"))
    ]
    shown = inputs[0][:2_000] if inputs else b""
    return f"{name}: with {shown!r}\n{said[-3_000:]}"


def run(name: str, seconds: int, report: Report) -> None:
    """Fuzz one target in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, str(Path(__file__).parent), "coverage"]
        options = ["--seconds", str(seconds), "--target", name, "--inside", directory]
        done = subprocess.run(
            [*command, *options],
            env=os.environ | {"TMPDIR": directory},
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stderr + done.stdout
        executed, covered = _FINAL.search(said), _COVERED.findall(said)
        report.numbers[name] = f"{executed[1] if executed else '?'} inputs"
        report.numbers[f"{name}_branches"] = covered[-1] if covered else "?"
        found = done.returncode != 0 or executed is None
        report.expect(not found, finding(name, Path(directory), said) if found else "")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="coverage", description=__doc__)
    parser.add_argument("--seconds", type=int, default=120, help="for each target")
    parser.add_argument("--target", choices=NAMES, action="append", help="default: all")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside is not None:
        follow(options.target[0], options.seconds, options.inside)
        return 0
    if importlib.util.find_spec("atheris") is None:
        sys.stderr.write("coverage needs atheris: pip install -e '.[dev,fuzz]'\n")
        return 2
    report = Report("coverage")
    for name in options.target or NAMES:
        run(name, options.seconds, report)
    return report.tell()
