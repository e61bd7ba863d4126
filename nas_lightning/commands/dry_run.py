"""Estimates a run's stages, steps, time and memory from a few measured steps; writes nothing."""

import resource
import time
from collections.abc import Sequence, Set
from pathlib import Path
from typing import NamedTuple

import torch
from tabulate import tabulate
from torch.nn.functional import cross_entropy

from nas_lightning.commands.configs import RankingConfig, TrainConfig
from nas_lightning.commands.network_table import describe_network
from nas_lightning.commands.prepare import Run, make_data
from nas_lightning.commands.ranking import choose_candidates, choose_images, for_the_fit, make_scorer, to_score
from nas_lightning.commands.screen import fitted
from nas_lightning.config.build import Builder
from nas_lightning.data.data_module import Batch, ImageDataModule
from nas_lightning.devices.progress import duration
from nas_lightning.devices.trainer import limited, make_trainer
from nas_lightning.scoring.score import rank_by_image
from nas_lightning.scoring.table import read_parts
from nas_lightning.space import Architecture, Population
from nas_lightning.standalone.side_by_side import Training
from nas_lightning.standalone.train_alone import Recipe
from nas_lightning.standalone.truth import read_accuracies_so_far
from nas_lightning.supernet.cpu_faults import safe_convolutions
from nas_lightning.supernet.families import AnyModule
from nas_lightning.supernet.layers import as_channels_last
from nas_lightning.supernet.traced import TracedSupernet
from nas_lightning.training.run_stages import steps_left
from nas_lightning.training.samplers import Position
from nas_lightning.training.stage import Stage

MEASURED_STEPS = 3
"""Steps after one of warm-up; the candidates differ, so their mean is an estimate."""
MEASURED_CANDIDATES = 10


class _Estimated(NamedTuple):
    """Of a part of a run."""

    lines: list[str]
    seconds: float
    is_begun: bool
    """Whether the run folder holds some of it already, which is left out of the seconds."""


def dry_run(config: TrainConfig, run: Run, run_dir: Path) -> str:
    """A table of the stages, then truth and ranking, with estimated times, and the memory of the measured steps.

    Args:
        run_dir: what it holds of the run already is left out of the times.
    """
    builder = Builder(tuple(config.plugins))
    trainer = make_trainer(builder.build_values(config.trainer, "trainer"))
    device, devices = trainer.strategy.root_device, trainer.world_size
    supernet = run.supernet.to(device, torch.float32)  # no precision is measured
    data = make_data(config, builder, run.dataset, 0)
    batches = limited(data.batches(devices)[0], trainer.limit_train_batches)
    batch = data.on_after_batch_transfer(tuple(part.to(device) for part in next(iter(data.train_dataloader()))), 0)
    left = [steps_left(stage, run_dir, stage.steps(batches)) for stage in run.stages]
    parts = [_stages(run, supernet, batch, batches, left)]
    if run.truth is not None:
        parts.append(_truth(config, run, *run.truth, run_dir, device, devices))
    if config.ranking.enabled:
        scored = set() if any(left) else {*read_parts(run_dir / "ranking/parts", run.space)}  # of other weights, if any are to be trained
        parts.append(_ranking(config.ranking, run, supernet, device, devices, scored))
    head = describe_network(run.supernet.family) if isinstance(run.supernet, TracedSupernet) else []
    lines = [*_describe_images(run), *head, *(line for part in parts for line in part.lines)]
    if any(part.is_begun for part in parts):
        lines.append(f"left out of the times: what {run_dir} holds already")
    total = sum(part.seconds for part in parts)
    lines.append(f"estimated total: {duration(total)}; peak memory so far: {_peak_memory(device)}")
    return "\n".join(lines)


def _stages(run: Run, supernet: AnyModule, batch: Batch, batches: int, left: Sequence[int]) -> _Estimated:
    """The table.

    Args:
        batches: of an epoch.
        left: steps of each stage that are not done.
    """
    rows, total, whole = [], 0.0, [stage.steps(batches) for stage in run.stages]
    for stage, steps, missing in zip(run.stages, whole, left, strict=True):
        seconds = sum(share * _seconds_per_step(stage, supernet, batch, begin) for begin, share in stage.parts) if missing else 0.0
        total += missing * seconds
        passes = len(stage.objective.architectures(stage.sampler.sample(Position(stage.index, 0, 0))))
        only = f" for {missing:,}" if missing < steps else ""
        timing = (f"{seconds * 1000:.0f} ms", f"{duration(missing * seconds)}{only}") if missing else ("", "finished")
        rows.append([stage.name, stage.epochs, stage.sampler.paths, passes, f"{steps:,}", *timing])
    table = tabulate(rows, ["stage", "epochs", "paths", "passes", "steps", "a step", "estimated time"], disable_numparse=True)
    how = f"{MEASURED_STEPS} steps each on {batch[0].device}, batches of {len(batch[1])}"
    return _Estimated([f"Stages, from the forward and backward passes of {how}", table], total, whole != [*left])


