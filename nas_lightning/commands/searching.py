"""Wires one search: from a checkpoint and budgets to the files in ``search/`` and the printed table."""

import math
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from torch import Tensor

from nas_lightning.commands.measuring import latency_names, make_latencies, measured_ends
from nas_lightning.commands.rank_many import find_checkpoints
from nas_lightning.commands.report import write_page
from nas_lightning.commands.screen import assigned, to_paste
from nas_lightning.commands.search_keys import SearchCommandConfig, SearchConfig
from nas_lightning.commands.search_screen import search_screen
from nas_lightning.config.build import Builder, packages_in
from nas_lightning.data import ImageDataset, evaluation_images, fingerprint
from nas_lightning.data.check import images_of
from nas_lightning.data.splits import LabelledImages
from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.devices.progress import report
from nas_lightning.devices.trainer import make_trainer, precision_of, start_processes, wait_for_all
from nas_lightning.errors import InputError, check_at_least, check_known
from nas_lightning.runs.claim import renew_config
from nas_lightning.runs.writing import write_json
from nas_lightning.scoring.predict import rank_to_folder
from nas_lightning.scoring.predictors import FEWEST, Predictor, predict
from nas_lightning.scoring.protocol import claim, make_protocol
from nas_lightning.scoring.score import Scorer
from nas_lightning.scoring.table import PREDICTION, Score
from nas_lightning.search.algorithms import Algorithm, FromList, FromStart, SuccessiveHalving
from nas_lightning.search.evaluated import Evaluated
from nas_lightning.search.finalists import Finalists
from nas_lightning.search.front import check_installed
from nas_lightning.search.latency import LATENCIES
from nas_lightning.search.limits import resolve
from nas_lightning.search.problem import COUNTED, CostOf, Problem, counted
from nas_lightning.search.record import CHOSEN, EVALUATED, FITTED, Record
from nas_lightning.search.run import Evaluate, Generation, Search
from nas_lightning.search.starts import STARTS, Fresh, Listed
from nas_lightning.space import Architecture, Population
from nas_lightning.supernet.checkpoint import load_supernet
from nas_lightning.supernet.families import AnyModule

IMAGES = 500
"""Test images to score on, unless given."""
PARTS = "parts"
"""Folder of the generation that is being scored."""
BASELINES = ("spread", "uniform")


@dataclass(frozen=True)
class Prepared:
    """Everything that a search needs, checked."""

    checkpoint: Path
    supernet: AnyModule
    dataset: ImageDataset
    problem: Problem
    """Without latencies, which are measured in the run folder."""
    images: int
    """Test images that the search sees."""
    all_images: int
    """Those of the finalists: all."""
    scorer: Scorer
    """Of the search, and of its finalists in batches no larger."""


def prepare_search(config: SearchCommandConfig) -> Prepared:
    """Reads and checks everything, so that a mistake stops the search before a folder is claimed."""
    check_installed()
    search = config.search
    make_trainer(Builder(tuple(config.plugins)).build_values(config.trainer, "trainer"), enable_checkpointing=False)
    paths = find_checkpoints(config.checkpoint)
    if len(paths) > 1:
        raise InputError(f"checkpoint: {config.checkpoint} names {len(paths)} files; nas-search takes one")
    supernet, header = load_supernet(paths[0])
    problem = make_problem(search, supernet)
    dataset = images_of(header, config.data.root, "checkpoint", paths[0])
    available = len(dataset.test().labels)
    if search.images is not None:
        check_at_least("search.images", search.images, 1, available)
    images = search.images or min(IMAGES, available)
    check_halving(search, images)
    if limited := [name for name in latency_names(search) if name in (search.budgets or {})]:
        ends = measured_ends(config, supernet)  # so that a budget below the smallest candidate stops before any work
        resolve({name: (search.budgets or {})[name] for name in limited if name in ends}, ends)
    size = min(search.scorer.batch_size or images, images)  # a batch's statistics are part of a score: the finalists' are no larger
    return Prepared(
        checkpoint=paths[0],
        supernet=supernet,
        dataset=dataset,
        problem=problem,
        images=images,
        all_images=available,
        scorer=replace(search.scorer, batch_size=size),
    )


def check_halving(search: SearchConfig, images: int) -> None:
    """Raises InputError unless successive halving can go with the other keys."""
    if not isinstance(search.algorithm, SuccessiveHalving):
        return
    rungs, least = search.algorithm.rungs, search.algorithm.bracket(search.population)
    if search.objective == "predicted":
        raise InputError("search.algorithm: successive_halving saves images, of which search.objective=predicted needs none; give nsga2")
    if images < (fewest := 2**rungs):
        raise InputError(
            f"search.images: {images} must be at least {fewest} with successive_halving: its first rung has 1 in {fewest // 2}"
        )
    if search.evaluations < least:
        raise InputError(
            f"search.evaluations: {search.evaluations} must be at least {least} with successive_halving and "
            f"search.population={search.population}: {rungs} rungs, each the work of a population"
        )


