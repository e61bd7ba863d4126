"""Every shipped data and augmentation config makes what it says, and one entry of it can be changed alone."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig

from nas_lightning.data import (
    Augmentation,
    ColorJitter,
    Cutout,
    ImageDataset,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    known_datasets,
)

CONF = Path(__file__).parents[2] / "conf"


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(overrides=list(overrides))


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("data/*.yaml")))
def test_a_data_config_makes_the_dataset_of_its_name_with_its_own_defaults(name: str) -> None:
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


def test_every_config_of_this_room_opens_with_a_comment() -> None:
    for path in [*CONF.glob("data/*.yaml"), *CONF.glob("augmentation/*.yaml")]:
        assert path.read_text().startswith("# "), path
