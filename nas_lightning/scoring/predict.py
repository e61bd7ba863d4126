"""Ranks a list through ``Trainer.predict``: chunks of candidates, images on the device, each chunk written at once."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import BasePredictionWriter
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nas_lightning.devices.progress import Progress, report
from nas_lightning.devices.trainer import end_at_once, make_trainer
from nas_lightning.errors import InputError
from nas_lightning.runs.writing import write_atomically
from nas_lightning.scoring.score import Scorer, rank_by_image
from nas_lightning.scoring.table import Score, part_path, read_parts, write_part
from nas_lightning.space import Architecture, Candidate, Population
from nas_lightning.supernet.families import AnyModule
from nas_lightning.supernet.tensor_files import Damaged, read_safetensors

Chunk = tuple[int, list[Candidate]]
Prediction = tuple[list[Score], Tensor]


def rank_to_folder(
    supernet: AnyModule,
    population: Population,
    images: Tensor,
    labels: Tensor,
    folder: Path,
    *,
    scorer: Scorer,
    trainer_arguments: Mapping[str, Any],
    keep_losses: bool = False,
    label: str = "ranking",
    shard: str = "",
    is_shown: bool = True,
) -> list[Score]:
    """The scores in the list's order; skips rows that ``folder`` holds already.

    Args:
        images: (n, channels, H, W), normalised.
        labels: (n,) integers.
        folder: receives a file for each finished chunk.
        trainer_arguments: of pl.Trainer.
        keep_losses: also writes the losses for ``read_losses``.
        label: name of the progress bar.
        shard: name of this part of the ranking, written to a folder of its own; rows of other parts are skipped too.
        is_shown: False shows no progress: this is a small part of a longer work.
    """
    done = read_parts(folder, population.space)
    # Sorted, so that neighbours share their first layers.
    ordered = sorted(set(population), key=lambda candidate: candidate.architecture.widths)
    missing = [number for number, candidate in enumerate(ordered) if candidate.architecture not in done]
    if missing:
        trainer = make_trainer(
            trainer_arguments,
            callbacks=[
                _PartWriter(folder / shard, keep_losses),
                _RankingProgress(label, len(ordered), len(ordered) - len(missing), is_shown),
            ],
            default_root_dir=folder,
            enable_checkpointing=False,
            use_distributed_sampler=True,  # for prediction it splits chunks without padding or repeating
        )
        chunks: list[Chunk] = [
            (run[0], [ordered[number] for number in run])
            for run in _runs(missing, _even(scorer.chunk_size, len(missing), trainer.world_size))
        ]
        chunks += [(len(ordered), [])] * (trainer.world_size - len(chunks))  # every process needs one
        # Indices, not chunks: Lightning searches a batch for tensors, and fails on candidates in double precision.
        loader = DataLoader(cast(Dataset[int], range(len(chunks))), batch_size=None)
        module = _Ranking(supernet, chunks, images, labels, scorer)
        dtype = next(supernet.parameters()).dtype
        trainer.predict(module, loader, return_predictions=False)
        supernet.to(dtype)  # precision=64-true leaves the weights in double precision
        trainer.strategy.barrier()
        done = read_parts(folder, population.space)
    lost = [candidate for candidate in ordered if candidate.architecture not in done]
    if lost:
        raise InputError(f"{folder}: lacks the scores of {lost[0].name} ({len(lost)} candidates in all); do all processes see this folder?")
    return [done[candidate.architecture] for candidate in population]


def read_losses(folder: Path, architectures: Sequence[Architecture]) -> npt.NDArray[np.float32]:
    """(n, images) cross entropies that ``rank_to_folder`` kept of these candidates.

    Raises:
        InputError: if a file is damaged, or a candidate's losses are missing or of another number of images.
    """
    by_architecture: dict[Architecture, npt.NDArray[np.float32]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            by_architecture.update({Architecture.parse(key): losses.float().numpy() for key, losses in read_safetensors(path)[1].items()})
        except (Damaged, ValueError) as error:
            raise InputError(f"{path}: does not hold the losses of candidates ({error}); remove the folder to rank again") from None
    missing = [architecture for architecture in architectures if architecture not in by_architecture]
    if missing:
        raise InputError(f"{folder}: lacks the losses of {missing[0]} ({len(missing)} candidates in all); remove the folder to rank again")
    rows = [by_architecture[architecture] for architecture in architectures]
    if len({row.shape for row in rows}) != 1 or rows[0].ndim != 1 or not all(np.isfinite(row).all() for row in rows):
        raise InputError(f"{folder}: holds losses that are not one finite number an image; remove the folder to rank again")
    return np.stack(rows)


def _write_losses(folder: Path, start: int, candidates: Sequence[Candidate], losses: Tensor) -> None:
    path = part_path(folder, str(start), ".safetensors")
    rows = {str(candidate.architecture): row.clone() for candidate, row in zip(candidates, losses.cpu(), strict=True)}
    write_atomically(path, lambda temporary: temporary.write_bytes(save(rows)))


def _even(chunk_size: int, count: int, processes: int) -> int:
    """The largest chunk size, up to ``chunk_size``, that gives every one of several processes equally many chunks."""
    return chunk_size if processes == 1 else -(-count // (processes * -(-count // (processes * chunk_size))))


def _runs(numbers: Sequence[int], longest: int) -> list[list[int]]:
    """Ascending numbers cut into runs without gaps, none longer than ``longest``."""
    runs: list[list[int]] = []
    for number in numbers:
        if not runs or runs[-1][-1] + 1 != number or len(runs[-1]) == longest:
            runs.append([])
        runs[-1].append(number)
    return runs


class _Ranking(pl.LightningModule):
    def __init__(self, supernet: AnyModule, chunks: Sequence[Chunk], images: Tensor, labels: Tensor, scorer: Scorer) -> None:
        super().__init__()
        self.supernet, self.chunks, self.scorer = supernet, chunks, scorer
        self.images: Tensor
        self.labels: Tensor
        self.register_buffer("images", images, persistent=False)
        self.register_buffer("labels", labels, persistent=False)

    def predict_step(self, number: int, _: int) -> Prediction:
        architectures = [candidate.architecture for candidate in self.chunks[number][1]]
        if not architectures:
            return [], self.images.new_empty(0, len(self.images))
        return rank_by_image(self.supernet, architectures, self.images, self.labels, self.scorer)


class _PartWriter(BasePredictionWriter):
    def __init__(self, folder: Path, keep_losses: bool) -> None:
        super().__init__(write_interval="batch")
        self.folder, self.keep_losses = folder, keep_losses

    def write_on_batch_end(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: pl.LightningModule,
        prediction: Prediction,
        batch_indices: Sequence[int] | None,  # noqa: ARG002
        batch: int,
        *_: Any,
    ) -> None:
        scores, losses = prediction
        start, candidates = cast(_Ranking, pl_module).chunks[batch]
        if not candidates:
            return
        if self.keep_losses:  # first: a row of the part marks its candidate as finished
            _write_losses(self.folder, start, candidates, losses)
        halves = torch.stack([losses[:, first::2].mean(dim=1, dtype=torch.float64) for first in (0, 1)], dim=1)
        write_part(self.folder, start, candidates, scores, halves.tolist())


class _RankingProgress(pl.Callback):
    def __init__(self, label: str, total: int, done: int, is_shown: bool) -> None:
        self.label, self.total, self.done, self.is_shown = label, total, done, is_shown
        self.progress = Progress(label, total, done, "candidates", is_shown=False)

    def on_predict_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        end_at_once(trainer)  # finished rows are on disk
        self.began = time.monotonic()
        self.progress = Progress(self.label, self.total, self.done, "candidates", trainer.is_global_zero and self.is_shown)

    def on_predict_batch_end(self, trainer: pl.Trainer, _: pl.LightningModule, outputs: Prediction, *__: Any) -> None:
        self.progress.advance(len(outputs[0]) * trainer.world_size)

    def on_exception(self, trainer: pl.Trainer, _: pl.LightningModule, __: BaseException) -> None:  # noqa: ARG002
        self.progress.close()  # the error is printed below it

    def on_predict_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        self.progress.close()
        trainer.strategy.barrier()  # the slowest process counts
        seconds, count = time.monotonic() - self.began, self.total - self.done
        if trainer.is_global_zero and self.is_shown:
            report(f"{self.label}: {count:,} candidates in {seconds:.1f} s, {count / seconds:.3g} a second")
