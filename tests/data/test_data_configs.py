"""Every shipped data and augmentation config makes what it says, and one entry of it can be changed alone."""

from pathlib import Path
from typing import Any, cast

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torchvision.transforms import v2

from nas_lightning.config.build import Builder
from nas_lightning.config.fields import Target
from nas_lightning.config.roles import AUGMENTATION
from nas_lightning.data import (
    Augmentation,
    ColorJitter,
    Cutout,
    ImageCutout,
    ImageDataset,
    PerImage,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    known_datasets,
)

CONF = Path(__file__).parents[2] / "conf"


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(overrides=list(overrides))


@pytest.mark.parametrize("name", sorted({path.stem for path in CONF.glob("data/*.yaml")} - {"image_folder"}))  # it needs images
def test_a_data_config_makes_its_dataset_with_its_own_defaults(name: str) -> None:
    dataset = instantiate(composed(f"+data={name}", "+space.resolution=16").data)
    assert isinstance(dataset, ImageDataset)
    assert dataset.name == name
    where = {} if name == "digits" else {"root": "anywhere"}
    assert dataset.header() == known_datasets()[name](**where).header()


@pytest.mark.parametrize(
    ("name", "operations"),
    [
        ("cutout", {"crop": RandomCrop(4), "flip": RandomHorizontalFlip(0.5), "rotate": RandomRotation(15), "cutout": Cutout(16)}),
        (
            "official",
            {"crop": RandomCrop(4), "jitter": ColorJitter(0.1, 0.1, 0.5), "flip": RandomHorizontalFlip(0.5), "rotate": RandomRotation(15)},
        ),
        ("none", {}),
    ],
)
def test_an_augmentation_config_makes_its_pipeline_in_order(name: str, operations: dict[str, object]) -> None:
    augmentation = instantiate(composed(f"+augmentation={name}").augmentation)
    assert isinstance(augmentation, Augmentation)
    assert list(augmentation.operations.items()) == list(operations.items())


def test_one_operation_can_be_changed_or_left_out_alone() -> None:
    changed = composed("+augmentation=cutout", "augmentation.operations.cutout.size=8", "augmentation.operations.rotate=null")
    operations = instantiate(changed.augmentation).operations
    assert operations == {"crop": RandomCrop(4), "flip": RandomHorizontalFlip(0.5), "cutout": Cutout(8)}


@pytest.mark.parametrize("place", ["augmentation", "standalone.augmentation"])
def test_the_torchvision_config_makes_the_same_pipeline(place: str) -> None:
    config = composed(f"+augmentation@{place}=torchvision", "+space.resolution=16")
    target = OmegaConf.to_container(OmegaConf.select(config, place), resolve=True)
    for augmentation in (instantiate(OmegaConf.select(config, place)), Builder().build(Target(target, AUGMENTATION), place)):
        assert isinstance(augmentation, PerImage)
        crop, flip, rotate, cutout = cast(list[Any], list(augmentation.transforms.values()))
        kinds = [type(transform) for transform in (crop, flip, rotate, cutout)]
        assert kinds == [v2.RandomCrop, v2.RandomHorizontalFlip, v2.RandomRotation, ImageCutout]
        assert (crop.size, crop.padding, flip.p, rotate.degrees, cutout) == ((16, 16), [4] * 4, 0.5, [-15, 15], ImageCutout(16))


def test_every_config_of_this_room_opens_with_a_comment() -> None:
    for path in [*CONF.glob("data/*.yaml"), *CONF.glob("augmentation/*.yaml")]:
        assert path.read_text().startswith("# "), path