def whole_brackets(search: SearchConfig) -> int:
    """Evaluations, of successive halving as many as make whole brackets."""
    unit = search.algorithm.bracket(search.population) if isinstance(search.algorithm, SuccessiveHalving) else 1
    if is_rank_zero() and (rest := search.evaluations % unit):
        report(f"search.evaluations: {search.evaluations - rest:,} of {search.evaluations:,} are used, in whole brackets of {unit:,}")
    return search.evaluations - search.evaluations % unit


def report_cut_list(search: SearchConfig, problem: Problem) -> None:
    """Says where a search of a list ends before the list does."""
    if not isinstance(search.algorithm, FromList):
        return
    listed = int(problem.within(problem.rows(problem.listed)).sum())
    if is_rank_zero() and listed > search.evaluations:
        report(f"search.evaluations: the first {search.evaluations:,} of the list's {listed:,} candidates within the budgets are evaluated")


def make_problem(search: SearchConfig, supernet: AnyModule, latencies: Mapping[str, CostOf] = MappingProxyType({})) -> Problem:
    """The candidates, their costs and the budgets, apart from those of latencies that are not given.

    Raises:
        InputError: for a cost or a budget that does not exist, and a budget that no candidate keeps to.
    """
    space, cost_of, known = supernet.space, {**counted(supernet.structure.cost), **latencies}, (*COUNTED, *LATENCIES)
    for name in search.costs:
        check_known(f"search.costs: {name}", name, known)
    if not 1 <= len(search.costs) <= 2 or len({*search.costs}) < len(search.costs):
        raise InputError(f"search.costs: {search.costs} must be one or two different costs of {', '.join(known)}")
    for name in search.budgets or {}:
        check_known(f"search.budgets.{name}", name, known)
    if search.objective == "predicted" and search.predictor is None:
        raise InputError("search.predictor: none cannot go with search.objective=predicted")
    listed: tuple[Architecture, ...] = ()
    if isinstance(search.start, Listed) or isinstance(search.algorithm, FromList):
        if search.list is None:
            raise InputError("search.list: is missing; a search of a list needs its file")
        listed = Population.read(Path(search.list), space).distinct().architectures
    elif search.list is not None:
        raise InputError(f"search.list: {search.list} does nothing without search.start=list or search.algorithm=list; give one of them")
    front = tuple(name for name in search.costs if name in cost_of) or COUNTED[:1]
    problem = Problem(space, cost_of, front=front, listed=listed)
    budgets = {name: given for name, given in (search.budgets or {}).items() if name in cost_of}
    problem = replace(problem, budgets=resolve(budgets, {name: problem.ends(name) for name in cost_of}))
    if next(search.algorithm.propose(problem, search.start, search.population, search.seed), None) is None:
        raise InputError(f"search.list: {search.list} has no candidate within the budgets")
    if search.objective == "predicted" and (found := len(Fresh(search.start.stream(problem, search.seed)).take(FEWEST))) < FEWEST:
        raise InputError(
            f"search.objective: predicted is fitted on {FEWEST} candidates or more, search.start finds {found} within the budgets; "
            "give cross_entropy"
        )
    return problem


