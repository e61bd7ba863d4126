"""Reads a run folder, or that of a multirun, and writes its report into it."""

from collections.abc import Sequence
from pathlib import Path

from nas_lightning.durable import write_text
from nas_lightning.report.content import Part
from nas_lightning.report.markdown import as_markdown
from nas_lightning.report.page import as_page
from nas_lightning.report.parts.against_truth import against_truth
from nas_lightning.report.parts.alone import alone
from nas_lightning.report.parts.baselines import baselines
from nas_lightning.report.parts.best import best
from nas_lightning.report.parts.costs import costs
from nas_lightning.report.parts.ranks import ranks
from nas_lightning.report.parts.settings import environment, protocol, recipe
from nas_lightning.report.parts.sweep_curves import curves
from nas_lightning.report.parts.sweep_effects import effects
from nas_lightning.report.parts.sweep_jobs import jobs
from nas_lightning.report.parts.sweep_settings import settings
from nas_lightning.report.parts.sweep_verdict import sweep_verdict
from nas_lightning.report.parts.training import training
from nas_lightning.report.parts.verdict import verdict
from nas_lightning.report.parts.widths import widths
from nas_lightning.report.pictures import write_picture
from nas_lightning.report.run import Run, read_run
from nas_lightning.report.sweep import Sweep, read_sweep
from nas_lightning.report.sweep_keys import clean

PICTURES, SWEEP_PICTURES = "report", "sweep"
"""The folders of the pictures, within the run's and the multirun's."""


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
    pages = {"report.html": as_page(title, _subtitle(run), parts, "report.md"), "report.md": as_markdown(title, parts, PICTURES)}
    for name, text in pages.items():
        write_text(folder / name, text)
    return [folder / name for name in pages]


def write_sweep_report(folder: Path) -> list[Path]:
    """Writes ``sweep.html``, ``sweep.md`` and the pictures of the latter; the same files give the same bytes.

    Args:
        folder: of the multirun.

    Returns:
        The two pages.

    Raises:
        InputError: if the folder holds no multirun, or no job that can be read; then nothing is written.
    """
    sweep = read_sweep(folder)
    parts = make_sweep_parts(sweep)
    title = clean(folder.resolve().name)
    page = as_page(title, _sweep_subtitle(sweep), parts, "sweep.md")
    for part in parts:
        if part.figure is not None:
            write_picture(part.figure, folder / SWEEP_PICTURES / f"{part.figure.name}.png")
    pages = {"sweep.html": page, "sweep.md": as_markdown(title, parts, SWEEP_PICTURES)}
    for name, text in pages.items():
        write_text(folder / name, text)
    return [folder / name for name in pages]


def make_sweep_parts(sweep: Sweep) -> Sequence[Part]:
    """All parts of a sweep's report in order, the verdict first."""
    return (sweep_verdict(sweep), jobs(sweep), settings(sweep), *effects(sweep), curves(sweep))


def make_parts(run: Run, points: int) -> Sequence[Part]:
    """All parts in order, the verdict first."""
    if run.is_only_alone:
        return (verdict(run), alone(run), recipe(run), protocol(run), environment(run))
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


def _sweep_subtitle(sweep: Sweep) -> str:
    """Experiment and commits, where the jobs share them."""
    environments = [job.run.environment or {} for job in sweep.jobs]
    commands = [one["command"] for one in environments if isinstance(one.get("command"), list)]
    experiments = {str(argument) for command in commands for argument in command if str(argument).startswith("experiment=")}
    commits = {str(one["commit"])[:7] for one in environments if isinstance(one.get("commit"), str)}
    said = [clean(min(experiments))] if len(experiments) == 1 else []
    return ", ".join([*said, *([f"commit {clean(min(commits))}"] if len(commits) == 1 else [])])
