"""A batch of one image where features end at 1x1 pixels is refused before work, whatever the norms and the execution."""

import copy
import functools
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir

from nas_lightning.commands.configs import TrainConfig
from nas_lightning.commands.prepare import prepare
from nas_lightning.config.read import read
from nas_lightning.console.start import conf_folder, plain
from nas_lightning.data import Digits
from nas_lightning.data.check import describe
from nas_lightning.errors import InputError
from nas_lightning.scoring.bn_recalibration import Recalibration
from nas_lightning.scoring.score import rank
from nas_lightning.space import SearchSpace
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.checkpoint import make_header, save_supernet
from nas_lightning.supernet.path_batched import batched_forward, stack_widths

DEEP = ["space.blocks=[1,1,1,1]", "space.max_widths=[8,8,8,8]"]  # 8 pixels, 4, 2, 1
ONLY_STAGES = ["standalone.enabled=false", "ranking.enabled=false", "loader.holdout=0"]
ONLY_RANKING = ["standalone.enabled=false", "loader.holdout=0"]
ONLY_STANDALONE = ["ranking.enabled=false", "loader.holdout=0"]
RECALIBRATED = "ranking.statistics=recalibrated"


@pytest.fixture(scope="module")
def prepared() -> Callable[..., Any]:
    """Prepares micro with other values."""
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):  # once: composing is what takes long
        node = plain(compose("config", ["experiment=micro", "run_dir=run"]))

    def prepare_with(*overrides: str) -> Any:
        config = copy.deepcopy(node)
        for key, value in (override.split("=", 1) for override in overrides):
            *places, last = key.split(".")
            functools.reduce(operator.getitem, places, config)[last] = yaml.safe_load(value)
        return prepare(read(TrainConfig, config))

    return prepare_with


def refused(told: str, *overrides: str) -> Any:
    return pytest.param([*DEEP, *overrides], told, id=" ".join(overrides))


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        refused("199 leaves a batch of one of the 200 images that stage pretrain trains on", *ONLY_STAGES, "loader.batch_size=199"),
        refused("loader.batch_size: 199", *ONLY_STAGES, "loader.batch_size=199", "supernet.norm=running"),
        refused("loader.batch_size: 199", *ONLY_STAGES, "loader.batch_size=199", "stages.pretrain.path_execution=batched"),
        refused("loader.batch_size: 149 leaves a batch of one of the 150 images", "loader.holdout=50", "loader.batch_size=149"),
        refused("use loader.batch_size=4", *ONLY_STAGES, "loader.batch_size=3", "data.train_images=100"),
        refused("use at least 2 images", "loader.holdout=199", "standalone.enabled=false", "ranking.enabled=false"),
        refused("of the 66 images of each of 3 processes", *ONLY_STAGES, "loader.batch_size=65", "trainer.devices=3"),
        refused("eval_batch_size: 49 leaves a batch of one of the 50 held-out images (loader.holdout)", "loader.eval_batch_size=49"),
        refused("loader.eval_batch_size: 1 leaves", "loader.eval_batch_size=1"),
        refused("standalone.batch_size: 199 leaves a batch of one of the 200", *ONLY_STANDALONE, "standalone.batch_size=199"),
        refused(
            "standalone.norm: batch, with 1000 images a pass, leaves a batch of one of the 1,001 test images",
            *ONLY_STANDALONE, "standalone.norm=batch", "data.train_images=796",
        ),
        refused("ranking.batch_size: 299 leaves a batch of one of the 300 test images", *ONLY_RANKING, "ranking.batch_size=299"),
        refused("ranking.batch_size: 1 leaves a batch of one of the 300 test images", *ONLY_RANKING, "ranking.batch_size=1"),
        refused("ranking.batch_size: 1 leaves", *ONLY_RANKING, "ranking.images=1"),
        refused("1596 leaves a batch of one of the 1,597", *ONLY_RANKING, "ranking.images=null", "ranking.batch_size=1596"),
        refused(
            "ranking.recalibration_batch: 2 leaves a batch of one of the 3 training images",
            *ONLY_RANKING, RECALIBRATED, "ranking.recalibration_images=3", "ranking.recalibration_batch=2",
        ),
    ],
)  # fmt: skip
def test_a_lonely_image_is_refused_with_the_sizes_and_a_remedy(overrides: list[str], told: str, prepared: Callable) -> None:
    with pytest.raises(InputError) as error:
        prepared(*overrides)
    assert told in str(error.value)
    assert "features end at 1x1 pixels" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(["loader.batch_size=149", "ranking.batch_size=299", "standalone.batch_size=199"], id="features of 2x2 pixels"),
        pytest.param([*DEEP, "loader.batch_size=149", "loader.holdout=52"], id="a last batch of none"),
        pytest.param([*DEEP, "loader.batch_size=74", "loader.holdout=50"], id="a last batch of two"),
        pytest.param(
            [*DEEP, "supernet.norm=running", "loader.eval_batch_size=1", "ranking.batch_size=299"], id="averages while evaluating"
        ),
        pytest.param([*DEEP, RECALIBRATED, "ranking.recalibration_images=100", "ranking.batch_size=299"], id="recalibrated statistics"),
        pytest.param([*DEEP, *ONLY_STANDALONE, "data.train_images=796"], id="averages in the test of a training alone"),
    ],
)
def test_what_has_several_values_a_channel_or_needs_none_passes(overrides: list[str], prepared: Callable) -> None:
    prepared(*overrides)


