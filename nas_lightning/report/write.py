"""Reads a run folder and writes its report into it."""

from collections.abc import Sequence
from pathlib import Path

from nas_lightning.durable import write_text
from nas_lightning.report.content import Part
from nas_lightning.report.markdown import as_markdown
from nas_lightning.report.page import as_page
from nas_lightning.report.parts.against_truth import against_truth
from nas_lightning.report.parts.baselines import baselines
from nas_lightning.report.parts.best import best
from nas_lightning.report.parts.costs import costs
from nas_lightning.report.parts.ranks import ranks
from nas_lightning.report.parts.settings import environment, protocol, recipe
from nas_lightning.report.parts.training import training
from nas_lightning.report.parts.verdict import verdict
from nas_lightning.report.parts.widths import widths
from nas_lightning.report.pictures import write_picture
from nas_lightning.report.run import Run, read_run

PICTURES = "report"
"""The folder of the pictures, within the run's."""


def write_report(folder: Path, points: int) -> list[Path]:
    """Writes ``report.html``, ``report.md`` and the pictures of the latter; the same files give the same bytes.

    Args:
        folder: of the run.
        points: at most so many candidates are drawn in a figure.

    Returns:
        The two pages.

    Raises:
        InputError: naming the file of the run that is not what it should be; then nothing is written.
    """
    run = read_run(folder)
    parts = make_parts(run, points)
    title = folder.resolve().name
    for part in parts:
        if part.figure is not None:
            write_picture(part.figure, folder / PICTURES / f"{part.figure.name}.png")
    pages = {"report.html": as_page(title, _subtitle(run), parts), "report.md": as_markdown(title, parts, PICTURES)}
    for name, text in pages.items():
        write_text(folder / name, text)
    return [folder / name for name in pages]


def make_parts(run: Run, points: int) -> Sequence[Part]:
    """All parts in order, the verdict first."""
    return (
        verdict(run),
        against_truth(run, points),
        baselines(run),
        ranks(run, points),
        costs(run, points),
        best(run),
        widths(run),
        training(run),
        recipe(run),
        protocol(run),
        environment(run),
    )


def _subtitle(run: Run) -> str:
    """Experiment, seed and commit, where they are known."""
    environment = run.environment or {}
    command = environment.get("command")
    said = [str(argument) for argument in command if str(argument).startswith("experiment=")] if isinstance(command, list) else []
    if run.config is not None and isinstance(run.config.get("seed"), int):
        said.append(f"seed {run.config['seed']}")
    if isinstance(environment.get("commit"), str):
        said.append(f"commit {environment['commit'][:7]}{' with changes' if environment.get('dirty') is True else ''}")
    return ", ".join(said)