def search_checkpoint(prepared: Prepared, config: SearchCommandConfig, node: Mapping[str, Any], run_dir: Path) -> None:
    """Searches, writes, prints.

    Args:
        node: the config as given, for the protocol and the page.
    """
    search, folder, supernet = config.search, run_dir / "search", prepared.supernet
    make_arguments = partial(Builder(tuple(config.plugins)).build_values, config.trainer, "trainer")
    start_processes(make_arguments())
    images, labels = evaluation_images(prepared.dataset, prepared.images)
    all_images, all_labels = evaluation_images(prepared.dataset, prepared.all_images)
    latencies = make_latencies(config, supernet, folder)
    if latencies is not None:
        unlimited = replace(prepared.problem, budgets=({},), front=COUNTED[:1])
        prepared = replace(prepared, problem=make_problem(search, supernet, latencies.model(unlimited, search.seed)))
    problem, words = prepared.problem, {} if latencies is None else {"latency": dict(latencies.protocol)}
    claim(folder, {**make_search_protocol(prepared, search.algorithm, node["search"], precision_of(make_arguments())), **words})
    if is_rank_zero():
        shutil.rmtree(folder / PARTS, ignore_errors=True)  # of a generation that was not finished
    wait_for_all()
    on_searched = partial(_score, prepared, make_arguments, folder / PARTS, (images, labels))
    on_all = partial(_score, prepared, make_arguments, folder / PARTS, (all_images, all_labels))
    report_cut_list(search, problem)
    record = Record(folder, problem)
    whole = Search(
        problem=problem,
        algorithm=search.algorithm,
        start=search.start,
        objective=search.objective,
        evaluations=whole_brackets(search),
        population=search.population,
        seed=search.seed,
    )
    evaluate: Evaluate = partial(on_searched, "search")
    if search.objective == "predicted" and search.predictor is not None:
        to_fit = replace(whole, algorithm=FromStart(), objective="cross_entropy", evaluations=search.fitted_on)
        fitted = record.run(to_fit, partial(on_searched, "fit"), FITTED).rows
        evaluate = _fit(search.predictor, supernet, fitted, folder / PREDICTION, search.seed)
    done = record.run(whole, evaluate, EVALUATED)
    runs = {"search": done.rows}
    for name in BASELINES if search.baselines else ():
        baseline = replace(whole, algorithm=FromStart(), start=STARTS[name], evaluations=search.baselines)
        each = evaluate if search.objective == "predicted" else partial(on_searched, name)
        runs[name] = record.run(baseline, each, f"baseline_{name}.csv").rows
    chosen = Finalists(
        record=record,
        objective=search.objective,
        count=search.finalists,
        searched=partial(on_searched, "finalists_searched"),
        on_all=partial(on_all, "finalists"),
        images=(len(labels), len(all_labels)),
        latencies=latencies,
    ).choose(done.whole)
    wait_for_all()
    if not is_rank_zero():
        return
    shutil.rmtree(folder / PARTS, ignore_errors=True)
    worst = 1.0 if search.objective == "top1" else math.log(supernet.classes)
    record.write_front(runs, search.objective, (worst, *(problem.most_of(name) for name in problem.front)), latencies)
    write_json(folder / CHOSEN, chosen)
    renew_config(folder, node)
    report(search_screen(problem, chosen, len({row.architecture for row in done.rows})), to_stdout=True)
    report(f"\n{write_page(run_dir)}written: {folder}/{CHOSEN}, front.csv, {EVALUATED}, hypervolume.csv", to_stdout=True)
    if chosen:
        report(f"next, take them out:\n{to_paste(_export(config, run_dir))}", to_stdout=True)


def _export(config: SearchCommandConfig, run_dir: Path) -> list[str]:
    chosen = run_dir / "search" / CHOSEN
    given = {"checkpoint": config.checkpoint, "chosen": chosen, "data.root": config.data.root, "run_dir": run_dir}
    return ["nas-export", *(assigned(key, str(value)) for key, value in given.items() if value is not None), *packages_in(sys.argv)]


def make_search_protocol(prepared: Prepared, algorithm: Algorithm, node: Mapping[str, Any], precision: str) -> dict[str, Any]:
    """What a score and a choice of this search mean, budgets resolved."""
    test = prepared.dataset.test()
    used = LabelledImages(test.images[: prepared.images], test.labels[: prepared.images])
    protocol = make_protocol(
        prepared.checkpoint,
        data=fingerprint(used),
        images=prepared.images,
        batch_size=prepared.scorer.batch_size,
        norm=str(prepared.supernet.norm),
        structure=prepared.supernet.structure.protocol(),
        precision=precision,
    )
    words = {key: node[key] for key in ("algorithm", "start", "objective", "seed", "population")}
    limits = {"costs": list(prepared.problem.front), "budgets": [dict(budget) for budget in prepared.problem.budgets]}
    rungs = algorithm.rungs if isinstance(algorithm, SuccessiveHalving) else 1
    counts, size = [prepared.all_images, *(prepared.images // 2**rung for rung in range(rungs))], prepared.scorer.batch_size or 1
    # Earlier versions had a smaller last batch.
    passes = {"passes": "of equal size"} if any(count > size and count % size for count in counts) else {}
    return {**protocol, "all_images": prepared.all_images, **passes, **words, **limits}


def _score(
    prepared: Prepared,
    make_arguments: Callable[[], Mapping[str, Any]],
    parts: Path,
    images: tuple[Tensor, Tensor],
    name: str,
    generation: Generation,
    architectures: Sequence[Architecture],
) -> list[Score]:
    """Scores a generation through the devices of the Trainer, on its share of the images."""
    count = int(generation.share * len(images[1]))
    return rank_to_folder(
        prepared.supernet,
        Population.of(prepared.supernet.space, architectures),
        images[0][:count],
        images[1][:count],
        parts / name / str(generation.number),
        scorer=prepared.scorer,
        trainer_arguments=make_arguments(),
        label=name,
        is_shown=False,
    )


def _fit(predictor: Predictor, supernet: AnyModule, fitted: Sequence[Evaluated], path: Path, seed: int) -> Evaluate:
    """The predictor's function of candidates; writes what is known of it."""
    population = Population.of(supernet.space, (row.architecture for row in fitted))
    scores = [row.score for row in fitted]
    _, prediction = predict(predictor, supernet.structure, population, scores, population, seed)
    if is_rank_zero():
        write_json(path, prediction.to_json())
    function = predictor.fit(supernet.structure, population.widths, np.array([score.cross_entropy for score in scores]))
    return lambda _, architectures: function(np.array([one.widths for one in architectures])).tolist()
