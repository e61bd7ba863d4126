"""``experiment=short`` is tied to no data set: ``data=`` alone changes, and the space takes the images' resolution."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas_lightning.supernet.checkpoint import read_header
from tests.composing import composed_by_hydra


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three classes of ten pictures of 12x12."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(("ant", "bee", "cow")):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 60, (12, 12, 3), dtype=np.uint8)
            pixels[:, :, label] += 150
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    return tmp_path / "images"


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-100's layout with a few images a class."""
    from nas_lightning.data.cifar import Cifar100, RecordFile

    rng = np.random.default_rng(0)
    for name, count in (("train", 300), ("test", 200)):
        records = rng.integers(0, 256, (count, 2 + 3 * 32 * 32), dtype=np.uint8)
        records[:, 1] = np.arange(count) % 100
        (tmp_path / f"{name}.bin").write_bytes(records.tobytes())
        monkeypatch.setattr(Cifar100, f"{name}_files", (RecordFile(f"{name}.bin", count),))
    return tmp_path


DRY = ["experiment=short", "dry_run=true", "population.count=50", "ranking.fitted_on=30", "ranking.scored=30", "ranking.most_images=6"]


def data_of(name: str, request: pytest.FixtureRequest) -> list[str]:
    if name == "image_folder":
        return [f"data.root={request.getfixturevalue('images')}", f"data.cache={request.getfixturevalue('tmp_path')}/cache"]
    return [f"data.root={request.getfixturevalue('cifar')}"] if name == "cifar100" else []


@pytest.mark.parametrize("name", ["digits", "image_folder", "cifar100"])
def test_every_data_set_needs_only_its_own_keys(name: str, request: pytest.FixtureRequest, command: Callable):
    done = command("train", *DRY, f"data={name}", *data_of(name, request))
    assert done.code == 0, done.err
    assert "pretrain" in done.out
    assert "ranking: 30 candidates on 6 images" in done.out


@pytest.mark.parametrize("key", ["data.resolution=12", "space.resolution=12"])
def test_one_key_sets_the_resolution_and_the_checkpoint_knows_it(key: str, images: Path, tmp_path: Path, command: Callable):
    small = ["stages.pretrain.epochs=1", "population.count=8", "ranking.scored=null", "ranking.fitted_on=30", "ranking.resamples=10"]
    data = ["data=image_folder", f"data.root={images}", f"data.cache={tmp_path}/cache", "trainer.log_every_n_steps=1"]
    done = command("train", "experiment=short", *data, *small, key, f"run_dir={tmp_path}/run")
    assert done.code == 0, done.err
    header = read_header(tmp_path / "run/supernet.safetensors")
    assert header["supernet"]["space"]["resolution"] == header["data"]["arguments"]["resolution"] == 12
    assert header["data"]["arguments"]["class_names"] == ["ant", "bee", "cow"]


def test_two_resolutions_that_contradict_are_one_line_with_a_way_out(images: Path, command: Callable):
    data = ["data=image_folder", f"data.root={images}", f"data.cache={images.parent}/cache"]
    done = command("train", *DRY, *data, "data.resolution=12", "space.resolution=16")
    assert done.code == 2
    says = "space.resolution: 16 differs from the images' 12 (image_folder); give space.resolution=12, or another data.resolution"
    assert done.err == f"error: {says}\n"


@pytest.mark.slow
def test_more_images_than_there_are_may_be_the_most(images: Path, command: Callable):
    data = ["data=image_folder", f"data.root={images}", f"data.cache={images.parent}/cache", "data.resolution=12"]
    done = command("train", *DRY, *data, "ranking.most_images=1000")
    assert done.code == 0, done.err
    assert "on 6 images" in done.out
    done = command("train", *DRY, *data, "ranking.images=1000", "ranking.most_images=null")
    assert (done.code, done.err) == (2, "error: ranking.images: 1000 must be an integer from 1 to 6\n")


@pytest.mark.parametrize(("data", "experiment"), [([], "quickstart"), (["data=digits"], "quickstart"), (["data=cifar100"], "short")])
def test_images_of_another_data_set_take_this_recipe_unless_one_is_given(data: list[str], experiment: str):
    config = composed_by_hydra("config", "run_dir=x", *data, with_hydra=True)
    assert config.hydra.runtime.choices.experiment == experiment
    given = composed_by_hydra("config", "run_dir=x", *data, "experiment=track1_cpu", with_hydra=True)
    assert given.hydra.runtime.choices.experiment == "track1_cpu"
