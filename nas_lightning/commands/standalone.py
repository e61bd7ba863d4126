"""``nas-standalone``: trains given candidates stand-alone, or the best of a ranking, into the challenge's format."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from nas_lightning.console.start import announce, hold, is_folder_given, plain, run_folder, start
from nas_lightning.devices.launch import check_alone, is_rank_zero
from nas_lightning.devices.process import limit_threads
from nas_lightning.errors import InputError

if TYPE_CHECKING:
    from nas_lightning.space import Architecture, Population, Space
    from nas_lightning.standalone.truth import GroundTruth

SUMMARY = "summary.csv"
CHOOSING = ("best", "search")
"""Values of ``choose`` that read space, images and recipe from the run of what they choose from."""


def task(cfg: DictConfig) -> None:
    """Trains what the folder lacks, and compares it with the accuracies in the list's file, or with random candidates."""
    node = plain(cfg)
    short = {key: node.pop(key, None) for key in ("choose", "count")}
    node["standalone"] = {**node.get("standalone", {}), **{key: value for key, value in short.items() if value is not None}}
    if node.get("start") is not None:
        from nas_lightning.commands.train_on import train_on

        train_on(node, HydraConfig.get().overrides.task)
        return
    choose = node["standalone"].get("choose")
    is_of_best = choose in CHOOSING
    has_own_folder = is_folder_given() or not is_of_best  # the winners of a ranking have one folder, in its run
    announced = announce(node, "standalone") if has_own_folder else None
    from nas_lightning.commands.configs import StandaloneCommandConfig
    from nas_lightning.config.read import read

    config = read(StandaloneCommandConfig, node)
    from nas_lightning.agreement.sampling_error import SamplingError
    from nas_lightning.commands.prepare import make_family_and_dataset, make_population, make_standalone
    from nas_lightning.commands.report import write_page
    from nas_lightning.commands.screen import assigned, fitted, show_split, to_paste
    from nas_lightning.commands.truth_recipe import check_truth_recipe, keep_truth_recipe
    from nas_lightning.commands.winners import (
        FILE,
        choose_searched,
        choose_winners,
        compare_winners,
        describe_winners,
        folder_of,
        problem_of,
        write_winners,
    )
    from nas_lightning.config.build import Builder, import_plugins
    from nas_lightning.devices.trainer import make_trainer, start_processes
    from nas_lightning.runs.claim import claim_config, renew_config
    from nas_lightning.runs.made_from import remove
    from nas_lightning.standalone.summary import table, write_summary
    from nas_lightning.standalone.train_alone import check_trainer_arguments
    from nas_lightning.standalone.truth import check_enough, describe_failures, train_ground_truth

    limit_threads(config.threads)
    check_trainer_arguments(config.trainer)
    import_plugins(config.plugins)
    scores = None if config.scores is None else Path(config.scores)
    if is_of_best and scores is None:
        source = "the chosen of a search's chosen.json" if choose == "search" else "the best of a ranking's scores.csv"
        raise InputError(f"scores: is missing; choose={choose} takes {source}")
    for key, value in (("budget", config.budget), ("random", config.random)):
        if value is not None and not is_of_best:
            raise InputError(f"{key}: {value} goes only with choose=best or choose=search")
    builder = Builder(tuple(config.plugins), {"seed": config.seed})
    family, dataset = make_family_and_dataset(builder, config, config.standalone.shortcuts)
    space = family.space
    arguments = builder.build_values(config.trainer, "trainer")
    make_trainer(arguments, enable_checkpointing=False)  # an illegal argument stops here
    winners, losses, run_dir = None, None, config.run_dir
    if is_of_best and scores is not None:
        numbers = (config.standalone.count, config.random, config.budget, config.seed)
        if choose == "search":
            winners = choose_searched(scores, problem_of(scores, family), *numbers)
        else:
            winners = choose_winners(scores, space, *numbers)
        all_of_them = replace(config, standalone=replace(config.standalone, choose="cost", count=None))
        chosen, recipe = make_standalone(builder, all_of_them, dataset, winners.population(space), None, family)
        run_dir = config.run_dir if has_own_folder else str(folder_of(scores))
    else:
        candidates = make_population(config.population, space)
        chosen, recipe = make_standalone(builder, config, dataset, candidates, config.population.file, family)
        losses = None if scores is None else read_losses_of(scores, chosen)
    # The same command trains what is missing of the winners.
    resumes = config.resume if has_own_folder else None  # the folder of a ranking's winners always resumes
    with hold(run_folder(run_dir, resumes, "standalone"), "auto" if is_of_best else config.resume) as held:
        folder = held / "standalone"
        decided = check_truth_recipe(folder, node, recipe.family, dataset)
        claim_config(folder, node, images=dataset.how_split)
        if is_rank_zero() and held != announced:
            print(f"run folder: {held}")
        show_split(dataset.how_split)
        if config.standalone.processes == 1:  # else this process has its own workers
            start_processes(arguments)
        else:
            check_alone()
        if is_rank_zero():
            remove([folder / SUMMARY, folder / FILE])  # of earlier trainings
            keep_truth_recipe(folder, decided)
        truth = train_ground_truth(chosen, dataset, recipe, config.standalone.seeds, folder, arguments, config.standalone.processes)
        if not is_rank_zero():
            return
        renew_config(folder, node)
        write_summary(folder / SUMMARY, truth)
        check_enough(truth, 1)
        if winners is not None and scores is not None:
            compared = compare_winners(winners, truth)
            write_winners(folder, scores, compared)
    known = {} if winners is not None else _known(config.population.file, space)
    paragraphs = [table(truth, known, losses, None if winners is None else winners.kinds)]
    paragraphs.append(str(SamplingError.of(truth.mean, len(dataset.test().labels))))
    if truth.failures:
        paragraphs.append(describe_failures(truth))
    written = f"written: {folder}/known_accuracies.json, accuracies.csv, {SUMMARY}"
    if winners is None or scores is None:
        paragraphs += [*_agreements(config.population.file, scores, truth, known, losses), written]
        print(f"{fitted(paragraphs)}\nnext, make the page:\n{to_paste(['nas-report', assigned('run_dir', str(held))])}")
        return
    from nas_lightning.report.recipe import recipe_of

    print(fitted([*paragraphs, describe_winners(compared), f"Each was trained alone for {recipe_of(node)}.", f"{written}, {FILE}"]))
    of_ranking = folder_of(scores).parent
    if held == of_ranking / held.name and (of_ranking / "report.html").is_file():  # shows the winners of its run
        print(write_page(of_ranking), end="")


