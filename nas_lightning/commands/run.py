"""Wires a whole run: stages in order, truth, ranking, agreement."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import Callback

from nas_lightning.agreement.estimate import FEWEST_ARCHITECTURES
from nas_lightning.commands.configs import TrainConfig
from nas_lightning.commands.prepare import Run, make_data
from nas_lightning.commands.ranking import rank_checkpoint
from nas_lightning.commands.write_ranking import Known
from nas_lightning.config.build import Builder
from nas_lightning.data.check import describe
from nas_lightning.data.trained_on import trained_on
from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.devices.progress import report
from nas_lightning.devices.trainer import start_processes, wait_for_all
from nas_lightning.rng import generator
from nas_lightning.runs.reading import read_json
from nas_lightning.scoring.table import read_scores
from nas_lightning.space import Architecture, read_accuracies
from nas_lightning.standalone.truth import check_enough, read_accuracies_so_far, train_ground_truth
from nas_lightning.supernet.checkpoint import make_header, save_supernet
from nas_lightning.training.monitor import ProbeSet
from nas_lightning.training.run_stages import check_stages, train_stages


def run_experiment(config: TrainConfig, run_dir: Path, run: Run, watching: Sequence[Callback] = ()) -> dict[str, Any] | None:
    """Trains, writes the weights, trains the truth and ranks, as configured; skips what the folder holds already.

    Args:
        watching: other callbacks of the stages.

    Returns:
        The agreement with known accuracies, if there are any.
    """
    check_run_folder(config, run, run_dir)
    builder = Builder(tuple(config.plugins))
    make_arguments = partial(builder.build_values, config.trainer, "trainer")
    start_processes(make_arguments())
    data = {**describe(run.dataset), **(trained_on(run.dataset) if run.stages else {})}
    header = make_header(run.supernet, data, None if config.initial_checkpoint is None else Path(config.initial_checkpoint))
    train_stages(
        run.stages,
        run.supernet,
        lambda index: make_data(config, builder, run.dataset, index),
        run_dir,
        header=header,
        make_arguments=make_arguments,
        watching=watching,
        panel=make_panel(config, run) if config.loader.holdout else None,
        every_epochs=config.monitor.every_epochs,
        save_every_steps=config.save_every_steps,
        each_of_panel=config.monitor.each,
        seed=config.seed,
    )
    weights = run_dir / "supernet.safetensors"
    if is_rank_zero():
        save_supernet(weights, run.supernet, header)
        report(f"weights: {weights}", to_stdout=True)
    wait_for_all()
    arguments = make_arguments()
    known: Known | None = None
    if run.truth is not None:
        alone, recipe = run.truth
        folder, processes = run_dir / "standalone", config.standalone.processes
        truth = train_ground_truth(alone, run.dataset, recipe, config.standalone.seeds, folder, arguments, processes)
        if len(truth.population) >= FEWEST_ARCHITECTURES:  # else the ranking, which needs no truth, comes first
            means = dict(zip(truth.population.architectures, map(float, truth.mean), strict=True))
            known = Known(means, truth.accuracies, folder / "known_accuracies.json", len(run.dataset.test().labels))
    agreement = None
    if config.ranking.enabled:
        agreement = rank_checkpoint(weights, config.ranking, run.dataset, run_dir, arguments, population=run.population, known=known)
    if run.truth is not None and is_rank_zero():
        check_enough(truth, FEWEST_ARCHITECTURES if config.ranking.enabled else 1)
    return agreement


def check_run_folder(config: TrainConfig, run: Run, run_dir: Path) -> None:
    """Reads what the run folder holds already, so that a damaged file stops the run before it works."""
    check_stages(run.stages, run_dir)
    read_accuracies_so_far(run_dir / "standalone", run.population)
    if not config.ranking.enabled:
        return
    if (protocol := run_dir / "ranking" / "protocol.json").is_file():
        read_json(protocol)
    for part in sorted((run_dir / "ranking" / "parts").rglob("*-*.csv")):
        read_scores(part, run.space)


def make_panel(config: TrainConfig, run: Run) -> ProbeSet:
    """The fixed candidates to monitor: the largest, the smallest, and some drawn with the seed, from those with a known
    accuracy if the ranking names any."""
    rng = generator(config.seed, "panel")
    count = config.monitor.candidates
    known: dict[Architecture, float] = {}
    if config.ranking.enabled and config.ranking.known_accuracies is not None:
        known = read_accuracies(Path(config.ranking.known_accuracies), run.space)
    among = sorted(known, key=lambda architecture: architecture.widths)
    drawn = [among[row] for row in rng.permutation(len(among))[:count]] if among else [run.space.sample(rng) for _ in range(count)]
    names = {f"panel_{number}": architecture for number, architecture in enumerate(drawn, start=1)}
    truth = {name: known[architecture] for name, architecture in names.items() if architecture in known}
    return ProbeSet({"largest": run.space.largest, "smallest": run.space.smallest, **names}, run.supernet.classes, truth)
