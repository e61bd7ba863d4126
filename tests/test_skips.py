"""In CI a test may be skipped for the reasons that are named alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TESTS = """
import pytest

def test_allowed():
    pytest.skip("no CUDA device")

def test_other():
    pytest.skip("no time")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("skips", "passes"), [(None, True), ("no CUDA device\nno time", True), ("no CUDA device", False), ("", False)])
def test_a_skip_for_another_reason_fails(skips: str | None, passes: bool, tmp_path: Path):
    (tmp_path / "conftest.py").write_text((HERE / "conftest.py").read_text())
    (tmp_path / "test_some.py").write_text(TESTS)
    environment = {**{key: value for key, value in os.environ.items() if key != "NAS_SKIPS"}, "PYTHONPATH": str(HERE.parent)}
    if skips is not None:
        environment["NAS_SKIPS"] = skips
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == passes, done.stdout
    assert ("must not be skipped here: Skipped: no time" in done.stdout) == (not passes)


@pytest.mark.slow
def test_a_whole_file_may_not_be_skipped_either(tmp_path: Path):
    (tmp_path / "conftest.py").write_text((HERE / "conftest.py").read_text())
    (tmp_path / "test_some.py").write_text("import pytest\npytest.importorskip('no_such_package')\n")
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "NAS_SKIPS": "no CUDA device"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "must not be skipped here" in done.stdout
