"""``python -m benchmarks.gpu --json FILE``: a training step, a whole training and a ranking on one CUDA GPU, as ratios to the plain way.

The ways of a row take turns within each round, in one process, and their gradients are compared first, in the row's precision.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from tabulate import tabulate
from torch import Tensor
from torch.nn import functional as F

from benchmarks.__main__ import machine
from benchmarks.masked_network import MaskedNetwork
from benchmarks.ways import BATCH, CLASSES, HARD, PATHS, SOFT, drawn_images, ranked_rows, step_paths, track1
from nas_lightning.data import Augmentation, Cutout, ImageDataset, RandomCrop, RandomHorizontalFlip, RandomRotation
from nas_lightning.data.data_module import ImageDataModule
from nas_lightning.devices.precision import exact_float32
from nas_lightning.devices.trainer import make_trainer
from nas_lightning.scoring.score import Scorer, rank_by_image
from nas_lightning.supernet import Supernet, recorded
from nas_lightning.training import passes
from nas_lightning.training.module import SupernetTraining
from nas_lightning.training.objectives import CrossEntropy, InplaceDistillation, Objective
from nas_lightning.training.passes import Batched, PathExecution, Sequential
from nas_lightning.training.samplers import UniformSampler
from nas_lightning.training.schedules import Cosine
from nas_lightning.training.stage import Stage

PRECISIONS = ("float32", "tf32", "bf16")
STEPS = 10
"""Of one way in one round."""


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Exact float32, PyTorch's default for convolutions, or mixed with bfloat16."""
    exact = exact_float32() if name == "float32" else nullcontext()
    with exact, torch.autocast("cuda", torch.bfloat16, enabled=name == "bf16"):
        yield


class BatchedPlainly(Batched):
    """Without a recording."""

    def losses(self, *arguments: Any) -> Any:
        before, passes.recorded_forward = passes.recorded_forward, passes.batched_forward
        try:
            yield from super().losses(*arguments)
        finally:
            passes.recorded_forward = before


EXECUTIONS: dict[str, PathExecution] = {"sequential": Sequential(), "batched": BatchedPlainly(), "batched, recorded": Batched()}


class Steps:
    """Training steps of each way on one supernet."""

    def __init__(self, objective: Objective) -> None:
        self.space = track1()
        self.supernet = Supernet(self.space, CLASSES, seed=0).cuda()
        self.plain = MaskedNetwork(self.supernet)
        self.optimizer = torch.optim.SGD(self.supernet.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
        self.batch = tuple(part.cuda() for part in drawn_images(BATCH))
        self.objective = objective
        self.ways: dict[str, Callable[[int], None]] = {"plain": self.plainly}
        self.ways |= {name: partial(self.ours, execution) for name, execution in EXECUTIONS.items()}

    def plainly(self, number: int) -> None:
        images, labels = self.batch
        for architecture in step_paths(self.space, number):
            logits = self.plain(images, architecture)
            if isinstance(self.objective, CrossEntropy):
                F.cross_entropy(logits.float(), labels).backward()
                continue
            teacher = self.plain(images, self.space.largest).float()
            hard = F.cross_entropy(logits.float(), labels) + F.cross_entropy(teacher, labels)
            soft = -(teacher.detach().softmax(1) * logits.float().log_softmax(1)).sum(1).mean()
            (HARD * hard + SOFT * soft).backward()

    def ours(self, execution: PathExecution, number: int) -> None:
        for loss, _ in execution.losses(self.objective, self.supernet, self.batch, step_paths(self.space, number)):
            loss.backward()

    def gradients(self, way: str) -> Tensor:
        self.supernet.zero_grad()
        self.ways[way](0)
        return torch.cat([one.grad.flatten() for one in self.supernet.parameters()]).clone()

    def seconds(self, way: str, first: int) -> float:
        torch.cuda.synchronize()
        began = time.perf_counter()
        for number in range(first, first + STEPS):
            self.optimizer.zero_grad()
            self.ways[way](number)
            self.optimizer.step()
        torch.cuda.synchronize()
        return (time.perf_counter() - began) / STEPS

    def rows(self, title: str, kind: str, rounds: int) -> list[dict[str, Any]]:
        with precision(kind):
            expected = self.gradients("plain")
            differ = {way: float((self.gradients(way) - expected).norm() / expected.norm()) for way in self.ways}
            seconds: dict[str, list[float]] = {way: [] for way in self.ways}
            memory = {}
            for way in self.ways:
                torch.cuda.reset_peak_memory_stats()
                self.seconds(way, 10_000)
                memory[way] = torch.cuda.max_memory_allocated() / 2**30
            for number in range(rounds):
                for way in list(self.ways)[:: 1 if number % 2 else -1]:
                    seconds[way].append(self.seconds(way, number * STEPS))
        recorded.forget(self.supernet)
        return [
            row(title, way, found, seconds["plain"], gradients_differ=differ[way], peak_gib=memory[way]) for way, found in seconds.items()
        ]


def steps(rounds: int) -> list[dict[str, Any]]:
    """A row for each objective, precision and way."""
    rows = []
    for title, objective in {"training step": CrossEntropy(), "distillation step": InplaceDistillation(track1(), HARD, SOFT)}.items():
        for kind in PRECISIONS:
            work = Steps(objective)
            rows += work.rows(f"{title}, {kind}", kind, rounds)
            with chosen_convolutions():  # only where the shapes stay
                del work.ways["sequential"]
                rows += work.rows(f"{title}, {kind}, trainer.benchmark", kind, rounds)
    return rows


@contextmanager
def chosen_convolutions() -> Iterator[None]:
    """cuDNN tries its algorithms for each new shape, as ``trainer.benchmark=true`` has it."""
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = False


def row(title: str, way: str, seconds: list[float], plain: list[float], **more: Any) -> dict[str, Any]:
    """One line of the table."""
    ratios = [one / other for one, other in zip(plain, seconds, strict=True)]
    return {
        "row": title,
        "way": way,
        "seconds": statistics.median(seconds),
        "times_faster": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        **more,
    }


class Clock(pl.Callback):
    """Seconds a step, after the first ``skip``."""

    def __init__(self, skip: int) -> None:
        self.skip, self.began, self.count = skip, 0.0, 0

    def on_train_batch_end(self, *_: Any) -> None:
        self.count += 1
        if self.count == self.skip:
            torch.cuda.synchronize()
            self.began = time.perf_counter()

    def on_train_end(self, *_: Any) -> None:
        torch.cuda.synchronize()
        self.per_step = (time.perf_counter() - self.began) / (self.count - self.skip)


class Noise(ImageDataset):
    """Images that show nothing, in the sizes of CIFAR-100."""

    name = "noise"
    classes, channels, resolution = CLASSES, 3, 32
    mean, std = (0.5, 0.5, 0.5), (0.3, 0.3, 0.3)

    def read(self, split: str) -> tuple[Tensor, Tensor]:
        count = {"train": 50_000, "test": 10_000}[split]
        draw = torch.Generator().manual_seed(0)
        images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=draw)
        return images, torch.randint(CLASSES, (count,), generator=draw)


