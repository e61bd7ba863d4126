"""Estimates a run's stages, steps, time and memory from a few measured steps; writes nothing."""

import resource
import time
from collections.abc import Set
from pathlib import Path

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
from nas_lightning.supernet.families import AnyModule
from nas_lightning.supernet.traced import TracedSupernet
from nas_lightning.training.run_stages import steps_left
from nas_lightning.training.samplers import Position
from nas_lightning.training.stage import Stage

MEASURED_STEPS = 3
"""Steps after one of warm-up; the candidates differ, so their mean is an estimate."""
MEASURED_CANDIDATES = 10


def dry_run(config: TrainConfig, run: Run, run_dir: Path) -> str:
    """A table of the stages, then truth and ranking, with estimated times, and the memory of the measured steps.

    Args:
        run_dir: what it holds of the run already is left out of the times.
    """
    builder = Builder(tuple(config.plugins))
    arguments = builder.build_values(config.trainer, "trainer")
    trainer = make_trainer(arguments)
    device, devices = trainer.strategy.root_device, trainer.world_size
    supernet = run.supernet.to(device, torch.float32)  # no precision is measured
    data = make_data(config, builder, run.dataset, 0)
    batches = limited(data.batches(devices)[0], trainer.limit_train_batches)
    batch = data.on_after_batch_transfer(tuple(part.to(device) for part in next(iter(data.train_dataloader()))), 0)
    rows, total, kept, waits = [], 0.0, False, False
    for stage in run.stages:
        steps = stage.steps(batches)
        left = steps_left(stage, run_dir, steps)
        kept, waits = kept or left < steps, waits or left > 0
        seconds = sum(share * _seconds_per_step(stage, supernet, batch, begin) for begin, share in stage.parts) if left else 0.0
        total += left * seconds
        passes = len(stage.objective.architectures(stage.sampler.sample(Position(stage.index, 0, 0))))
        only = f" for {left:,}" if left < steps else ""
        timing = (f"{seconds * 1000:.0f} ms", f"{duration(left * seconds)}{only}") if left else ("", "finished")
        rows.append([stage.name, stage.epochs, stage.sampler.paths, passes, f"{steps:,}", *timing])
    table = tabulate(rows, ["stage", "epochs", "paths", "passes", "steps", "a step", "estimated time"], disable_numparse=True)
    head = describe_network(run.supernet.family) if isinstance(run.supernet, TracedSupernet) else []
    measured = f"Stages, from the forward and backward passes of {MEASURED_STEPS} steps each on {device}, batches of {len(batch[1])}"
    lines = [*_describe_images(run), *head, measured, table]
    if run.truth is not None:
        alone, recipe = run.truth
        done = read_accuracies_so_far(run_dir / "standalone", alone)
        wanted = [Training(candidate, seed) for seed in config.standalone.seeds for candidate in alone]
        left = sum((training.candidate.architecture, training.seed) not in done for training in wanted)
        kept = kept or left < len(wanted)
        seconds = _alone_seconds(alone, recipe, run, config.standalone.processes, device) if left else 0.0
        whole = seconds * left / (devices * config.standalone.processes)
        total += whole
        at_once = f", {config.standalone.processes} at a time" if config.standalone.processes > 1 else ""
        estimate = f"{left:,} left, {seconds:.1f} s each{at_once}: {duration(whole)}" if left else "finished"
        lines.append(f"\nstandalone: {len(wanted):,} trainings of {recipe.epochs} epochs, {estimate}")
    if config.ranking.enabled:
        scored = {} if waits else read_parts(run_dir / "ranking/parts", run.space)
        kept = kept or bool(scored)
        candidates = choose_candidates(config.ranking, run.space, run.population)
        to_rank = to_score(config.ranking, candidates)
        seconds, count, images = _ranking_seconds(config.ranking, run, to_rank, supernet, device, set(scored))
        total += seconds * count / devices
        at_most = " at most, as cheap_first gives most candidates fewer images" if config.ranking.cheap_first else ""
        estimate = f"{seconds * 1000:.0f} ms each: {duration(seconds * count / devices)}{at_most}" if count else "finished"
        lines.append(f"\nranking: {count:,} candidates on {images:,} images, {estimate}")
        if others := for_the_fit(to_rank, candidates):
            lines.append(others)
    if kept:
        lines.append(f"left out of the times: what {run_dir} holds already")
    lines.append(f"estimated total: {duration(total)}; peak memory so far: {_peak_memory(device)}")
    return "\n".join(lines)


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
            network = recipe.family.alone(candidate.architecture, recipe.norm, 0).train().to(memory_format=torch.channels_last).to(device)
            optimizer = recipe.optimizer(network.parameters())
            for number in range(MEASURED_STEPS + 1):
                began = time.perf_counter()
                optimizer.zero_grad()
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
