"""What a data set's own code returns is taken where it is unambiguous, and refused in one line that says what to give where not."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nas_lightning.data import LabelledImages
from nas_lightning.data.splits import labelled_images
from nas_lightning.errors import InputError

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (12, 3, 8, 8), dtype=np.uint8))
LABELS = torch.arange(12) % 4


def taken(images: Any = IMAGES, labels: Any = LABELS) -> LabelledImages:
    return labelled_images((images, labels), "data (Mine): train", classes=4, channels=3, resolution=8)


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.setflags(write=False)
    return array


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        pytest.param(IMAGES, LABELS, id="tensors"),
        pytest.param(IMAGES.numpy(), LABELS.numpy(), id="NumPy arrays"),
        pytest.param(read_only(IMAGES.numpy()), read_only(LABELS.numpy()), id="read-only arrays"),
        pytest.param(IMAGES.numpy()[::-1].copy()[::-1], LABELS.numpy()[::-1].copy()[::-1], id="flipped views"),
        pytest.param(IMAGES.numpy(), LABELS.numpy().astype(">i4"), id="big-endian labels"),
        pytest.param(IMAGES, LABELS.tolist(), id="a list of labels"),
        pytest.param(IMAGES.permute(0, 2, 3, 1), LABELS, id="channels last"),
        pytest.param(np.moveaxis(IMAGES.numpy(), 1, -1).copy(), LABELS, id="channels last from NumPy"),
        *(pytest.param(IMAGES, LABELS.to(dtype), id=str(dtype)) for dtype in (torch.int32, torch.int16, torch.uint8, torch.uint16)),
    ],
)
def test_arrays_of_any_kind_become_uint8_images_and_int64_labels(images: Any, labels: Any) -> None:
    split = taken(images, labels)
    assert isinstance(split, LabelledImages)
    assert split.images.dtype == torch.uint8
    assert split.labels.dtype == torch.int64
    assert torch.equal(split.images, IMAGES)
    assert torch.equal(split.labels, LABELS)


@pytest.mark.parametrize("found", [(IMAGES, LABELS), [IMAGES.numpy(), LABELS.numpy()]], ids=["tuple", "list"])
def test_a_plain_pair_is_a_split(found: Any) -> None:
    assert torch.equal(labelled_images(found, "x", classes=4, channels=3, resolution=8).images, IMAGES)


def test_images_with_their_channels_last_lie_in_memory_as_others() -> None:
    assert taken(IMAGES.permute(0, 2, 3, 1)).images.is_contiguous()


def test_greys_need_no_channel() -> None:
    found = labelled_images((IMAGES[:, 0], LABELS), "x", classes=4, channels=1, resolution=8)
    assert torch.equal(found.images, IMAGES[:, :1])


def test_a_shape_of_two_meanings_is_taken_as_channels_first() -> None:
    cubes = IMAGES[:, :, :3, :3]
    found = labelled_images((cubes, LABELS), "x", classes=4, channels=3, resolution=3)
    assert torch.equal(found.images, cubes)


def test_an_array_is_not_copied() -> None:
    array = IMAGES.numpy().copy()
    assert taken(array).images.data_ptr() == array.ctypes.data


def images_that_are(what: str, images: Any, told: str) -> Any:
    return pytest.param(images, LABELS, f"train images: {told}", id=what)


def labels_that_are(what: str, labels: Any, told: str) -> Any:
    return pytest.param(IMAGES, labels, f"train labels: {told}", id=what)


@pytest.mark.parametrize(
    ("images", "labels", "told"),
    [
        images_that_are("floats in 0..1", IMAGES / 255, "dtype float32 is not uint8; give pixels from 0 to 255"),
        images_that_are("floats in 0..255", IMAGES.double().numpy(), "dtype float64 is not uint8"),
        images_that_are("int64", IMAGES.long(), "dtype int64 is not uint8"),
        images_that_are("scaled before they were cast", (IMAGES / 255).round().to(torch.uint8), "no pixel is above 1"),
        images_that_are("NHWC of another size", IMAGES.permute(0, 2, 3, 1)[:, 1:], "7x8 pixels, but data.resolution is 8"),
        images_that_are("NHWC of one channel", IMAGES.permute(0, 2, 3, 1)[..., :1], "shape (12, 8, 8, 1) has 8 channels, but"),
        images_that_are("of one channel", IMAGES[:, :1], "shape (12, 1, 8, 8) has 1 channels, but data.channels is 3"),
        images_that_are("of four channels", IMAGES[:, [0, 1, 2, 2]], "shape (12, 4, 8, 8) has 4 channels"),
        images_that_are("without channels", IMAGES[:, 0], "shape (12, 8, 8) is not (n, channels, height, width)"),
        images_that_are("flat", IMAGES.flatten(1), "shape (12, 192) is not (n, channels, height, width)"),
        images_that_are("larger", IMAGES.repeat(1, 1, 2, 2), "16x16 pixels, but data.resolution is 8"),
        images_that_are("not square", IMAGES[..., :7], "8x7 pixels, but data.resolution is 8"),
        images_that_are("none", IMAGES[:0], "there are 0; give at least 1"),
        images_that_are("an empty list", [], "there are 0; give at least 1"),
        images_that_are("ragged", [[1], [2, 3]], "list is not an array of numbers"),
        images_that_are("objects", np.array([None] * 12), "ndarray of dtype object is not an array of numbers"),
        labels_that_are("1..N", LABELS + 1, "1..4 are not all in 0..3, as data.classes is 4; subtract 1"),
        labels_that_are("negative", LABELS - 1, "-1..2 are not all in 0..3"),
        labels_that_are("one class too many", torch.arange(12) % 5, "0..4 are not all in 0..3, as data.classes is 4"),
        labels_that_are("beyond int64", LABELS.numpy().astype(np.uint64) + 2**63, "-9223372036854775808..-9223372036854775805 are not all"),
        labels_that_are("floats", LABELS.float(), "dtype float32 is not an integer type; give (n,) class numbers 0..3"),
        labels_that_are("float64 from NumPy", LABELS.double().numpy(), "dtype float64 is not an integer type"),
        labels_that_are("one-hot", torch.eye(4)[LABELS], "shape (12, 4) is not (n,); give (n,) class numbers 0..3: of one-hot rows"),
        labels_that_are("one-hot integers", torch.eye(4).int()[LABELS], "shape (12, 4) is not (n,)"),
        labels_that_are("a column", LABELS[:, None], "shape (12, 1) is not (n,)"),
        labels_that_are("too few", LABELS[:-1], "11 for 12 images"),
        labels_that_are("names", ["cat"] * 12, "list of dtype <U3 is not an array of numbers"),
    ],
)
def test_anything_else_is_refused_in_one_line(images: Any, labels: Any, told: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"data (Mine): {told}")) as refused:
        taken(images, labels)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (None, "is an object of type NoneType"),
        (IMAGES, "is an object of type Tensor"),
        ({"images": IMAGES, "labels": LABELS}, "is an object of type dict"),
        (torch.utils.data.TensorDataset(IMAGES, LABELS), "is an object of type TensorDataset"),
        ((IMAGES, LABELS, LABELS), "is 3 values"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_pair_is_refused(found: Any, told: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"data (Mine): train split: {told}; give a pair (images, labels)")):
        labelled_images(found, "data (Mine): train", classes=4, channels=3, resolution=8)


def test_only_some_pixels_of_a_large_split_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []
    original = Tensor.max
    monkeypatch.setattr(Tensor, "max", lambda self, *a, **k: (looked_at.append(len(self)), original(self, *a, **k))[1])
    many = IMAGES[:1].expand(20_500, -1, -1, -1)
    taken(many, torch.arange(20_500) % 4)
    assert looked_at == [977]  # every 21st image
