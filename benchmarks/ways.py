"""The two ways that are compared, each in a process of its own: the plain one and ours, with the same methods."""

import time
from abc import ABC, abstractmethod
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn import functional as F

from benchmarks.masked_network import MaskedNetwork
from nas_lightning.scoring.score import score_candidates
from nas_lightning.space import Architecture, Population, SearchSpace
from nas_lightning.supernet import Supernet
from nas_lightning.training.objectives import CrossEntropy, InplaceDistillation
from nas_lightning.training.samplers import Position, UniformSampler

ROOT = Path(__file__).parents[1]
CLASSES, BATCH, PATHS, IMAGES = 100, 128, 6, 500
HARD, SOFT = 0.5, 2.0
"""Weights of the losses of a distillation step (method.md, Recipe)."""


def track1() -> SearchSpace:
    """The challenge's space, as it is shipped."""
    node = dict(OmegaConf.load(ROOT / "conf/space/resnet20_track1.yaml"))
    del node["_target_"]
    return SearchSpace(**node)


def ranked_rows(count: int = 100) -> list[Architecture]:
    """Neighbours out of 50,000 codes drawn with seed 0 and sorted: rows 25,000 and following."""
    return _sorted_codes()[25_000 : 25_000 + count]


@cache
def _sorted_codes() -> list[Architecture]:
    return sorted(Population.draw(track1(), 50_000, 0).architectures, key=lambda architecture: architecture.widths)


def step_paths(space: SearchSpace, step: int, count: int = PATHS) -> list[Architecture]:
    """The candidates of a training step."""
    return UniformSampler(space, 0, count).sample(Position(0, 0, step))


@cache
def drawn_images(count: int) -> tuple[Tensor, Tensor]:
    """Normalised noise in the shape of CIFAR-100, and labels: what an image shows costs no time."""
    draw = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, 32, 32, generator=draw), torch.randint(CLASSES, (count,), generator=draw)


class Way(ABC):
    """What both ways share: weights, images, candidates, optimizer."""

    def __init__(self) -> None:
        self.space = track1()
        self.supernet = Supernet(self.space, CLASSES, seed=0)
        self.optimizer = torch.optim.SGD(self.supernet.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
        self.images, self.labels = drawn_images(BATCH)

    def reset(self) -> None:
        """Back to the initial weights: both ways have taken different numbers of steps."""
        self.supernet.load_state_dict(Supernet(self.space, CLASSES, seed=0).state_dict())

    def gemm(self) -> float:
        """GFLOP/s of large matrix products: the best of several shapes."""
        best = 0.0
        for size in (1024, 2048, 3072):
            first, second = torch.randn(size, size), torch.randn(size, size)
            for _ in range(4):
                began = time.perf_counter()
                first @ second
                best = max(best, 2 * size**3 / (time.perf_counter() - began) / 1e9)
        return best

    def logits_and_gradients(self) -> list[np.ndarray]:
        """In double precision, on a few images: what both ways must agree on."""
        network = self.supernet.double()
        network.zero_grad()
        images, labels = self.images[:5].double(), self.labels[:5]
        found = []
        for architecture in [self.space.smallest, self.space.largest, *step_paths(self.space, 0, 2)]:
            logits = self.forward(images, architecture)
            F.cross_entropy(logits, labels).backward()
            found.append(logits.detach().numpy())
        found += [parameter.grad.numpy().copy() for parameter in network.parameters() if parameter.grad is not None]
        network.zero_grad()
        network.float()
        return found

    @abstractmethod
    def forward(self, images: Tensor, architecture: Architecture) -> Tensor:
        """The logits of one candidate."""


class Plain(Way):
    """Full-width convolution, batch norm and a mask of 0 and 1, one candidate at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.network = MaskedNetwork(self.supernet)

    def forward(self, images: Tensor, architecture: Architecture) -> Tensor:
        return self.network(images, architecture)

    def training_step(self, step: int, count: int = PATHS) -> None:
        self.optimizer.zero_grad()
        for architecture in step_paths(self.space, step, count):
            F.cross_entropy(self.network(self.images, architecture), self.labels).backward()
        self.optimizer.step()

    def distillation_step(self, step: int) -> None:
        """Twelve passes: the teacher anew for each path."""
        self.optimizer.zero_grad()
        for architecture in step_paths(self.space, step):
            student, teacher = self.network(self.images, architecture), self.network(self.images, self.space.largest)
            hard = F.cross_entropy(student, self.labels) + F.cross_entropy(teacher, self.labels)
            soft = -(teacher.detach().softmax(1) * student.log_softmax(1)).sum(1).mean()
            (HARD * hard + SOFT * soft).backward()
        self.optimizer.step()

    @torch.inference_mode()
    def ranking(self, first: int, count: int, images: int = IMAGES) -> list[tuple[float, float]]:
        """Top-1 and cross entropy of some of the rows."""
        self.supernet.eval()
        inputs, labels = drawn_images(images)
        scores = []
        for architecture in ranked_rows(first + count)[first:]:
            logits = self.network(inputs, architecture)
            scores.append((float((logits.argmax(1) == labels).float().mean()), float(F.cross_entropy(logits, labels))))
        self.supernet.train()
        return scores


class Ours(Way):
    """nas_lightning."""

    def forward(self, images: Tensor, architecture: Architecture) -> Tensor:
        return self.supernet(images, architecture)

    def training_step(self, step: int, count: int = PATHS) -> None:
        self._step(CrossEntropy(), step, count)

    def distillation_step(self, step: int) -> None:
        self._step(InplaceDistillation(self.space, HARD, SOFT), step, PATHS)

    def _step(self, objective: Any, step: int, count: int) -> None:
        self.optimizer.zero_grad()
        for one in objective(self.supernet, self.images, self.labels, step_paths(self.space, step, count)):
            one.loss.backward()
        self.optimizer.step()

    def ranking(self, first: int, count: int, images: int = IMAGES) -> list[tuple[float, float]]:
        scores = score_candidates(self.supernet, ranked_rows(first + count)[first:], *drawn_images(images))
        self.supernet.train()
        return [(one.top1, one.cross_entropy) for one in scores]


def serve(connection: Any, way: str, threads: int) -> None:
    """Runs in a process of its own: calls methods by name, and sends back how long each took and what came out."""
    torch.set_num_threads(threads)
    worker = {"plain": Plain, "ours": Ours}[way]()
    while True:
        try:
            name, arguments = connection.recv()
        except EOFError:  # who asked has stopped
            return
        began = time.perf_counter()
        result = getattr(worker, name)(*arguments)
        connection.send((time.perf_counter() - began, result))