def _known(listed: str | None, space: "Space") -> "dict[Architecture, float]":
    from nas_lightning.commands.prepare import read_known

    try:
        return read_known(listed, space)
    except InputError:  # its values are not accuracies but, say, cross entropies
        return {}


def _agreements(
    listed: str | None,
    scores: Path | None,
    truth: "GroundTruth",
    known: "dict[Architecture, float]",
    losses: "dict[Architecture, float] | None",
) -> list[str]:
    """How far the trained accuracies agree with those in the list's file, and a ranking with them."""
    import numpy as np

    from nas_lightning.agreement import measure
    from nas_lightning.agreement.estimate import FEWEST_ARCHITECTURES

    trained, found = truth.population, []
    ours = {} if losses is None else {"supernet": -np.array([losses[architecture] for architecture in trained.architectures])}
    rows = [row for row, architecture in enumerate(trained.architectures) if architecture in known]
    if len(rows) >= FEWEST_ARCHITECTURES:
        columns = {name: values[rows] for name, values in {"trained alone": truth.mean, **ours}.items()}
        agreement = measure(columns, np.array([known[trained[row].architecture] for row in rows]))
        count = f"{len(rows)} of {len(trained)} candidates have a known accuracy"
        found.append(f"Agreement with the accuracies in {listed}\n{count}\n{agreement.table()}")
    if ours and len(trained) >= FEWEST_ARCHITECTURES:
        agreement = measure(ours, truth.mean)
        found.append(f"Agreement of {scores} with what was trained alone\n{agreement.table()}")
    return found


def read_losses_of(path: Path, population: "Population") -> "dict[Architecture, float]":
    """A ranking's cross entropies of given candidates."""
    from nas_lightning.scoring.table import read_scores

    scores = read_scores(path, population.space)
    missing = [candidate for candidate in population if candidate.architecture not in scores]
    if missing:
        raise InputError(f"scores: {path} lacks {missing[0].name}, {missing[0].text} ({len(missing)} candidates in all)")
    return {architecture: scores[architecture].cross_entropy for architecture in population.architectures}


def _of_run(config: DictConfig, typed: Mapping[str, Any]) -> None:
    """With ``choose=best`` the run of the ranking (or of a search) stands where our files do, so that any of its keys can be overridden."""
    words = (typed.get(key, OmegaConf.select(config, key)) for key in ("choose", "standalone.choose"))
    scores = typed.get("scores", config.get("scores"))
    if next((word for word in words if word is not None), None) in CHOOSING and isinstance(scores, str):
        path = Path(scores).expanduser()
        if not path.is_file():
            raise InputError(f"scores: {path} is not a file")
        from nas_lightning.commands.from_run import take_from_run

        take_from_run(config, path, typed)


main = partial(start, task, "standalone", base=_of_run)
"""The console entry."""


if __name__ == "__main__":
    main()
