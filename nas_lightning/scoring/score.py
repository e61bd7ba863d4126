"""The score of a candidate: how well its slice of the supernet does on fixed images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nas_lightning.config.fields import made, number
from nas_lightning.devices.precision import exact_float32
from nas_lightning.errors import InputError
from nas_lightning.scoring.bn_recalibration import Recalibration
from nas_lightning.scoring.prefix_walk import walk_prefixes
from nas_lightning.scoring.table import Score
from nas_lightning.space import Architecture
from nas_lightning.supernet.cpu_kernels import at_least_float32
from nas_lightning.supernet.families import AnyModule
from nas_lightning.supernet.interface import AnySupernet


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """How candidates are scored; its keys are among those of ``ranking``.

    With batch statistics, ``batch_size`` is part of what a score means. Shared first layers are computed once, which
    changes a score only by rounding.
    """

    batch_size: int | None = number(None, least=1)
    """Most images per pass, whose statistics the norms use; passes are of equal size, or differ by one. None takes all images
    in one, the original protocol."""
    prefix_memory: float = number(1.0, least=0)
    """GiB per device for features that candidates share; with less, more is recomputed; with 0, nothing is shared."""
    chunk_size: int = number(50, least=1)
    """Candidates between two writes to disk."""
    recalibration: Recalibration | None = made(None)
    """Source of the norms' statistics instead of the supernet's own. Then the batch size does not affect a score, but
    the training images run again with each batch, and candidates share nothing."""


def score_candidates(
    supernet: AnyModule,
    architectures: Sequence[Architecture],
    images: Tensor,
    labels: Tensor,
    batch_size: int | None = None,
    **settings: Any,
) -> list[Score]:
    """The scores of candidates, in the given order, computed on the images' device.

    Args:
        images: (n, channels, H, W), normalised, in fixed order.
        labels: (n,) integers.
        batch_size: as ``Scorer``'s.
        settings: other fields of ``Scorer``.

    Raises:
        InputError: if an architecture is not in the supernet's space, or a score is not finite.
    """
    return rank_by_image(supernet, architectures, images, labels, Scorer(batch_size=batch_size, **settings))[0]


@exact_float32()
@torch.inference_mode()
def rank_by_image(
    supernet: AnyModule, architectures: Sequence[Architecture], images: Tensor, labels: Tensor, scorer: Scorer
) -> tuple[list[Score], Tensor]:
    """As ``score_candidates``, and the cross entropy of every image: (candidates, n), in nats, on the images' device."""
    ordered = sorted(set(architectures), key=lambda architecture: architecture.widths)
    for architecture in ordered:
        supernet.space.check(architecture)
    walked: AnySupernet[Any] = supernet.to(images.device).eval()
    batches = -(-len(images) // (scorer.batch_size or len(images)))
    sums = torch.zeros(len(ordered), len(Score._fields), dtype=torch.float64, device=images.device)
    losses = torch.empty(len(ordered), len(images), device=images.device)
    parts = (images.tensor_split(batches), labels.tensor_split(batches), losses.tensor_split(batches, dim=1))
    for batch, wanted, part in zip(*parts, strict=True):
        if scorer.recalibration is None:
            walk = walk_prefixes(walked, ordered, walked.begin(batch), int(scorer.prefix_memory * 2**30))
        else:
            walk = scorer.recalibration.logits(supernet, ordered, batch)
        for row, by_image, logits in zip(sums, part, walk, strict=True):
            logits = at_least_float32(logits)
            loss = F.cross_entropy(logits, wanted, reduction="none")
            row += _sums(logits, wanted, loss)
            by_image.copy_(loss)
    # Read once for all candidates, so that a GPU never waits for the CPU in between.
    scores = {architecture: Score(*row) for architecture, row in zip(ordered, (sums / len(images)).tolist(), strict=True)}
    rows = {architecture: row for row, architecture in enumerate(ordered)}
    for architecture, score in scores.items():
        if not all(map(math.isfinite, score)):
            raise InputError(f"checkpoint: the score of {architecture} is not finite; the supernet's weights have diverged")
    return [scores[architecture] for architecture in architectures], losses[[rows[architecture] for architecture in architectures]]


def score(supernet: AnyModule, architecture: Architecture, images: Tensor, labels: Tensor, batch_size: int | None = None) -> Score:
    """The score of one candidate; arguments as for ``score_candidates``."""
    return score_candidates(supernet, [architecture], images, labels, batch_size)[0]


def _sums(logits: Tensor, labels: Tensor, losses: Tensor) -> Tensor:
    """The fields of Score summed over the images, (3,) float64; ``losses`` are the images' cross entropies."""
    hits = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
    return torch.stack([hits[:, 0].sum(), hits.sum(), losses.double().sum()]).double()
