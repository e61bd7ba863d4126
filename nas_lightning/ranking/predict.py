"""Ranks a whole list through ``Trainer.predict``: chunks of candidates, the images resident, finished rows written at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
from pytorch_lightning.callbacks import BasePredictionWriter
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from nas_lightning.ranking.score import Score, rank
from nas_lightning.ranking.table import read_parts, write_part
from nas_lightning.space import Candidate, Population
from nas_lightning.supernet import Supernet
from nas_lightning.trainer import make_trainer

Chunk = tuple[int, list[Candidate]]


def rank_to_folder(
    supernet: Supernet,
    population: Population,
    images: Tensor,
    labels: Tensor,
    folder: Path,
    *,
    batch_size: int | None,
    prefix_memory: float,
    chunk_size: int,
    trainer_arguments: Mapping[str, Any],
    label: str = "ranking",
) -> list[Score]:
    """The scores in the list's order; rows that ``folder`` holds already are not computed again.

    Args:
        images: (n, channels, H, W), normalised.
        labels: (n,) integers.
        folder: receives a file for each finished chunk.
        batch_size: images a pass; None takes all in one.
        prefix_memory: GiB that features shared by candidates may take, per device.
        chunk_size: candidates a chunk, and a file.
        trainer_arguments: of pl.Trainer.
        label: what the progress bar is called.
    """
    done = read_parts(folder, population.space)
    # Sorted, so that neighbours share their first layers.
    ordered = sorted(set(population), key=lambda candidate: candidate.architecture.widths)
    missing = [number for number, candidate in enumerate(ordered) if candidate.architecture not in done]
    if missing:
        chunks = [(run[0], [ordered[number] for number in run]) for run in _runs(missing, chunk_size)]
        trainer = make_trainer(
            trainer_arguments,
            callbacks=[_PartWriter(folder), _RankingProgress(label, len(ordered), len(ordered) - len(missing))],
            default_root_dir=folder,
            enable_checkpointing=False,
            use_distributed_sampler=True,  # in prediction it deals out chunks without padding or repeating
        )
        loader = DataLoader(cast(Dataset[Chunk], chunks), batch_size=None)
        trainer.predict(_Ranking(supernet, images, labels, batch_size, prefix_memory), loader, return_predictions=False)
        trainer.strategy.barrier()
        done = read_parts(folder, population.space)
    return [done[candidate.architecture] for candidate in population]


def _runs(numbers: Sequence[int], longest: int) -> list[list[int]]:
    """Ascending numbers cut into runs without gaps, none longer than ``longest``."""
    runs: list[list[int]] = []
    for number in numbers:
        if not runs or runs[-1][-1] + 1 != number or len(runs[-1]) == longest:
            runs.append([])
        runs[-1].append(number)
    return runs


class _Ranking(pl.LightningModule):
    def __init__(self, supernet: Supernet, images: Tensor, labels: Tensor, batch_size: int | None, prefix_memory: float) -> None:
        super().__init__()
        self.supernet, self.batch_size, self.prefix_memory = supernet, batch_size, prefix_memory
        self.images: Tensor
        self.labels: Tensor
        self.register_buffer("images", images, persistent=False)
        self.register_buffer("labels", labels, persistent=False)

    def predict_step(self, chunk: Chunk, _: int) -> list[Score]:
        architectures = [one.architecture for one in chunk[1]]
        return rank(self.supernet, architectures, self.images, self.labels, self.batch_size, self.prefix_memory)

    def transfer_batch_to_device(self, batch: Chunk, *_: Any) -> Chunk:
        return batch  # candidates are values, not tensors


class _PartWriter(BasePredictionWriter):
    def __init__(self, folder: Path) -> None:
        super().__init__(write_interval="batch")
        self.folder = folder

    def write_on_batch_end(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: pl.LightningModule,  # noqa: ARG002
        prediction: Sequence[Score],
        batch_indices: Sequence[int] | None,  # noqa: ARG002
        batch: Chunk,
        *_: Any,
    ) -> None:
        write_part(self.folder, batch[0], batch[1], prediction)


class _RankingProgress(pl.Callback):
    def __init__(self, label: str, total: int, done: int) -> None:
        self.label, self.total, self.done = label, total, done

    def on_predict_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        self.bar = tqdm(
            total=self.total,
            initial=self.done,
            desc=self.label,
            unit="arch",
            disable=None if trainer.is_global_zero else True,
            dynamic_ncols=True,
            leave=False,
        )

    def on_predict_batch_end(self, trainer: pl.Trainer, _: pl.LightningModule, outputs: Sequence[Score], *__: Any) -> None:
        self.bar.update(len(outputs) * trainer.world_size)

    def on_predict_end(self, *_: Any) -> None:
        self.bar.close()
