"""Reads the folder of a run or a multirun and writes its report into it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from nas_lightning.report.content import Part
from nas_lightning.report.drawing import draw_both
from nas_lightning.report.markdown import as_markdown
from nas_lightning.report.page import as_page
from nas_lightning.report.parts.baselines import baselines
from nas_lightning.report.parts.prediction import prediction
from nas_lightning.report.parts.scores import against_truth, costs, places
from nas_lightning.report.parts.sweep_effects import sweep_effects
from nas_lightning.report.parts.sweep_jobs import sweep_jobs
from nas_lightning.report.parts.sweep_verdict import sweep_verdict
from nas_lightning.report.parts.tables import alone, best, environment, protocol, recipe
from nas_lightning.report.parts.training import training
from nas_lightning.report.parts.verdict import verdict
from nas_lightning.report.parts.widths import widths
from nas_lightning.report.run import RunFiles, read_run
from nas_lightning.report.sweep import Sweep, read_sweep
from nas_lightning.runs.writing import write_atomically, write_text

PARTS = (verdict, against_truth, baselines, places, costs, best, prediction, widths, training, alone, recipe, protocol, environment)
"""The parts of a run's report in order, the verdict first; each gives None of a run that it has nothing to do with."""


def write_report(folder: Path, points: int) -> list[Path]:
    """Writes ``report.html``, ``report.md`` and the pictures in ``report``; the same files give the same bytes.

    Args:
        folder: of the run; the two pages are returned.
        points: maximum candidates in a figure.

    Raises:
        InputError: naming the wrong file of the run; then nothing is written.
    """
    run = read_run(folder)
    return _write(folder, "report", _subtitle(run), make_parts(run, points))


def write_sweep_report(folder: Path) -> list[Path]:
    """Writes ``sweep.html``, ``sweep.md`` and the pictures in ``sweep`` into the folder of a multirun, likewise.

    Raises:
        InputError: if the folder holds no multirun, or no readable job; then nothing is written.
    """
    sweep = read_sweep(folder)
    return _write(folder, "sweep", "", make_sweep_parts(sweep))


def make_sweep_parts(sweep: Sweep) -> Sequence[Part]:
    """All parts of a sweep's report in order, the verdict first."""
    return (sweep_verdict(sweep), sweep_jobs(sweep), *sweep_effects(sweep))


def make_parts(run: RunFiles, points: int) -> Sequence[Part]:
    """All parts of a run's report in order, the verdict first."""
    run = replace(run, points=points)
    return [made for part in PARTS if (made := part(run)) is not None]


def _write(folder: Path, name: str, subtitle: str, parts: Sequence[Part]) -> list[Path]:
    title = folder.resolve().name
    pictures = {part.figure.name: draw_both(part.figure) for part in parts if part.figure is not None}
    texts = {f"{name}.html": as_page(title, subtitle, parts, pictures), f"{name}.md": as_markdown(title, parts, name)}
    for figure, (wide, _) in pictures.items():
        write_atomically(folder / name / f"{figure}.png", partial(Path.write_bytes, data=wide.png))
    for file, text in texts.items():
        write_text(folder / file, text)
    return [folder / file for file in texts]


def _subtitle(run: RunFiles) -> str:
    """Experiment, seed and commit."""
    experiments = [word for word in run.command if word.startswith("experiment=")]
    seed = f"seed {run.config['seed']}" if "seed" in run.config else ""
    return ", ".join(filter(None, [*experiments, seed, run.commit and f"commit {run.commit}"]))
