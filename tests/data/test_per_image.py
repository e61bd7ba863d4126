"""Transforms of single images in the loader: the same images for any number of workers and after a resume, and nothing else moves."""

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning.plugins.precision import Precision
from scipy import stats
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as reference

from nas_lightning.data import Augmentation, Cutout, Digits, ImageCutout, PerImage, RandomHorizontalFlip
from nas_lightning.data.data_module import ImageDataModule
from nas_lightning.errors import InputError
from nas_lightning.rng import generator
from nas_lightning.space import SearchSpace
from nas_lightning.standalone.train_alone import Recipe, train_alone
from nas_lightning.supernet import ResidualFamily
from nas_lightning.training.schedules import Cosine

DIGITS = Digits(resolution=8, train_images=50)


def turned() -> PerImage:
    """Draws that make no two epochs of an image alike."""
    return PerImage({"crop": v2.RandomCrop(8, padding=2), "flip": v2.RandomHorizontalFlip(), "cutout": ImageCutout(4)})


def module(augmentation: Any, epoch: int = 0, **arguments: Any) -> ImageDataModule:
    """A data module whose trainer is about to train ``epoch``."""
    data = ImageDataModule(DIGITS, augmentation, **{"batch_size": 16, **arguments})
    progress = SimpleNamespace(current=SimpleNamespace(processed=epoch, started=epoch))
    place = {"current_epoch": epoch, "global_step": 0, "global_rank": 0, "world_size": 1, "precision_plugin": Precision()}
    place["strategy"] = SimpleNamespace(root_device=torch.device("cpu"))
    trainer: Any = SimpleNamespace(training=True, fit_loop=SimpleNamespace(epoch_progress=progress, epoch_loop=None), **place)
    data.trainer = trainer
    return data


def epochs(data: ImageDataModule, count: int) -> list[list[tuple[Tensor, Tensor]]]:
    """What the training step is given, epoch by epoch, out of one loader."""
    loader: Any = data.train_dataloader()
    seen = []
    for epoch in range(count):
        loader.sampler.set_epoch(epoch)  # as Lightning does
        seen.append([data.on_after_batch_transfer(batch, 0) for batch in loader])
    return seen


def equal(one: list[tuple[Tensor, Tensor]], other: list[tuple[Tensor, Tensor]]) -> bool:
    return all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(one, other, strict=True))


def by_image(batches: list[tuple[Tensor, Tensor]], epoch: int, **arguments: int) -> Tensor:
    """The images of an epoch in the dataset's order."""
    indices = torch.cat([batch.images for batch in module(turned(), epoch, **arguments).train_dataloader().sampler])
    return torch.cat([images for images, _ in batches])[indices.argsort()]


@pytest.mark.parametrize("transforms", [{}, {"off": None, "same": lambda image: image}])
def test_without_anything_to_do_both_ways_give_the_same_batches(transforms: dict[str, Any]) -> None:
    found, expected = epochs(module(PerImage(transforms)), 2), epochs(module(Augmentation({})), 2)
    assert all(equal(*pair) for pair in zip(found, expected, strict=True))
    assert found[0][0][0].dtype == torch.float32


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine with one core
def test_workers_change_no_image_and_see_each_epoch() -> None:
    alone, shared = epochs(module(turned()), 2), epochs(module(turned(), workers=2), 2)
    assert all(equal(*pair) for pair in zip(alone, shared, strict=True))
    first, second = (by_image(batches, epoch) for epoch, batches in enumerate(shared))
    differs = (first != second).flatten(1).any(1)
    assert differs.float().mean() > 0.9


def test_a_run_resumed_at_an_epoch_sees_the_same_images() -> None:
    data = module(turned(), epoch=2)
    assert equal([data.on_after_batch_transfer(batch, 0) for batch in data.train_dataloader()], epochs(module(turned()), 3)[2])


def test_seed_and_stage_change_the_images_batch_size_does_not() -> None:
    first = by_image(epochs(module(turned()), 1)[0], 0)
    for changed in ({"seed": 1}, {"stage_index": 1}):
        assert not torch.equal(first, by_image(epochs(module(turned(), **changed), 1)[0], 0, **changed))
    assert torch.equal(first, by_image(epochs(module(turned(), batch_size=7), 1)[0], 0, batch_size=7))


def test_each_image_is_what_torchvision_makes_of_it_under_its_seed() -> None:
    chain = v2.Compose([v2.RandomCrop(8, padding=2), v2.RandomHorizontalFlip(), v2.RandomRotation(15), v2.ColorJitter(0.5, 0.5)])
    named = {str(place): transform for place, transform in enumerate(chain.transforms)}
    data = module(PerImage(named), epoch=3, stage_index=1, seed=5)
    loader = data.train_dataloader()
    for indices, (images, _) in zip(loader.sampler, loader, strict=True):
        for index, image in zip(indices.images.tolist(), images, strict=True):
            with torch.random.fork_rng():
                torch.manual_seed(int(generator(5, "image augmentation", 1, 3, index).integers(2**32)))
                assert torch.equal(image, chain(DIGITS.train().images[index]))


def test_global_generators_are_seeded_for_each_image_and_restored() -> None:
    drawn: list[tuple[float, ...]] = []

    def draw(image: Tensor) -> Tensor:
        drawn.append((random.random(), float(np.random.rand()), float(torch.rand(1))))
        return image

    def states() -> tuple[Any, ...]:
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]

    before = states()
    epochs(module(PerImage({"draw": draw})), 1)
    first = drawn[-50:]  # others were drawn to check the transform
    assert len({value for values in first for value in values}) == 150
    np.random.seed(random.getrandbits(32))
    random.seed()
    torch.manual_seed(7)
    moved = states()
    epochs(module(PerImage({"draw": draw})), 1)
    assert drawn[-50:] == first
    with pytest.raises(InputError):
        PerImage({"draw": draw, "broken": lambda image: image[0]})(DIGITS.train().images[:2], [0, 1])
    assert states() == moved
    assert before[2] != moved[2]