def test_smaller_images_at_first_count_too(prepared: Callable) -> None:
    small = "stages.finetune.low_resolution={side: 4, share: 0.5}"  # 4 pixels, 2, 1
    with pytest.raises(InputError, match=r"loader\.batch_size: 149 leaves a batch of one of the 150 images that stage finetune trains on"):
        prepared(small, "loader.batch_size=149")
    prepared("loader.batch_size=149")


def test_the_remedy_is_the_next_size_that_leaves_no_single_image(prepared: Callable) -> None:
    sizes = [*DEEP, *ONLY_STAGES, "data.train_images=61"]  # 60 is a multiple of 3, 4, 5 and 6
    with pytest.raises(InputError, match=r"use loader\.batch_size=7$"):
        prepared(*sizes, "loader.batch_size=3")
    prepared(*sizes, "loader.batch_size=7")


def test_a_ranking_from_checkpoints_is_refused_before_the_first_is_ranked(tmp_path: Path, command: Callable) -> None:
    supernet = Supernet(SearchSpace("deep", (1, 1, 1, 1), (8, 8, 8, 8), 2, 8), classes=10, channels=1)
    for name in "ab":
        save_supernet(tmp_path / f"{name}.safetensors", supernet, make_header(supernet, describe(Digits(8))))
    (tmp_path / "list.json").write_text('{"a": {"acc": 0, "arch": "8-8-8-8-8-8-8-8-8"}}')
    arguments = [f"checkpoint={tmp_path}/*.safetensors", f"ranking.list={tmp_path}/list.json", f"run_dir={tmp_path}/ranked"]
    done = command("rank", *arguments, "ranking.images=101", "ranking.batch_size=50")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "ranking.batch_size: 50 leaves a batch of one of the 101 test images" in done.err
    assert not list((tmp_path / "ranked").rglob("*.csv"))


def test_candidates_alone_are_refused_before_they_train(tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas_lightning.standalone.truth.train_alone", lambda *_, **__: pytest.fail("it trained"))
    arguments = ["data=digits", "space=resnet_tiny", *DEEP, "population.count=3", "standalone.batch_size=499", f"run_dir={tmp_path}/run"]
    done = command("standalone", *arguments)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "standalone.batch_size: 499 leaves a batch of one of the 500 training images" in done.err
    assert not (tmp_path / "run").exists()


SPACE = SearchSpace("one", (1, 1), (4, 4), 2, 4)  # 2 pixels at the end; 1 for images of 2
IMAGE = torch.rand(1, 1, 2, 2)


@pytest.mark.parametrize("norm", ["batch", "running"])
@pytest.mark.parametrize("autocast", [False, True], ids=["by hand", "by PyTorch"])
def test_every_norm_refuses_a_single_value_in_training(norm: str, autocast: bool) -> None:
    supernet = Supernet(SPACE, 3, 1, norm=norm)
    with torch.autocast("cpu", enabled=autocast), pytest.raises(ValueError, match=r"value.*channel"):
        supernet(IMAGE, SPACE.largest)


def test_the_batched_execution_refuses_it_too() -> None:
    with pytest.raises(ValueError, match=r"value.*channel"):
        batched_forward(Supernet(SPACE, 3, 1), IMAGE, stack_widths([SPACE.largest], IMAGE.device))


@pytest.mark.parametrize("autocast", [False, True], ids=["by hand", "by PyTorch"])
def test_a_recalibration_refuses_it_too(autocast: bool) -> None:
    images = torch.rand(3, 1, 2, 2)
    with torch.autocast("cpu", enabled=autocast), pytest.raises(ValueError, match="one value a channel"):
        rank(Supernet(SPACE, 3, 1), [SPACE.largest], images, torch.tensor([0, 1, 2]), recalibration=Recalibration(images, 2))


def test_averages_evaluate_a_single_image() -> None:
    assert Supernet(SPACE, 3, 1, norm="running").eval()(IMAGE, SPACE.largest).isfinite().all()
