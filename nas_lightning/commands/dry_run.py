"""Estimates a run's stages, steps, time and memory from a few measured steps; writes nothing."""

import resource
import time

import torch
from tabulate import tabulate

from nas_lightning.commands.configs import RankingConfig, TrainConfig
from nas_lightning.commands.network_table import describe_network
from nas_lightning.commands.prepare import Run, make_data
from nas_lightning.commands.ranking import choose_candidates, choose_images, make_scorer, to_score
from nas_lightning.config.build import Builder
from nas_lightning.data.data_module import Batch
from nas_lightning.devices.progress import duration
from nas_lightning.devices.trainer import limited, make_trainer
from nas_lightning.scoring.score import rank_by_image
from nas_lightning.supernet.families import AnyModule
from nas_lightning.supernet.traced import TracedSupernet
from nas_lightning.training.samplers import Position
from nas_lightning.training.stage import Stage

MEASURED_STEPS = 3
"""Steps after one of warm-up; the candidates differ, so their mean is an estimate."""
MEASURED_CANDIDATES = 10


def dry_run(config: TrainConfig, run: Run) -> str:
    """A table of the stages and the ranking with estimated times, and the memory of the measured steps."""
    builder = Builder(tuple(config.plugins))
    trainer = make_trainer(builder.build_values(config.trainer, "trainer"))
    device, devices = trainer.strategy.root_device, trainer.world_size
    supernet = run.supernet.to(device, torch.float32)  # no precision is measured
    data = make_data(config, builder, run.dataset, 0)
    batches = limited(data.batches(devices)[0], trainer.limit_train_batches)
    batch = data.on_after_batch_transfer(tuple(part.to(device) for part in next(iter(data.train_dataloader()))), 0)
    rows, total = [], 0.0
    for stage in run.stages:
        seconds = sum(share * _seconds_per_step(stage, supernet, batch, begin) for begin, share in stage.parts)
        steps = stage.steps(batches)
        total += steps * seconds
        passes = len(stage.objective.architectures(stage.sampler.sample(Position(stage.index, 0, 0))))
        timing = (f"{seconds * 1000:.0f} ms", duration(steps * seconds))
        rows.append([stage.name, stage.epochs, stage.sampler.paths, passes, f"{steps:,}", *timing])
    table = tabulate(rows, ["stage", "epochs", "paths", "passes", "steps", "a step", "estimated time"], disable_numparse=True)
    head = describe_network(run.supernet.family) if isinstance(run.supernet, TracedSupernet) else []
    lines = [
        *head,
        f"Stages, from the forward and backward passes of {MEASURED_STEPS} steps each on {device}, batches of {len(batch[1])}",
        table,
    ]
    if config.ranking.enabled:
        seconds, count, images = _ranking_seconds(config.ranking, run, supernet, device)
        total += seconds * count / devices
        estimate = duration(seconds * count / devices)
        at_most = " at most, as cheap_first gives most candidates fewer images" if config.ranking.cheap_first else ""
        lines.append(f"\nranking: {count:,} candidates on {images:,} images, {seconds * 1000:.0f} ms each: {estimate}{at_most}")
    if run.truth is not None:
        alone, recipe = run.truth
        lines.append(f"standalone: {len(alone) * len(config.standalone.seeds)} trainings of {recipe.epochs} epochs, not measured")
    lines.append(f"total of what was measured: {duration(total)}; peak memory so far: {_peak_memory(device)}")
    return "\n".join(lines)


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


def _ranking_seconds(config: RankingConfig, run: Run, supernet: AnyModule, device: torch.device) -> tuple[float, int, int]:
    candidates = to_score(config, choose_candidates(config, run.space, run.population))
    images, labels = (part.to(device) for part in choose_images(config, run.dataset))
    in_order = sorted(candidates.architectures, key=lambda architecture: architecture.widths)
    first = max(0, (len(in_order) - MEASURED_CANDIDATES) // 2)
    neighbours = in_order[first : first + MEASURED_CANDIDATES]  # which share their first layers, as in a ranking
    scorer = make_scorer(config, run.dataset)
    began = time.perf_counter()
    rank_by_image(supernet, neighbours, images, labels, scorer)
    _wait(device)
    return (time.perf_counter() - began) / len(neighbours), len(candidates), len(images)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak_memory(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB on {device}"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"
