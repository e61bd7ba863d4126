"""Reads the folder of a run or a multirun and writes its report into it."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from nas_lightning.report.content import Part
from nas_lightning.report.drawing import draw_both
from nas_lightning.report.markdown import as_markdown
from nas_lightning.report.page import as_page
from nas_lightning.report.parts.baselines import baselines
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
from nas_lightning.report.sweep_keys import clean
from nas_lightning.runs.writing import write_atomically, write_text


def write_report(folder: Path, points: int) -> list[Path]:
    """Writes ``report.html``, ``report.md`` and the pictures in ``report``; the same files give the same bytes.

    Args:
        folder: of the run.
        points: maximum candidates in a figure.

    Returns:
        The two pages.

    Raises:
        InputError: naming the wrong file of the run; then nothing is written.
    """
    run = read_run(folder)
    return _write(folder, "report", [run], make_parts(run, points))


def write_sweep_report(folder: Path) -> list[Path]:
    """Writes ``sweep.html``, ``sweep.md`` and the pictures in ``sweep`` into the folder of a multirun, likewise.

    Raises:
        InputError: if the folder holds no multirun, or no readable job; then nothing is written.
    """
    sweep = read_sweep(folder)
    return _write(folder, "sweep", [job.run for job in sweep.jobs], make_sweep_parts(sweep))


def make_sweep_parts(sweep: Sweep) -> Sequence[Part]:
    """All parts of a sweep's report in order, the verdict first."""
    return (sweep_verdict(sweep), sweep_jobs(sweep), *sweep_effects(sweep))


def make_parts(run: RunFiles, points: int) -> Sequence[Part]:
    """All parts in order, the verdict first."""
    settings = (recipe(run), protocol(run), environment(run))
    if run.is_only_alone:
        return (verdict(run), alone(run), *settings)
    ranking = run.ranking
    if ranking is None:
        return (verdict(run), training(run), *settings)
    scores = (against_truth(ranking, points), baselines(run), places(ranking, points), costs(ranking, points))
    return (verdict(run), *scores, best(ranking), widths(ranking), training(run), *settings)


def _write(folder: Path, name: str, runs: Sequence[RunFiles], parts: Sequence[Part]) -> list[Path]:
    title = clean(folder.resolve().name)
    pictures = {part.figure.name: draw_both(part.figure) for part in parts if part.figure is not None}
    texts = {f"{name}.html": as_page(title, _subtitle(runs), parts, pictures), f"{name}.md": as_markdown(title, parts, name)}
    for figure, (wide, _) in pictures.items():
        write_atomically(folder / name / f"{figure}.png", partial(Path.write_bytes, data=wide.png))
    for file, text in texts.items():
        write_text(folder / file, text)
    return [folder / file for file in texts]


def _subtitle(runs: Sequence[RunFiles]) -> str:
    """Experiment, seed and commit, as far as the runs share them."""
    environments = [run.environment for run in runs]
    commands = [environment["command"] for environment in environments if isinstance(environment.get("command"), list)]
    dirty = " with changes" if all(environment.get("dirty") is True for environment in environments) else ""
    seeds = [run.config.get("seed") if run.config else None for run in runs]
    words = [
        _shared(str(argument) for command in commands for argument in command if str(argument).startswith("experiment=")),
        _shared(f"seed {seed}" for seed in seeds if isinstance(seed, int)),
        _shared(f"commit {commit[:7]}{dirty}" for environment in environments if isinstance(commit := environment.get("commit"), str)),
    ]
    return ", ".join(clean(word) for word in words if word)


def _shared(words: Iterable[str]) -> str:
    distinct = set(words)
    return distinct.pop() if len(distinct) == 1 else ""
