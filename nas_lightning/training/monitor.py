"""A few fixed candidates, evaluated while a stage trains: an early look at the ranking."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from nas_lightning.space import Architecture
from nas_lightning.supernet.families import AnyModule

FEWEST = 3
"""Minimum number of candidates with a known accuracy for a rank correlation."""


class ProbeSet(nn.Module):
    """Accumulates the accuracy and loss of candidates over batches of held-out images.

    Args:
        architectures: candidates by name.
        classes: of the images.
        known: accuracies, fractions, of candidates of the panel by name; only compared with, never trained on.
    """

    def __init__(self, architectures: Mapping[str, Architecture], classes: int, known: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.architectures, self.known = dict(architectures), dict(known or {})
        self.accuracy = nn.ModuleDict({name: accuracies(classes) for name in architectures})
        self.loss = nn.ModuleDict({name: MeanMetric() for name in architectures})

    @property
    def logged(self) -> list[str]:
        """The keys that ``compute`` may have."""
        keys = [f"{name}/{key}" for name in self.architectures for key in ("top1", "top5", "cross_entropy")]
        return [*keys, "panel/kendall"] if len(self.known) >= FEWEST else keys

    @torch.no_grad()
    def update(self, supernet: AnyModule, images: Tensor, labels: Tensor) -> None:
        """Evaluates every candidate on one batch, (batch, channels, H, W) and (batch,)."""
        for name, architecture in self.architectures.items():
            logits = supernet(images, architecture)
            cast(MetricCollection, self.accuracy[name]).update(logits, labels)
            cast(MeanMetric, self.loss[name]).update(F.cross_entropy(logits, labels), weight=len(labels))

    def compute(self) -> dict[str, float]:
        """Accuracies and cross entropy of each candidate, and ``panel/kendall``, over all batches since the last call.

        ``panel/kendall`` is the tau-b of negative cross entropies and known accuracies, left out if either is constant.
        """
        metrics: dict[str, float] = {}
        for name in self.architectures:
            accuracy, loss = cast(MetricCollection, self.accuracy[name]), cast(MeanMetric, self.loss[name])
            metrics |= {f"{name}/{key}": float(value) for key, value in accuracy.compute().items()}
            metrics[f"{name}/cross_entropy"] = float(loss.compute())
            accuracy.reset()
            loss.reset()
        if len(self.known) >= FEWEST:
            losses = np.array([metrics[f"{name}/cross_entropy"] for name in self.known])
            tau = stats.kendalltau(-losses, np.array(list(self.known.values()))).statistic
            if np.isfinite(tau):
                metrics["panel/kendall"] = float(tau)
        return metrics


def accuracies(classes: int) -> MetricCollection:
    """Top-1 and top-5, fractions."""
    return MetricCollection(
        {f"top{k}": MulticlassAccuracy(classes, top_k=min(k, classes), average="micro", validate_args=False) for k in (1, 5)},
        compute_groups=False,
    )
