"""A program that is started in a fork of a preloaded process is what a process of its own would be."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs.preloaded import Preloaded

pytestmark = pytest.mark.slow  # the imports take seconds
PROGRAM = """
import os, signal, sys
print(__name__, sys.argv, os.environ.get("GIVEN"), os.environ.get("OTHER"), sys.stdin.read() == "", sys.stdout.isatty())
print("said", file=sys.stderr)
if sys.argv[1] == "raise":
    raise ValueError("a bug")
if sys.argv[1] == "sleep":
    import time
    time.sleep(60)
if sys.argv[1].startswith("-"):
    os.kill(os.getpid(), -int(sys.argv[1]))
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def programs() -> Iterator[Preloaded]:
    with Preloaded() as made:
        yield made


@pytest.mark.parametrize("word", ["0", "3", "-9", "-15", "raise"])
def test_it_says_and_ends_as_one_that_subprocess_starts(word: str, programs: Preloaded, tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    given = {key: value for key, value in os.environ.items() if key != "OTHER"} | {"GIVEN": "x"}
    expected = subprocess.run(
        [sys.executable, program, word, "a b"], env=given, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    started = programs.start([str(program), word, "a b"], draws_page=True, environment=given)
    out, err = started.end(60)
    assert started.returncode == expected.returncode
    assert out == expected.stdout
    assert err.splitlines()[0] == "said"
    assert err.splitlines()[-1] == expected.stderr.splitlines()[-1]


def test_one_that_takes_too_long_is_killed_and_told(programs: Preloaded, tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    started = programs.start([str(program), "sleep"], draws_page=True)
    assert not started.wait(1.0)
    with pytest.raises(TimeoutError, match=r"killed after 1 s: [\s\S]*said"):
        started.end(1.0)
    assert started.returncode == -signal.SIGKILL
