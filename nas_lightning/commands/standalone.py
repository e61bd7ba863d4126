"""``nas-standalone``: trains given candidates stand-alone, into the challenge's format."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from nas_lightning.console.start import announce, hold, plain, run_folder, start
from nas_lightning.devices.launch import check_alone, is_rank_zero
from nas_lightning.errors import InputError

if TYPE_CHECKING:
    from nas_lightning.space import Architecture, Population

SUMMARY = "summary.csv"


def task(cfg: DictConfig) -> None:
    """Trains what the folder lacks, and compares it with the accuracies in the list's file."""
    node = plain(cfg)
    announced = announce(node, "standalone")
    from nas_lightning.commands.configs import StandaloneCommandConfig
    from nas_lightning.config.read import read

    config = read(StandaloneCommandConfig, node)
    import numpy as np

    from nas_lightning.agreement import measure
    from nas_lightning.agreement.estimate import FEWEST_ARCHITECTURES
    from nas_lightning.commands.prepare import make_dataset, make_population, make_standalone, read_known
    from nas_lightning.commands.screen import assigned, fitted, to_paste
    from nas_lightning.config.build import Builder, import_plugins
    from nas_lightning.devices.trainer import make_trainer, start_processes
    from nas_lightning.runs.claim import claim_config
    from nas_lightning.runs.made_from import remove
    from nas_lightning.standalone.summary import table, write_summary
    from nas_lightning.standalone.train_alone import check_trainer_arguments
    from nas_lightning.standalone.truth import check_enough, describe_failures, train_ground_truth

    check_trainer_arguments(config.trainer)
    import_plugins(config.plugins)
    builder = Builder(tuple(config.plugins), {"seed": config.seed})
    space = builder.build(config.space, "space")
    dataset = make_dataset(builder, config.data, space)
    listed, arguments = config.population.file, builder.build_values(config.trainer, "trainer")
    make_trainer(arguments, enable_checkpointing=False)  # an illegal argument stops here
    chosen, recipe = make_standalone(builder, config, dataset, make_population(config.population, space), listed)
    losses = None if config.scores is None else read_losses_of(Path(config.scores), chosen)
    run_dir = run_folder(config.run_dir, config.resume, "standalone")
    with hold(run_dir, config.resume) as run_dir:
        folder = run_dir / "standalone"
        claim_config(folder, node)
        if is_rank_zero() and run_dir != announced:
            print(f"run folder: {run_dir}")
        if config.standalone.processes == 1:  # else this process has its own workers
            start_processes(arguments)
        else:
            check_alone()
        if is_rank_zero():
            remove([folder / SUMMARY])  # of earlier trainings
        truth = train_ground_truth(chosen, dataset, recipe, config.standalone.seeds, folder, arguments, config.standalone.processes)
        if not is_rank_zero():
            return
        write_summary(folder / SUMMARY, truth)
    check_enough(truth, 1)
    trained = truth.population
    try:
        known = read_known(listed, space)
    except InputError:  # its values are not accuracies but, say, cross entropies
        known = {}
    paragraphs = [table(truth, known, losses), *([describe_failures(truth)] if truth.failures else [])]
    ours = {} if losses is None else {"supernet": -np.array([losses[architecture] for architecture in trained.architectures])}
    rows = [row for row, architecture in enumerate(trained.architectures) if architecture in known]
    if len(rows) >= FEWEST_ARCHITECTURES:
        columns = {name: values[rows] for name, values in {"trained alone": truth.mean, **ours}.items()}
        agreement = measure(columns, np.array([known[trained[row].architecture] for row in rows]))
        count = f"{len(rows)} of {len(trained)} candidates have a known accuracy"
        paragraphs.append(f"Agreement with the accuracies in {listed}\n{count}\n{agreement.table()}")
    if ours and len(trained) >= FEWEST_ARCHITECTURES:
        agreement = measure(ours, truth.mean)
        paragraphs.append(f"Agreement of {config.scores} with what was trained alone\n{agreement.table()}")
    paragraphs.append(f"written: {folder}/known_accuracies.json, accuracies.csv, {SUMMARY}")
    print(f"{fitted(paragraphs)}\nnext, make the page:\n{to_paste(['nas-report', assigned('run_dir', str(run_dir))])}")


def read_losses_of(path: Path, population: "Population") -> "dict[Architecture, float]":
    """A ranking's cross entropies of given candidates."""
    from nas_lightning.scoring.table import read_scores

    scores = read_scores(path, population.space)
    missing = [candidate for candidate in population if candidate.architecture not in scores]
    if missing:
        raise InputError(f"scores: {path} lacks {missing[0].name}, {missing[0].text} ({len(missing)} candidates in all)")
    return {architecture: scores[architecture].cross_entropy for architecture in population.architectures}


main = partial(start, task, "standalone")
"""The console entry."""


if __name__ == "__main__":
    main()
