"""``nas-report``: a page, a text and pictures, made only from the files of a run or a sweep."""

import re
import sys
from pathlib import Path

from omegaconf import DictConfig

from nas_lightning.console.start import plain, start
from nas_lightning.errors import InputError


def task(cfg: DictConfig) -> None:
    """Writes ``report.html`` and ``report.md`` into a run folder, ``sweep.html`` and ``sweep.md`` into a multirun's."""
    from nas_lightning.config.read import read
    from nas_lightning.config.schema import ReportConfig

    config = read(ReportConfig, plain(cfg))
    if (config.run_dir is None) == (config.sweep_dir is None):
        given = "both are given" if config.run_dir is not None else "none is given"
        raise InputError(f"run_dir, sweep: {given}; give either run_dir=DIR, of a run, or sweep=DIR, of a multirun")
    from nas_lightning.report import write_report, write_sweep_report

    if config.sweep_dir is not None:
        page, text = write_sweep_report(Path(config.sweep_dir))
    else:
        page, text = write_report(Path(str(config.run_dir)), config.points)
    print(f"written: {page}, {text.name}")


def main() -> None:
    """The console entry; Hydra would read ``sweep=DIR`` as a choice of the group conf/sweep."""
    sys.argv[1:] = [re.sub(r"^sweep=", "sweep_dir=", argument) for argument in sys.argv[1:]]
    start(task, "report")


if __name__ == "__main__":
    main()
