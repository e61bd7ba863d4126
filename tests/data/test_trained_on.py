"""Weights are refused where they were trained on what are test images now, found by a sample of hashes; against a count of all images."""

from pathlib import Path

import pytest
import torch

from nas_lightning.data import Digits, ImageDataset
from nas_lightning.data.splits import LabelledImages
from nas_lightning.data.trained_on import KEPT, SAMPLE, check_untrained, trained_on
from nas_lightning.errors import InputError

PATH = Path("weights.safetensors")


def shared(trained: ImageDataset, tested: ImageDataset) -> float:
    """Share of the test images that are among the training images, by comparing each with each."""
    before, now = trained.train().images.flatten(1), tested.test().images.flatten(1)
    return float((torch.cdist(now.double(), before.double()) == 0).any(dim=1).double().mean())


@pytest.mark.parametrize("trained", [Digits(8, 1200), Digits(8, 200)], ids=["a sample", "all"])
def test_another_split_of_the_images_is_refused_with_its_share(trained: Digits):
    data, other = trained_on(trained), Digits(8, 500, split_seed=1)
    assert len(data[SAMPLE]["hashes"]) == min(KEPT, len(trained.train().labels))
    with pytest.raises(InputError, match=r"^checkpoint: weights\.safetensors was trained on about \d+% of what are test images") as refused:
        check_untrained(other, data, "checkpoint", PATH)
    told = int(str(refused.value).split("about ")[1].split("%")[0]) / 100
    assert told == pytest.approx(shared(trained, other), abs=0.12 if len(trained.train().labels) > KEPT else 0.006)


@pytest.mark.parametrize(
    "now",
    [Digits(8, 1200), Digits(16, 1200), Digits(8, 1500)],
    ids=["the same", "other pixels", "fewer test images, none of them trained on"],
)
def test_images_that_no_training_saw_are_taken(now: Digits):
    assert shared(Digits(8, 1200), Digits(8, 1500)) == 0  # the first ones of one order
    check_untrained(now, trained_on(Digits(8, 1200)), "checkpoint", PATH)


@pytest.mark.parametrize(
    "sample", [{}, {SAMPLE: None}, {SAMPLE: {}}, {SAMPLE: {"images": 5, "hashes": []}}, {SAMPLE: {"images": "5", "hashes": 3}}]
)
def test_files_that_do_not_tell_are_taken(sample: dict):
    check_untrained(Digits(8, 1200), sample, "checkpoint", PATH)


def test_a_data_set_with_images_in_both_splits_is_its_own_affair(monkeypatch: pytest.MonkeyPatch):
    repeated = Digits(8, 300)
    images, labels = repeated.test()
    for split in ("train", "test"):
        monkeypatch.setattr(repeated, split, lambda: LabelledImages(images[:200], labels[:200]))
    assert shared(repeated, repeated) == 1
    check_untrained(repeated, trained_on(repeated), "checkpoint", PATH)