def _truth(
    config: TrainConfig, run: Run, alone: Population, recipe: Recipe, run_dir: Path, device: torch.device, devices: int
) -> _Estimated:
    done, processes = read_accuracies_so_far(run_dir / "standalone", alone), config.standalone.processes
    wanted = [Training(candidate, seed) for seed in config.standalone.seeds for candidate in alone]
    left = sum((training.candidate.architecture, training.seed) not in done for training in wanted)
    each = _alone_seconds(alone, recipe, run, processes, device) if left else 0.0
    whole = each * left / (devices * processes)
    at_once = f", {processes} at a time" if processes > 1 else ""
    estimate = f"{left:,} left, {each:.1f} s each{at_once}: {duration(whole)}" if left else "finished"
    line = f"\nstandalone: {len(wanted):,} trainings of {recipe.epochs} epochs, {estimate}"
    return _Estimated([line], whole, left < len(wanted))


def _ranking(
    config: RankingConfig, run: Run, supernet: AnyModule, device: torch.device, devices: int, scored: Set[Architecture]
) -> _Estimated:
    candidates = choose_candidates(config, run.space, run.population)
    to_rank = to_score(config, candidates)
    each, count, images = _ranking_seconds(config, run, to_rank, supernet, device, scored)
    whole = each * count / devices
    at_most = " at most, as cheap_first gives most candidates fewer images" if config.cheap_first else ""
    estimate = f"{each * 1000:.0f} ms each: {duration(whole)}{at_most}" if count else "finished"
    lines = [f"\nranking: {count:,} candidates on {images:,} images, {estimate}", for_the_fit(to_rank, candidates)]
    return _Estimated([line for line in lines if line], whole, bool(scored))


def _describe_images(run: Run) -> list[str]:
    """Both splits, and the candidates."""
    images, space = run.dataset, run.space
    train, test = (len(split.labels) for split in (images.train(), images.test()))
    side = f"{images.classes} classes at {images.resolution}x{images.resolution} pixels"
    lines = [f"images: {images.name}, {train:,} to train on and {test:,} to test on, {side}"]
    lines += [fitted([images.how_split]).lstrip("\n")] if images.how_split else []
    return [*lines, f"space: {space.name}, {space.layers} widths to choose\n"]


def _seconds_per_step(stage: Stage, supernet: AnyModule, batch: Batch, progress: float) -> float:
    supernet.train()
    seconds = 0.0
    for number in range(MEASURED_STEPS + 1):
        paths = stage.sampler.sample(Position(stage.index, 0, number))
        began = time.perf_counter()
        stage.run_passes(supernet, batch, paths, progress, lambda loss, _: loss.backward())
        _wait(batch[0].device)
        seconds += time.perf_counter() - began if number else 0.0
    supernet.zero_grad()
    return seconds / MEASURED_STEPS


def _alone_seconds(alone: Population, recipe: Recipe, run: Run, processes: int, device: torch.device) -> float:
    """Of one training: the mean over the first, the middle and the last candidate of a list in order of cost."""
    data = ImageDataModule(run.dataset, recipe.augmentation, batch_size=recipe.batch_size)
    batch = next(iter(data.train_dataloader()))
    images, labels = data.on_after_batch_transfer(tuple(part.to(device) for part in batch), 0)
    steps, seconds = -(-len(run.dataset.train().labels) // recipe.batch_size), 0.0
    measured = [alone[row] for row in sorted({0, len(alone) // 2, len(alone) - 1})]
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // processes))
    try:
        for candidate in measured:
            network = as_channels_last(recipe.family.alone(candidate.architecture, recipe.norm, 0).train()).to(device)
            optimizer = recipe.optimizer(network.parameters())
            for number in range(MEASURED_STEPS + 1):
                began = time.perf_counter()
                optimizer.zero_grad()
                with safe_convolutions(network, device):
                    cross_entropy(network(images), labels).backward()
                optimizer.step()
                _wait(device)
                seconds += time.perf_counter() - began if number else 0.0
    finally:
        torch.set_num_threads(threads)
    return recipe.epochs * steps * seconds / (MEASURED_STEPS * len(measured))


def _ranking_seconds(
    config: RankingConfig, run: Run, candidates: Population, supernet: AnyModule, device: torch.device, scored: Set[Architecture]
) -> tuple[float, int, int]:
    images, labels = (part.to(device) for part in choose_images(config, run.dataset))
    in_order = sorted(candidates.architectures, key=lambda architecture: architecture.widths)
    first = max(0, (len(in_order) - MEASURED_CANDIDATES) // 2)
    neighbours = in_order[first : first + MEASURED_CANDIDATES]  # which share their first layers, as in a ranking
    scorer = make_scorer(config, run.dataset)
    began = time.perf_counter()
    rank_by_image(supernet, neighbours, images, labels, scorer)
    _wait(device)
    return (time.perf_counter() - began) / len(neighbours), sum(one not in scored for one in candidates.architectures), len(images)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak_memory(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB on {device}"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"
