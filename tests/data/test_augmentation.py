"""The drawn parameters have the distributions they promise, read off the images, and wrong settings are refused."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torchvision.transforms import RandomResizedCrop as RandomResizedCropOfOne
from torchvision.transforms import functional as reference

from nas_lightning.data import (
    Augmentation,
    ColorJitter,
    Cutout,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    image_ops,
)
from nas_lightning.errors import InputError

N = 4000


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def images(count: int, channels: int = 1, size: int = 8) -> Tensor:
    return torch.randint(1, 256, (count, channels, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def uniform_p(counts: np.ndarray) -> float:
    return float(stats.chisquare(np.asarray(counts).ravel()).pvalue)


def test_crop_windows_are_uniform(rng: np.random.Generator) -> None:
    index = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).repeat(N, 1, 1, 1)
    centre = RandomCrop(2)(index, rng)[:, 0, 4, 4].long()  # always inside: its value tells the window
    shift = torch.stack([centre // 8 - 2, centre % 8 - 2])
    assert int(shift.min()) == 0
    assert int(shift.max()) == 4
    counts = np.zeros((5, 5))
    np.add.at(counts, tuple(shift.numpy()), 1)
    assert uniform_p(counts) > 0.01


def test_resized_windows_are_distributed_as_torchvisions(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Tensor] = []
    monkeypatch.setattr(image_ops, "resized_crop", lambda batch, *window: (drawn.extend(window), batch)[1])
    RandomResizedCrop(0.25, 1.5)(images(N, size=64), rng)
    image = torch.zeros(1, 64, 64)
    torch.manual_seed(0)
    expected = np.array([RandomResizedCropOfOne.get_params(image, [0.25, 1.0], [1 / 1.5, 1.5]) for _ in range(N)])
    for found, other in zip(drawn, expected.T, strict=True):  # top, left, height, width
        assert stats.ks_2samp(found.numpy(), other).pvalue > 0.01
    top, left, heights, widths = (part.numpy() for part in drawn)
    assert (top + heights <= 64).all()
    assert (left + widths <= 64).all()


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.5, 1.0])
def test_flips_come_with_their_probability(rng: np.random.Generator, probability: float) -> None:
    batch = images(N)
    flipped = (RandomHorizontalFlip(probability)(batch, rng) != batch).flatten(1).any(1)
    assert stats.binomtest(int(flipped.sum()), N, probability).pvalue > 0.01


def test_angles_are_uniform_in_both_directions(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Tensor] = []
    monkeypatch.setattr(image_ops, "rotate", lambda batch, degrees: (drawn.append(degrees), batch)[1])
    RandomRotation(15)(images(N), rng)
    assert stats.kstest(drawn[0].numpy(), stats.uniform(-15, 30).cdf).pvalue > 0.01
    assert 14.9 < float(drawn[0].abs().max()) <= 15


def test_cutout_centres_are_uniform_over_the_pixels(rng: np.random.Generator) -> None:
    erased = (Cutout(8)(torch.full((N, 1, 8, 8), 9, dtype=torch.uint8), rng) == 0)[:, 0]
    heights, widths = erased.any(2).sum(1), erased.any(1).sum(1)
    assert torch.equal(erased.flatten(1).sum(1), heights * widths)
    # Centre 0 leaves rows 0..3, centre 4 leaves all eight, centre 7 leaves rows 3..7: heights 4, 5, 6, 7, 8, 7, 6, 5.
    for extent in (heights, widths):
        counts = torch.bincount(extent, minlength=9).numpy()[4:]
        assert stats.chisquare(counts, N * np.array([1, 2, 2, 2, 1]) / 8).pvalue > 0.01


def test_jitter_is_applied_with_its_probability_and_factors_are_uniform(rng: np.random.Generator) -> None:
    flat = torch.full((N, 1, 8, 8), 100, dtype=torch.uint8)  # contrast leaves a flat image alone, up to rounding down
    changed = ColorJitter(0.5, 0.0, 0.5)(flat, rng)[:, 0, 0, 0].numpy()
    assert 50 <= changed.min() < 52
    assert 148 < changed.max() <= 150
    jittered = changed[changed != 100]
    assert stats.binomtest(len(jittered), N, 0.5 * 99 / 100).pvalue > 0.01
    counts = np.histogram(jittered, bins=[50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 150])[0]
    expected = np.array([10, 10, 10, 10, 10, 9, 10, 10, 10, 10]) / 99  # [100, 101) shows as unchanged
    assert stats.chisquare(counts, expected * counts.sum()).pvalue > 0.01


def test_jitter_equals_torchvision_in_either_order_and_takes_both(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = images(400, channels=3)
    drawn: dict[str, list[Tensor]] = {"adjust_brightness": [], "adjust_contrast": []}
    for name, kept in drawn.items():
        original = getattr(image_ops, name)
        monkeypatch.setattr(image_ops, name, lambda x, f, o=original, kept=kept: (kept.append(f), o(x, f))[1])
    jittered = ColorJitter(0.9, 0.9, 0.8)(batch, rng)
    (before, after), (contrast,) = drawn["adjust_brightness"], drawn["adjust_contrast"]
    brightness = before * after  # one of the two is 1
    orders = np.zeros(3, int)
    for image, found, b, c, first in zip(batch, jittered, brightness, contrast, before != 1, strict=True):
        if b == 1:
            expected, order = image, 0
        elif first:
            expected, order = reference.adjust_contrast(reference.adjust_brightness(image, float(b)), float(c)), 1
        else:
            expected, order = reference.adjust_brightness(reference.adjust_contrast(image, float(c)), float(b)), 2
        assert torch.equal(found, expected)
        orders[order] += 1
    assert stats.chisquare(orders, 400 * np.array([0.2, 0.4, 0.4])).pvalue > 0.01


def test_the_same_generator_state_repeats_the_images() -> None:
    augmentation = Augmentation(
        {
            "crop": RandomCrop(2),
            "jitter": ColorJitter(0.1, 0.1),
            "turn": RandomRotation(15),
            "flip": RandomHorizontalFlip(),
            "cut": Cutout(4),
        }
    )
    batch, rng = images(16, 3), np.random.default_rng(5)
    first, second = augmentation(batch, rng), augmentation(batch, rng)
    assert torch.equal(first, augmentation(batch, np.random.default_rng(5)))
    assert not torch.equal(first, second)


def test_an_augmentation_applies_its_operations_in_order_and_scales(rng: np.random.Generator) -> None:
    augmentation = Augmentation({"add": lambda x, _: x + 1, "skipped": None, "double": lambda x, _: x * 2})
    found = augmentation(torch.tensor([3, 9], dtype=torch.uint8).view(1, 1, 1, 2), rng)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.flatten(), torch.tensor([8 / 255, 20 / 255]))


def test_no_operations_only_scale(rng: np.random.Generator) -> None:
    batch = images(2)
    assert torch.equal(Augmentation()(batch, rng), image_ops.to_unit(batch))


@pytest.mark.parametrize(
    ("operation", "arguments", "named"),
    [
        (RandomCrop, {"padding": -1}, "RandomCrop.padding: -1 must be at least 0"),
        (RandomCrop, {"padding": 1.5}, "RandomCrop.padding: 1.5"),
        (RandomHorizontalFlip, {"probability": 1.1}, "RandomHorizontalFlip.probability: 1.1 must be at most 1"),
        (RandomRotation, {"degrees": float("nan")}, "RandomRotation.degrees: nan must be at least 0"),
        (Cutout, {"size": 0}, "Cutout.size: 0 must be at least 1"),
        (ColorJitter, {"brightness": 2, "contrast": 0.1}, "ColorJitter.brightness: 2"),
        (ColorJitter, {"brightness": 0.1, "contrast": -0.1}, "ColorJitter.contrast: -0.1"),
        (ColorJitter, {"brightness": 0.1, "contrast": 0.1, "probability": True}, "ColorJitter.probability: True"),
        (Augmentation, {"operations": {"blur": 3}}, "augmentation.operations.blur: 3"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(operation: Any, arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError) as refused:
        operation(**arguments)
    assert str(refused.value).startswith(named)
