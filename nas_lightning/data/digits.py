"""Handwritten digits from scikit-learn: a real dataset of 1,797 small grey images that needs no download."""

from functools import cached_property
from typing import ClassVar

import torch
import torch.nn.functional as F

from nas_lightning.data.image_dataset import ImageDataset
from nas_lightning.data.splits import LabelledImages, interleave_classes
from nas_lightning.errors import check_at_least
from nas_lightning.rng import generator


class Digits(ImageDataset):
    """8x8 images of ten digits, enlarged bilinearly and split at random with every class in proportion.

    Args:
        resolution: height and width in pixels, at least 8; None is 16.
        train_images: size of the training split, 10 .. 1,787; the rest is the test split.
        split_seed: at least 0; the split depends on it and ``train_images`` alone.
    """

    name: ClassVar[str] = "digits"
    classes = 10
    channels = 1

    def __init__(self, resolution: int | None = None, train_images: int = 500, split_seed: int = 0) -> None:
        resolution = 16 if resolution is None else resolution
        check_at_least("data.resolution", resolution, 8)
        check_at_least("data.train_images", train_images, 10, 1787)
        check_at_least("data.split_seed", split_seed, 0)
        self.resolution = resolution
        self.train_images = train_images
        self.split_seed = split_seed
        images = self.train().images / 255.0  # measured here: enlarging changes the spread
        self.mean = (round(float(images.mean()), 4),)
        self.std = (round(float(images.std()), 4),)

    def read(self, split: str) -> LabelledImages:
        """The first ``train_images`` of the drawn order, or the rest."""
        return self._splits[split == "test"]

    @cached_property
    def _splits(self) -> tuple[LabelledImages, LabelledImages]:
        from sklearn.datasets import load_digits  # imports slowly, and few need it

        grey, labels = load_digits(return_X_y=True)
        images = torch.from_numpy(grey).float().view(-1, 1, 8, 8) * (255 / 16)
        images = F.interpolate(images, size=(self.resolution, self.resolution), mode="bilinear", align_corners=False)
        whole = LabelledImages(images.round().to(torch.uint8), torch.from_numpy(labels).long())
        order = torch.from_numpy(interleave_classes(labels, generator(self.split_seed, "digits split")))
        chosen = (order[: self.train_images].sort().values, order[self.train_images :].sort().values)
        train, test = (LabelledImages(whole.images[index], whole.labels[index]) for index in chosen)
        return train, test
