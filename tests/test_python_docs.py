"""The programs of docs/python.md run, one after another as a reader would, and do what the page says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent / "docs/python.md").read_text(encoding="utf-8")
AFTERWARDS = """
import math
assert len(best) == 10 and list(best) != list(table.best(10, max_macs=150_000))
assert table.quality("top1").max() > 0.5, table.quality("top1").max()
again = rank(supernet, Population.draw(space, count=100, seed=0), digits)
assert again.quality("cross_entropy").mean() > -math.log(10)
assert header["data"]["arguments"] == {"resolution": 8, "train_images": 500, "split_seed": 0}
"""


@pytest.mark.slow
def test_the_programs_of_the_page_run_in_order(tmp_path: Path):
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 5
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*blocks, AFTERWARDS])], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "accuracy of the best slice: 0." in done.stdout
    assert (tmp_path / "outputs/mine/ranking/scores.csv").is_file()


def test_the_first_program_has_ten_lines_at_most():
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
    assert len([line for line in code.splitlines() if line]) <= 10
