"""Reads the folder of a run or a multirun and writes its report into it."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from nas_lightning.report.content import Part
from nas_lightning.report.drawing import draw_both
from nas_lightning.report.markdown import as_markdown
from nas_lightning.report.page import as_page
from nas_lightning.report.parts.baselines import baselines
from nas_lightning.report.parts.prediction import prediction
from nas_lightning.report.parts.scores import costs
from nas_lightning.report.parts.search import search
from nas_lightning.report.parts.sweep_effects import sweep_effects
from nas_lightning.report.parts.sweep_jobs import sweep_jobs
from nas_lightning.report.parts.sweep_verdict import sweep_verdict
from nas_lightning.report.parts.tables import alone, best, environment, protocol, recipe
from nas_lightning.report.parts.training import training
from nas_lightning.report.parts.verdict import verdict
from nas_lightning.report.parts.widths import widths
from nas_lightning.report.run import RunFiles, read_run, section
from nas_lightning.report.sweep import Sweep, read_sweep
from nas_lightning.report.text import plain
from nas_lightning.runs.writing import write_atomically, write_text

PARTS = (verdict, search, best, baselines, costs, prediction, widths, training, alone, recipe, protocol, environment)
"""The parts of a run's report in order, the verdict first; each gives None of a run that it has nothing to do with."""


class Report(NamedTuple):
    """What was written."""

    page: Path
    text: Path
    headline: str
    """Of the verdict."""


def write_report(folder: Path, points: int) -> Report:
    """Writes ``report.html``, ``report.md`` and the pictures in ``report``; the same files give the same bytes.

    Args:
        folder: of the run.
        points: maximum candidates in a figure.

    Raises:
        InputError: naming the wrong file of the run; then nothing is written.
    """
    run = read_run(folder)
    return _write(folder, "report", _subtitle(run), make_parts(run, points))


def write_sweep_report(folder: Path) -> Report:
    """Writes ``sweep.html``, ``sweep.md`` and the pictures in ``sweep`` into the folder of a multirun, likewise.

    Raises:
        InputError: if the folder holds no multirun, or no readable job; then nothing is written.
    """
    sweep = read_sweep(folder)
    return _write(folder, "sweep", "", make_sweep_parts(sweep))


def make_sweep_parts(sweep: Sweep) -> Sequence[Part]:
    """All parts of a sweep's report in order, the verdict first."""
    verdict, effects = sweep_verdict(sweep), sweep_effects(sweep)
    if effects:  # its picture comes first
        verdict = replace(verdict, figures=effects[0].figures, paragraphs=effects[0].paragraphs)
    return (verdict, *effects[1:], sweep_jobs(sweep))


def make_parts(run: RunFiles, points: int) -> Sequence[Part]:
    """All parts of a run's report in order, the verdict first."""
    run = replace(run, points=points)
    return [made for part in PARTS if (made := part(run)) is not None]


def _write(folder: Path, name: str, subtitle: str, parts: Sequence[Part]) -> Report:
    title = folder.resolve().name
    pictures = {figure.name: draw_both(figure) for part in parts for figure in part.figures}
    page, text = folder / f"{name}.html", folder / f"{name}.md"
    texts = {page: as_page(title, subtitle, parts, pictures), text: as_markdown(title, parts, name)}
    for figure, (wide, _) in pictures.items():
        write_atomically(folder / name / f"{figure}.png", partial(Path.write_bytes, data=wide.png))
    for path, content in texts.items():
        write_text(path, content)
    return Report(page, text, parts[0].title)


def _subtitle(run: RunFiles) -> str:
    """Experiment, data, space, stages, time, seed and commit, as far as they are known."""
    folder = Path(str(run.config.get("run_dir", ""))).parts  # its default is outputs/<experiment>/<date_time>
    given = [word.partition("=")[2] for word in run.command if word.startswith("experiment=")]
    target = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(section(run.config, "data").get("_target_", "")).rpartition(".")[2]).lower()
    network = str(section(section(run.config, "network"), "network").get("_target_", "")).rpartition(".")[2]
    facts = {
        "experiment": (given or ([folder[-2]] if folder[-3:-2] == ("outputs",) else [""]))[-1],
        "data": target,
        "network": network,
        "space": "" if network else section(run.config, "space").get("name"),
        "stages": ", ".join(map(str, section(run.config, "stages"))),
        "time": run.time,
        "seed": run.config.get("seed"),
        "commit": run.commit,
    }
    return " · ".join(f"{name} {plain(value)}" for name, value in facts.items() if value not in ("", None))
