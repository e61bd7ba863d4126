"""Under autocast norms and losses stay in float32; how images lie in memory, and where they stay, changes nothing but rounding."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas_lightning.data import Augmentation, Digits, PerImage
from nas_lightning.data.data_module import ImageDataModule
from nas_lightning.devices.trainer import make_trainer
from nas_lightning.errors import InputError
from nas_lightning.space import SearchSpace
from nas_lightning.supernet import Supernet
from nas_lightning.supernet import cpu_kernels as plain
from nas_lightning.supernet.layers import SlicedBatchNorm2d
from nas_lightning.supernet.path_batched import batched_forward, stack_widths
from nas_lightning.training.objectives import CrossEntropy, InplaceDistillation

SPACE = SearchSpace("small", (2, 1), (4, 8), 2, 8)
PATH = SPACE.parse("4-2-4-4-4-6-8")


def images(seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(16, 3, 8, 8, generator=rng), torch.randint(7, (16,), generator=rng)


def test_under_autocast_convolutions_are_low_and_norms_full():
    supernet, seen = Supernet(SPACE, classes=7), []
    for module in supernet.modules():
        if isinstance(module, SlicedBatchNorm2d):
            module.register_forward_hook(lambda _, given, out: seen.append((given[0].dtype, out.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        supernet(images()[0], PATH)
    assert set(seen) == {(torch.bfloat16, torch.float32)}
    assert len(seen) == 10  # the stem's, six convolutions', three shortcuts'


@pytest.mark.parametrize("objective", [CrossEntropy(), CrossEntropy(label_smoothing=0.1), InplaceDistillation(SPACE)], ids=repr)
def test_under_autocast_losses_are_full(objective: Any):
    supernet = Supernet(SPACE, classes=7)
    with torch.autocast("cpu", torch.bfloat16):
        passes = list(objective(supernet, *images(), [PATH]))
    assert {one.logits.dtype for one in passes} == {torch.bfloat16}
    for one in passes:
        assert one.loss.dtype == torch.float32
    # The first is the cross entropy of logits that were read in float32.
    logits = passes[-1].logits.float()
    smoothing = getattr(objective, "label_smoothing", 0.0)
    if isinstance(objective, CrossEntropy):
        assert torch.equal(passes[-1].loss, nn.functional.cross_entropy(logits, images()[1], label_smoothing=smoothing))


@pytest.mark.parametrize("batched", [False, True])
def test_the_logits_under_autocast_are_near_the_full_ones(batched: bool):
    supernet, (x, _) = Supernet(SPACE, classes=7), images()
    full = supernet(x, PATH).detach()
    with torch.autocast("cpu", torch.bfloat16):
        low = batched_forward(supernet, x, stack_widths([PATH], x.device))[0] if batched else supernet(x, PATH)
    assert float((low.detach() - full).norm() / full.norm()) < 0.05


def test_how_images_lie_in_memory_changes_rounding_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plain, "is_hand_written", lambda _: False)
    monkeypatch.setattr("nas_lightning.supernet.layers.is_hand_written", lambda _: False)
    monkeypatch.setattr("nas_lightning.supernet.network.is_hand_written", lambda _: False)
    found = {}
    for channels_last in (True, False):
        supernet, layouts = Supernet(SPACE, classes=7, channels_last=channels_last).double(), []
        supernet.stem.conv.register_forward_hook(lambda *found, to=layouts: to.append(found[-1].is_contiguous()))
        logits = supernet(images()[0].double(), PATH)
        logits.square().sum().backward()
        found[channels_last] = [logits.detach(), *(one.grad for one in supernet.parameters())]
        assert layouts == [not channels_last]
    torch.testing.assert_close(found[True], found[False], rtol=1e-9, atol=1e-11)


def batches(tmp_path: Path, resident: bool | None) -> list[tuple[Tensor, Tensor]]:
    data = ImageDataModule(Digits(resolution=8, train_images=100), Augmentation(), batch_size=32, resident=resident)
    data.trainer = make_trainer({"accelerator": "cpu"}, default_root_dir=tmp_path)
    return list(data.train_dataloader())


def test_images_that_stay_on_the_device_are_the_same_batches(tmp_path: Path):
    for one, other in zip(batches(tmp_path, True), batches(tmp_path, False), strict=True):
        assert all(torch.equal(left, right) for left, right in zip(one, other, strict=True))


@pytest.mark.parametrize(("more", "says"), [({"workers": 2}, "workers=2"), ({"augmentation": PerImage({})}, "single images")])
def test_images_that_others_read_cannot_stay_on_the_device(more: dict[str, Any], says: str):
    arguments = {"augmentation": Augmentation(), "batch_size": 32, **more}
    with pytest.raises(InputError, match=f"loader.resident: true cannot go with .*{says}"):
        ImageDataModule(Digits(resolution=8), resident=True, **arguments)
    ImageDataModule(Digits(resolution=8), resident=None, **arguments)
