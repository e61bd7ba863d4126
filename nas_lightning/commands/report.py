"""``nas-report``: a page, a text and pictures, made only from the files of a run or a sweep."""

import re
import sys
from pathlib import Path

from omegaconf import DictConfig

from nas_lightning.console.start import plain, start
from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.errors import InputError

MARK = "default-src 'none'; script-src 'sha256-"
"""Stands in each of our pages, earlier ones too: a file of the same name without it is a user's own."""
POINTS = 3000
"""Maximum candidates in a figure, as in conf/report.yaml."""


def write_page(folder: Path, is_sweep: bool = False) -> str:
    """At the end of a run that ranked, or of a multirun: its page. A failure is one warning.

    Returns:
        A line that names the page, after a multirun's headline.
    """
    page = folder / ("sweep.html" if is_sweep else "report.html")
    if not is_rank_zero():
        return ""
    try:
        if page.exists() and MARK not in page.read_text(encoding="utf-8", errors="replace"):
            raise InputError(f"{page} is not a page of nas-report, and stays")
        from nas_lightning.report import write_report, write_sweep_report

        written = write_sweep_report(folder) if is_sweep else write_report(folder, POINTS)
    except Exception as error:  # nothing of the page may cost a finished ranking
        reason = " ".join(f"{'' if isinstance(error, InputError) else type(error).__name__ + ': '}{error}".split())
        print(f"warning: no page was written ({reason})", file=sys.stderr)
        return ""
    headline = f"{written.headline}\n" if is_sweep else ""
    return f"{headline}page: {page}\n"


def task(cfg: DictConfig) -> None:
    """Writes ``report.html`` and ``report.md`` into a run folder, ``sweep.html`` and ``sweep.md`` into a multirun's."""
    from nas_lightning.config.read import read
    from nas_lightning.config.schema import ReportConfig

    config = read(ReportConfig, plain(cfg))
    if (config.run_dir is None) == (config.sweep_dir is None):
        given = "both are given" if config.run_dir is not None else "none is given"
        raise InputError(f"run_dir, sweep: {given}; give either run_dir=DIR, of a run, or sweep=DIR, of a multirun")
    key, folder = ("run_dir", config.run_dir) if config.run_dir is not None else ("sweep", config.sweep_dir)
    if not Path(str(folder)).is_dir():
        raise InputError(f"{key}: {folder} is not a folder")  # before the imports of pictures
    from nas_lightning.report import write_report, write_sweep_report

    if config.sweep_dir is not None:
        page, text, _ = write_sweep_report(Path(config.sweep_dir))
    else:
        page, text, _ = write_report(Path(str(config.run_dir)), config.points)
    print(f"written: {page}, {text.name}")


def main() -> None:
    """The console entry; Hydra would read ``sweep=DIR`` as a choice of the group conf/sweep."""
    sys.argv[1:] = [re.sub(r"^sweep=", "sweep_dir=", argument) for argument in sys.argv[1:]]
    start(task, "report")


if __name__ == "__main__":
    main()
