"""The rows beside the networks: data path, cost model, agreement, start-up."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from pytorch_lightning.plugins import Precision
from scipy import stats
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchvision.models import mobilenet_v2

from benchmarks.turns import Row, alternate, row
from benchmarks.ways import BATCH, CLASSES, track1
from nas_lightning.agreement import measure
from nas_lightning.config.build import Builder
from nas_lightning.config.fields import Target
from nas_lightning.config.roles import AUGMENTATION
from nas_lightning.data.data_module import ImageDataModule
from nas_lightning.data.image_dataset import ImageDataset, LabelledImages
from nas_lightning.space import Population, ResidualStructure
from nas_lightning.supernet import SingleNetwork
from nas_lightning.supernet.cpu_faults import safe_convolutions

ROOT = Path(__file__).parents[1]
CANDIDATES = 50_000
BATCHES = 20


class NoiseImages(ImageDataset):
    """Random images in the shape of CIFAR-100: what an image shows costs no time."""

    name, classes, channels, resolution = "noise of a benchmark", CLASSES, 3, 32
    mean, std = (0.5071, 0.4865, 0.4409), (0.1942, 0.1918, 0.1958)

    def read(self, split: str) -> LabelledImages:
        if split == "test":
            return self.train()
        draw = torch.Generator().manual_seed(0)
        images = torch.randint(256, (BATCH * BATCHES, 3, 32, 32), generator=draw, dtype=torch.uint8)
        return LabelledImages(images, torch.randint(CLASSES, (len(images),), generator=draw))


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def data_path(augmentation: str, workers: int = 0) -> Callable[[], float]:
    """A function that measures a batch as training gets it, in seconds; ``augmentation`` is a config."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("config", ["experiment=track1", f"augmentation={augmentation}"])
    node: Any = OmegaConf.to_container(config.augmentation, resolve=True)
    data = ImageDataModule(
        NoiseImages(), Builder().build(Target(node, AUGMENTATION), "augmentation"), batch_size=BATCH, seed=0, workers=workers
    )
    loader = data.train_dataloader()
    place = {"current_epoch": 0, "global_step": 0, "global_rank": 0}
    data.trainer = cast(Any, SimpleNamespace(training=True, precision_plugin=Precision(), **place))

    def batches() -> None:
        for images, labels in loader:
            data.on_after_batch_transfer((images, labels), 0)

    batches()
    return lambda: seconds(batches) / BATCHES


def augmentation(rounds: int, step_seconds: float) -> Row:
    """``augmentation``: the share of a training step that a batch's crop, flip, rotation, cutout and scaling take."""
    ours = data_path("cutout")
    shares = [ours() / step_seconds for _ in range(rounds)]
    low, high = statistics.quantiles(shares, n=4)[::2]
    median = statistics.median(shares)
    return Row("augmentation", median, (low, high), median * step_seconds, "share of a training step", {"rounds": rounds})


def loader_path(rounds: int) -> Row:
    """``loader_path``: torchvision's transforms image by image, against whole batches."""
    per_image, batched = data_path("torchvision"), data_path("cutout")
    return row("loader_path", alternate(rounds, lambda _: per_image(), lambda _: batched()), f"a batch of {BATCH}, no workers")


def few_pixels(rounds: int) -> Row:
    """``few_pixels``: a step of MobileNet-V2 alone, whose last depthwise convolutions see one to four pixels."""
    torch.manual_seed(0)
    network = mobilenet_v2(num_classes=CLASSES, width_mult=0.5).train().to(memory_format=torch.channels_last)
    images, labels = torch.randn(BATCH, 3, 32, 32), torch.randint(CLASSES, (BATCH,))

    def step() -> None:
        cross_entropy(network(images), labels).backward()

    def ours(_: int) -> float:
        with safe_convolutions(network, images.device):
            return seconds(step)

    step()
    ours(0)
    return row("few_pixels", alternate(rounds, lambda _: seconds(step), ours), f"MobileNet-V2 at half its widths, batch {BATCH}, 32 pixels")


def cost_model(rounds: int) -> Row:
    """``cost_model``: parameters and multiply-adds of 50,000 candidates, against counting a network's layers one by one."""
    space = track1()
    population = Population.draw(space, CANDIDATES, 0)
    some = population.architectures[:10]

    def by_layers() -> None:
        for architecture in some:
            count = 0

            def counted(layer: nn.Module, _: Any, out: Tensor) -> None:
                nonlocal count
                count += layer.weight.numel() * out[0, 0].numel() if isinstance(layer, nn.Conv2d) else layer.weight.numel()

            network = SingleNetwork(ResidualStructure(space, CLASSES), architecture)
            for layer in network.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    layer.register_forward_hook(counted)
            network.eval()(torch.zeros(1, 3, 32, 32))
            assert count == ResidualStructure(space, CLASSES).cost([architecture.widths]).multiply_adds[0]

    with torch.inference_mode():
        timed = alternate(
            rounds,
            lambda _: seconds(by_layers) * CANDIDATES / len(some),
            lambda _: seconds(lambda: ResidualStructure(space, CLASSES).cost(population.widths)),
        )
    return row("cost_model", timed, f"{CANDIDATES:,} candidates, against hooks on each network (of {len(some)}, scaled)")


def agreement() -> Row:
    """``agreement``: 50,000 candidates with intervals, top-k statistics included, against SciPy's correlations on each resample."""
    rng = np.random.default_rng(0)
    truth = rng.random(CANDIDATES)
    scores = {"score": truth + 0.3 * rng.random(CANDIDATES)}
    resamples, few = 1000, 10

    def by_scipy() -> None:
        for _ in range(few):
            drawn = rng.integers(CANDIDATES, size=CANDIDATES)
            x, y = scores["score"][drawn], truth[drawn]
            for statistic in (stats.pearsonr, stats.kendalltau, stats.spearmanr):
                statistic(x, y)
            order = np.argsort(-y)
            third = order[: CANDIDATES // 3]
            stats.kendalltau(x[third], y[third])
            stats.weightedtau(x, y, rank=np.argsort(order))

    plain = [seconds(by_scipy) * resamples / few for _ in range(3)]
    ours = [seconds(lambda: measure(scores, truth, resamples=resamples)) for _ in range(3)]
    return row("agreement", (plain, ours), f"{CANDIDATES:,} candidates, {resamples:,} resamples, against SciPy (of {few}, scaled)")


def start_up(rounds: int) -> Row:
    """``start_up``: ``python train.py --help``, against importing what a training needs."""

    def run(*arguments: str) -> float:
        command = [sys.executable, *arguments]
        return seconds(lambda: subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    imports = "import torch, torchvision, torchmetrics, pytorch_lightning, scipy.stats, hydra"
    return row("start_up", alternate(rounds, lambda _: run("-c", imports), lambda _: run("train.py", "--help")), "python train.py --help")
