"""``nas-report``: a page, a text and pictures from a run folder's files alone."""

from pathlib import Path

from omegaconf import DictConfig

from nas_lightning.commands.console import plain, start


def task(cfg: DictConfig) -> None:
    """Writes ``report.html`` and ``report.md`` into the run folder."""
    from nas_lightning.config.read import read
    from nas_lightning.config.schema import ReportConfig

    config = read(ReportConfig, plain(cfg))
    from nas_lightning.report import write_report

    page, text = write_report(Path(config.run_dir), config.points)
    print(f"written: {page}, {text.name}")


def main() -> None:
    """The console entry."""
    start(task, "report")


if __name__ == "__main__":
    main()
