"""A data set of one's own is one method and its attributes: what a checkpoint remembers comes from the constructor."""

import json
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from nas_lightning.data import Cifar10, Cifar100, Digits, ImageDataset, dataset_from_header
from nas_lightning.data.check import check_dataset, describe
from nas_lightning.errors import InputError


@dataclass(frozen=True)
class Squares(ImageDataset):
    """Grey pixels with a brighter square, in one of four corners."""

    name: ClassVar[str] = "squares"
    classes: ClassVar[int] = 4
    channels: ClassVar[int] = 1
    root: str = "anywhere"
    resolution: int = 8
    count: int = 40

    def read(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Channels last; the training images are darker."""
        labels = np.arange(self.count) % 4
        images = np.full((self.count, self.resolution, self.resolution, 1), 20 if split == "train" else 40, np.uint8)
        half = self.resolution // 2
        for image, label in zip(images, labels, strict=True):
            image[half * (label // 2) :, half * (label % 2) :] += 100
        return images, labels


class Plain(Squares):
    """The same with a constructor of its own."""

    name = "plain"

    def __init__(self, levels: tuple[int, ...] = (1, 2), **others: Any) -> None:
        super().__init__(**others)
        vars(self)["levels"] = levels


class Forgetful(Squares):
    """Does not keep an argument."""

    name = "forgetful"

    def __init__(self, seed: int = 0) -> None:  # noqa: ARG002 - what the test is about
        super().__init__()


class Rootless(Squares):
    """Needs its folder."""

    name = "rootless"

    def __init__(self, root: str, count: int = 8) -> None:
        super().__init__(root=root, count=count)


def test_a_dataclass_with_one_method_passes_every_check():
    squares = Squares(count=20)
    check_dataset(squares)
    assert squares.header() == {"name": "squares", "arguments": {"resolution": 8, "count": 20}}


def test_mean_and_deviation_are_measured_on_the_training_images():
    squares = Squares()
    pixels = squares.train().images.numpy() / 255
    assert squares.mean == pytest.approx((pixels.mean(),), abs=1e-4)
    assert squares.std == pytest.approx((pixels.std(),), abs=1e-4)
    with pytest.raises(FrozenInstanceError):
        squares.mean = (0.5,)  # type: ignore[misc]


def test_a_value_that_is_given_is_not_measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Squares, "mean", (0.5,), raising=False)
    assert Squares().mean == (0.5,)
    assert Squares().std != (0.5,)


@pytest.mark.parametrize("dataset", [Squares("here", 10, 12), Plain((3,))], ids=lambda dataset: dataset.name)
def test_a_header_rebuilds_the_same_images(dataset: ImageDataset):
    header = json.loads(json.dumps(describe(dataset)))
    again = dataset_from_header(header, None)
    assert type(again) is type(dataset)
    assert describe(again) == header
    assert again.test().images.equal(dataset.test().images)


def test_a_folder_is_given_anew_where_the_images_are_read():
    header = Rootless("there", 12).header()
    assert header["arguments"] == {"count": 12}
    again = dataset_from_header(header, "here")
    assert isinstance(again, Rootless)
    assert again.root == "here"
    with pytest.raises(InputError, match=r"^data\.root: not given; it must be the folder that holds the files of rootless$"):
        dataset_from_header(header, None)


def test_an_argument_that_is_not_kept_is_named():
    with pytest.raises(InputError, match=r"^data\.seed: Forgetful takes it but does not keep it; write self\.seed = seed$"):
        describe(Forgetful())


def test_the_shipped_data_sets_describe_themselves_as_before():
    assert describe(Digits(9, 40, 3))["arguments"] == {"resolution": 9, "train_images": 40, "split_seed": 3}
    scaling = {"mean": [0.5071, 0.4865, 0.4409], "std": [0.1942, 0.1918, 0.1958]}
    assert describe(Cifar100("x", download=False)) == {"name": "cifar100", "arguments": scaling, **scaling}
    own = {"mean": [0.1, 0.2, 0.3], "std": [0.2470, 0.2435, 0.2616]}
    assert describe(Cifar10(Path("x"), mean=(0.1, 0.2, 0.3))) == {"name": "cifar10", "arguments": own, **own}