@pytest.mark.parametrize(
    ("transform", "told"),
    [
        (
            lambda image: image[:, 1:],
            "must end in a uint8 image or a float image in [0, 1], of shape (1, 8, 8), not in uint8 of shape (1, 7, 8)",
        ),
        (lambda image: image.float() + 1, "not in float32 of shape (1, 8, 8) from 1 to "),
        (lambda image: image / 255 * float("nan"), "not in float32 of shape (1, 8, 8) from nan to nan"),
        (lambda image: image.long(), "not in int64 of shape (1, 8, 8)"),
        (v2.ToPILImage(), "not in an object of type Image"),
        (lambda image: None, "not in an object of type NoneType"),  # noqa: ARG005
        (
            v2.RandomCrop(32),
            "augmentation.transforms.one: fails on an image (Required crop size (32, 32) is larger than input image size (8, 8))",
        ),
        (v2.Normalize([0.5], [0.5]), "augmentation.transforms.one: fails on an image (Input tensor should be a float tensor"),
    ],
)
def test_transforms_that_do_not_end_in_an_image_are_refused(transform: Any, told: str) -> None:
    with pytest.raises(InputError) as refused:
        module(PerImage({"one": transform}), workers=2).train_dataloader()
    assert str(refused.value).startswith("augmentation.transforms")
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_no_transform_is_refused_by_its_name() -> None:
    with pytest.raises(InputError, match=r"^augmentation\.transforms\.blur: 3 is not a function of an image"):
        PerImage({"blur": 3})  # type: ignore[dict-item]
    with pytest.raises(InputError, match=r"^ImageCutout\.size: 0 must be at least 1"):
        ImageCutout(0)


def test_a_batch_of_uint8_and_float_images_is_float_in_0_to_1() -> None:
    images = DIGITS.train().images[:20]
    sometimes = PerImage({"image": v2.ToImage(), "scale": v2.RandomApply([v2.ToDtype(torch.float64, scale=True)])})
    found = sometimes(images, range(20))
    assert type(found) is Tensor
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, images / 255)
    assert isinstance(v2.ToImage()(images[0]), tv_tensors.Image)


def zeroed(images: Tensor) -> np.ndarray:
    return (images == 0).flatten(1).sum(1).double().numpy()


def test_flips_and_erased_squares_are_as_frequent_as_when_batched() -> None:
    images, rng, count = torch.full((600, 1, 32, 32), 9, dtype=torch.uint8), np.random.default_rng(0), 600
    images[..., :16] = 5
    seeds = rng.integers(2**32, size=count).tolist()
    for flipped in (PerImage({"flip": v2.RandomHorizontalFlip(0.3)})(images, seeds), RandomHorizontalFlip(0.3)(images, rng)):
        assert stats.binomtest(int((flipped[:, 0, 0, 0] == 9).sum()), count, 0.3).pvalue > 0.01
    single, batched = zeroed(PerImage({"cutout": ImageCutout(16)})(images, seeds)), zeroed(Cutout(16)(images, rng))
    assert stats.ks_2samp(single, batched).pvalue > 0.01
    for erased in (single, batched):  # on average 14 of 32 rows, and 14 columns
        assert abs(erased.mean() - 14 * 14) < 3 * erased.std() / count**0.5


def test_crop_windows_are_uniform() -> None:
    index = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).repeat(1000, 1, 1, 1)
    seeds = [int(generator(0, "image augmentation", 0, 0, image).integers(2**32)) for image in range(1000)]
    centre = PerImage({"crop": v2.RandomCrop(8, padding=2)})(index, seeds)[:, 0, 4, 4].long()
    counts = torch.bincount((centre // 8 - 2) * 5 + centre % 8 - 2, minlength=25)
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


def test_the_erased_square_of_a_float_image_is_the_one_of_a_uint8_image() -> None:
    image = torch.randint(1, 256, (3, 16, 16), dtype=torch.uint8)
    scaled = reference.to_dtype(image, torch.float32, scale=True)
    transform = PerImage({"cutout": ImageCutout(6)})
    torch.testing.assert_close(transform(scaled.unsqueeze(0), [4]), transform(image.unsqueeze(0), [4]) / 255)


def test_held_out_images_are_not_transformed() -> None:
    data = module(turned(), holdout=10)
    images, labels = next(iter(data.val_dataloader()))
    assert images.dtype == torch.uint8
    kept = DIGITS.train().images[data._split[1]]
    assert torch.equal(images, kept)
    assert len(labels) == 10


def test_a_candidate_is_trained_alone_with_transforms_of_single_images() -> None:
    space = SearchSpace("tiny", blocks=(1,), max_widths=(4,), width_step=2, resolution=8)
    recipe = Recipe(
        epochs=1,
        batch_size=25,
        optimizer=lambda parameters: torch.optim.SGD(parameters, 0.1),
        schedule=Cosine(),
        augmentation=turned(),
        family=ResidualFamily(space, DIGITS.classes, DIGITS.channels),
    )
    quiet = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    accuracies = {train_alone(space.largest, DIGITS, recipe, seed=0, trainer_arguments=quiet) for _ in range(2)}
    assert len(accuracies) == 1
