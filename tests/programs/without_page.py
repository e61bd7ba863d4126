"""Runs a script or a module (``-m``) as Python does, but its run draws no page at its end, which takes a third of a tiny run.

python tests/programs/without_page.py train.py experiment=micro run_dir=DIR
"""

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from nas_lightning.commands import report


def draw_no_page() -> None:
    """In this process."""
    report.is_rank_zero = lambda: False


def main() -> None:
    """Leaves the rest of the command line to the program."""
    draw_no_page()
    given = sys.argv[1:]
    if given[0] == "-m":
        sys.argv = given[1:]
        runpy.run_module(given[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = given
        runpy.run_path(given[0], run_name="__main__")


if __name__ == "__main__":
    main()
