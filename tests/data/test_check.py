"""A whole data set is checked before it is used, and against what a checkpoint says of its images."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas_lightning.data import Cifar100, Digits, ImageDataset, LabelledImages
from nas_lightning.data.check import check_dataset, check_trained_on, describe
from nas_lightning.errors import InputError
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.checkpoint import make_header


class Checked(ImageDataset):
    """200 + 60 noise images of four classes."""

    name, classes, channels, resolution, mean, std = "noise", 4, 3, 8, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

    def read(self, split: str) -> LabelledImages:
        return self.noise(200 if split == "train" else 60)

    def noise(self, count: int) -> LabelledImages:
        images = torch.randint(256, (count, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(count))
        return LabelledImages(images, torch.arange(count) % 4)


def changed(**attributes: Any) -> ImageDataset:
    dataset = Checked()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return dataset


def test_a_data_set_as_it_should_be_passes() -> None:
    check_dataset(Checked())
    check_dataset(Digits(8, train_images=10))


class ByClass(Checked):
    """The same, class by class, as many archives hold them."""

    name = "noise by class"

    def noise(self, count: int) -> LabelledImages:
        return LabelledImages(super().noise(count).images, torch.arange(count) * 4 // count)


def test_images_that_come_class_by_class_are_refused() -> None:
    with pytest.raises(InputError) as refused:
        check_dataset(ByClass())
    assert str(refused.value).startswith("data (ByClass): train: all 50 images of class 0 are in the first half; mix the classes")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"mean": (127.5, 127.5, 127.5)}, "data.mean: 127.5 is not in 0..1; images are scaled to [0, 1], so divide by 255"),
        ({"mean": (-0.5, 0.5, 0.5)}, "data.mean: -0.5 is not in 0..1"),
        ({"mean": (0.5,)}, "data.mean: (0.5,) is not 3 numbers, one per channel"),
        ({"mean": 0.5}, "data.mean: 0.5 is not 3 numbers"),
        ({"mean": (float("nan"), 0.5, 0.5)}, "data.mean: (nan, 0.5, 0.5) is not 3 numbers"),
        ({"std": (0.25,)}, "data.std: (0.25,) is not 3 positive numbers, one per channel"),
        ({"std": (0.25, 0, 0.25)}, "data.std: (0.25, 0, 0.25) is not 3 positive numbers"),
        ({"std": np.full((3, 40), 0.25)}, "data.std: array([["),
        ({"std": (64.0, 64.0, 64.0)}, "data.std: 64 is not in 1/255..1"),
        ({"std": (0.25 / 255,) * 3}, "data.std: 0.000980392 is not in 1/255..1"),
        ({"classes": 1}, "data.classes: 1 is not an int of at least 2"),
        ({"classes": np.int64(4)}, "data.classes: np.int64(4) is not an int"),
        ({"classes": 5}, "data.classes: 5, but the highest label of all 260 images is 3; labels count from 0"),
        ({"classes": 3}, "data (Checked): train labels: 0..3 are not all in 0..2"),
        ({"channels": 1, "mean": (0.5,), "std": (0.25,)}, "data (Checked): train images: shape (200, 3, 8, 8) has 3 channels"),
        ({"resolution": 16}, "data (Checked): train images: 8x8 pixels, but data.resolution is 16"),
        ({"resolution": 8.0}, "data.resolution: 8.0 is not an int"),
        ({"name": "own name"}, "data.name: 'own name' is not that of a class; give Checked a name of its own"),
        ({"name": "digits"}, "data.name: 'digits' is that of nas_lightning.data.digits.Digits; give Checked a name of its own"),
        ({"arguments": lambda: {"x": np.zeros(2)}}, "data.arguments: Checked does not return plain JSON values"),
        ({"arguments": lambda: [8]}, "data.arguments: Checked does not return a dict"),
        ({"read": lambda _: Path("/nowhere/images").read_bytes()}, "data (Checked): train split: cannot be read ([Errno 2]"),
        ({"read": lambda split: Checked().noise(200) if split == "train" else (torch.zeros(3), torch.zeros(3))}, "test images: shape (3,)"),
        ({"read": lambda split: Checked().noise(200 if split == "train" else 0)}, "data (Checked): test images: there are 0"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value[:40],
)
def test_a_fault_is_told_in_one_line(attributes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=re.escape(told)) as refused:
        check_dataset(changed(**attributes))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["name", "classes", "channels", "resolution"])
def test_an_attribute_that_is_missing_is_named(name: str) -> None:
    attributes = {key: value for key, value in {**vars(Checked), "name": "lacking"}.items() if key != name}
    with pytest.raises(InputError, match=rf"data\.{name}: is missing; Lacking must have it"):
        check_dataset(type("Lacking", (ImageDataset,), attributes)())


def test_a_class_without_a_name_of_its_own_is_not_ranked_as_its_parent() -> None:
    class Mine(Cifar100):
        pass

    with pytest.raises(InputError, match=r"'cifar100' is that of nas_lightning\.data\.cifar\.Cifar100; give Mine a name of its own"):
        check_dataset(Mine("nowhere"))


def test_a_small_split_may_lack_a_class() -> None:
    check_dataset(changed(classes=50))  # 260 images: five a class, of which any may be missing


@pytest.mark.parametrize("make", [np.array, torch.tensor, list, tuple], ids=["array", "tensor", "list", "tuple"])
def test_scaling_of_any_kind_is_plain_numbers_in_a_header(make: Callable) -> None:
    dataset = changed(mean=make([0.5, 0.25, 0.5]))
    check_dataset(dataset)
    told = describe(dataset)
    assert told == {"name": "noise", "arguments": {}, "mean": [0.5, 0.25, 0.5], "std": [0.25, 0.25, 0.25]}
    assert all(type(value) is float for value in told["mean"])


def test_what_a_checkpoint_says_must_be_what_the_images_are(tiny: Any) -> None:
    header = make_header(Supernet(tiny, classes=4, channels=3), describe(Checked()))
    check_trained_on(Checked(), header, "checkpoint", Path("x.ckpt"))
    for attributes, told in [
        ({"classes": 10}, "classes 4, but those of noise have 10"),
        ({"channels": 1}, "channels 3, but those of noise have 1"),
        ({"resolution": 64}, "resolution 8, but those of noise have 64"),
        ({"mean": (0.5, 0.5, 0.501)}, "mean [0.5, 0.5, 0.5], but those of noise have [0.5, 0.5, 0.501]"),
        ({"std": (0.25,)}, "std [0.25, 0.25, 0.25], but those of noise have [0.25]"),
    ]:
        with pytest.raises(InputError, match=re.escape(f"checkpoint: x.ckpt was trained on images with {told}")):
            check_trained_on(changed(**attributes), header, "checkpoint", Path("x.ckpt"))


def test_a_mean_that_was_measured_on_another_machine_may_round_otherwise(tiny: Any) -> None:
    header = make_header(Supernet(tiny, classes=4, channels=3), describe(changed(mean=(0.5001, 0.5, 0.5))))
    check_trained_on(Checked(), header, "checkpoint", Path("x.ckpt"))


@pytest.mark.parametrize("mean", [None, "grey", ["a", "b", "c"], {"r": 1}])
def test_a_checkpoint_that_does_not_say_its_scaling_is_refused(mean: Any, tiny: Any) -> None:
    header = make_header(Supernet(tiny, classes=4, channels=3), {**describe(Checked()), "mean": mean})
    with pytest.raises(InputError, match=r"with mean .*, but those of noise have \[0\.5"):
        check_trained_on(Checked(), header, "checkpoint", Path("x.ckpt"))


@pytest.fixture
def tiny() -> Any:
    from nas_lightning.space import SearchSpace

    return SearchSpace("tiny", (1,), (4,), 2, 8)