def loops(count: int) -> list[dict[str, Any]]:
    """A row for each precision and way: the whole LightningModule with the recipe's augmentation."""
    augmentation = Augmentation({"crop": RandomCrop(4), "flip": RandomHorizontalFlip(), "rotate": RandomRotation(15), "cutout": Cutout(16)})
    rows, dataset = [], Noise()
    for kind in PRECISIONS:
        for way, execution in EXECUTIONS.items():
            space = track1()
            stage = Stage(
                epochs=1,
                sampler=UniformSampler(space, seed=0, paths=PATHS),
                objective=CrossEntropy(),
                schedule=Cosine(),
                optimizer=partial(torch.optim.SGD, lr=0.01, momentum=0.9, weight_decay=5e-4),
                path_execution=execution,
            )
            clock = Clock(50)
            arguments = {"accelerator": "gpu", "devices": 1, "precision": "bf16-mixed" if kind == "bf16" else "32-true"}
            trainer = make_trainer(arguments, callbacks=[clock], max_epochs=1, max_steps=count, enable_checkpointing=False)
            with exact_float32() if kind == "float32" else nullcontext():
                trainer.fit(SupernetTraining(Supernet(space, CLASSES), stage), datamodule=ImageDataModule(dataset, augmentation))
            rows.append({"row": f"training with Lightning, {kind}", "way": way, "seconds": clock.per_step})
    return rows


def ranking(rounds: int) -> list[dict[str, Any]]:
    """A row for each precision, and with the shared prefixes."""
    supernet = Supernet(track1(), CLASSES, seed=0).cuda().eval()
    images, labels = (part.cuda() for part in drawn_images(10_000))
    plain, listed = MaskedNetwork(supernet), ranked_rows(60)
    rows = []

    def plainly() -> None:
        with torch.inference_mode():
            for architecture in listed[:10]:
                logits = plain(images, architecture)
                _ = F.cross_entropy(logits.float(), labels), (logits.argmax(1) == labels).float().mean()

    def ours(memory: float) -> None:
        scores = rank_by_image.__wrapped__ if kind == "tf32" else rank_by_image  # type: ignore[attr-defined]  # without exact_float32
        scores(supernet, listed, images, labels, Scorer(prefix_memory=memory))

    def timed(work: Callable[[], None], count: int) -> float:
        torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        torch.cuda.synchronize()
        return (time.perf_counter() - began) / count

    sharing = {"nothing shared": 0.0, "1 GiB": 1.0, "8 GiB": 8.0, "30 GiB": 30.0}
    for kind in PRECISIONS:
        with precision(kind):
            ways: dict[str, tuple[Callable[[], None], int]] = {"plain": (plainly, 10)}
            ways |= {name: (partial(ours, memory), len(listed)) for name, memory in sharing.items()}
            seconds: dict[str, list[float]] = {way: [] for way in ways}
            for number in range(rounds + 1):
                for way, (work, count) in ways.items():
                    found = timed(work, count)
                    if number:
                        seconds[way].append(found)
            rows += [row(f"ranking on 10,000 images, {kind}", way, found, seconds["plain"]) for way, found in seconds.items()]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="receives each part's rows when it ends")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loop", type=int, default=300, help="steps of a whole training")
    given = parser.parse_args()
    found: dict[str, Any] = {
        "machine": {**machine("benchmarks.gpu"), "card": torch.cuda.get_device_name(), "cudnn": torch.backends.cudnn.version()},
        "rows": [],
    }
    for part in (
        lambda: steps(given.rounds),
        lambda: loops(given.loop),
        lambda: ranking(given.rounds),
    ):
        rows = part()
        found["rows"] += rows
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(
            tabulate(
                [
                    [
                        one["row"],
                        one["way"],
                        f"{one['seconds'] * 1000:.2f} ms",
                        *(f"{one[key]:.2f}" if key in one else "" for key in ("times_faster", "least", "most", "peak_gib")),
                        f"{one['gradients_differ']:.0e}" if "gradients_differ" in one else "",
                    ]
                    for one in rows
                ],
                ["row", "way", "time", "times faster", "least", "most", "GiB", "gradients differ"],
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
