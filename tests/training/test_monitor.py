"""The panel: what validation says of a few candidates, against their direct evaluation."""

from functools import partial
from pathlib import Path

import pytest
import torch
from scipy import stats
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from nas_lightning.devices.trainer import make_trainer
from nas_lightning.rng import generator
from nas_lightning.space import SearchSpace
from nas_lightning.supernet import Supernet
from nas_lightning.training.module import SupernetTraining
from nas_lightning.training.monitor import ProbeSet
from nas_lightning.training.objectives import CrossEntropy
from nas_lightning.training.samplers import UniformSampler
from nas_lightning.training.schedules import Cosine
from nas_lightning.training.stage import Stage

SPACE = SearchSpace("small", (2, 1), (4, 8), 2, 8)
CLASSES = 7
DRAWN = {f"panel_{number}": SPACE.sample(generator(number, "test")) for number in range(1, 6)}


def loader(count: int, seed: int, size: int) -> DataLoader:
    rng = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, 8, 8, generator=rng)
    return DataLoader(TensorDataset(images, torch.randint(CLASSES, (count,), generator=rng)), batch_size=size)


@pytest.mark.parametrize("norm", ["batch", "running"])
def test_validation_logs_a_direct_evaluation_of_each_candidate(tmp_path: Path, norm: str) -> None:
    supernet = Supernet(SPACE, CLASSES, norm=norm, seed=3)
    architectures = {"largest": SPACE.largest, "smallest": SPACE.smallest, **DRAWN}
    known = {name: number / 10 for number, name in enumerate(DRAWN)}
    held_out = loader(count=22, seed=5, size=8)  # batches of 8, 8 and 6
    trainer = make_trainer({"accelerator": "cpu", "devices": 1}, max_epochs=2, default_root_dir=tmp_path, enable_checkpointing=False)
    sampler, optimizer = UniformSampler(SPACE, 0, 2), partial(torch.optim.SGD, lr=0.05)
    stage = Stage(epochs=2, sampler=sampler, objective=CrossEntropy(), optimizer=optimizer, schedule=Cosine())
    module = SupernetTraining(supernet, stage, panel=ProbeSet(architectures, CLASSES, known))
    trainer.fit(module, loader(17, 0, 6), held_out)
    supernet.eval()
    mean_losses = {}
    for name, architecture in architectures.items():
        losses, hits1, hits5 = [], [], []
        for images, labels in held_out:
            logits = supernet(images, architecture).detach()
            losses += F.cross_entropy(logits, labels, reduction="none").tolist()
            order = logits.argsort(dim=1, descending=True)
            hits1 += (order[:, 0] == labels).tolist()
            hits5 += (order[:, :5] == labels[:, None]).any(dim=1).tolist()
        mean_losses[name] = sum(losses) / 22
        found = {key: trainer.callback_metrics[f"{name}/{key}"].item() for key in ("top1", "top5", "cross_entropy")}
        assert found["cross_entropy"] == pytest.approx(mean_losses[name], rel=1e-5)
        assert found["top1"] == pytest.approx(sum(hits1) / 22)
        assert found["top5"] == pytest.approx(sum(hits5) / 22)
    expected = stats.kendalltau([-mean_losses[name] for name in known], list(known.values())).statistic
    assert trainer.callback_metrics["panel/kendall"].item() == pytest.approx(expected, abs=1e-6)


def test_each_evaluation_stands_for_itself() -> None:
    supernet, panel = Supernet(SPACE, CLASSES, seed=3).eval(), ProbeSet({"smallest": SPACE.smallest}, CLASSES)
    (images, labels), (others, theirs) = loader(16, 1, 8)
    panel.update(supernet, images, labels)
    first = panel.compute()
    panel.update(supernet, others, theirs)
    assert panel.compute() != first
    panel.update(supernet, images, labels)
    assert panel.compute() == first


@pytest.mark.parametrize("known", [{}, {"panel_1": 0.5, "panel_2": 0.6}, dict.fromkeys(DRAWN, 0.5)])
def test_without_an_order_of_the_truth_there_is_no_agreement(known: dict[str, float]) -> None:
    panel = ProbeSet(DRAWN, CLASSES, known)
    panel.update(Supernet(SPACE, CLASSES), *next(iter(loader(8, 1, 8))))
    assert "panel/kendall" not in panel.compute()
