"""A user's mistake ends a command with one line on stderr, exit code 2, and nothing written."""

import copy
import functools
import operator
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import nas_lightning
from nas_lightning.commands.configs import TrainConfig
from nas_lightning.commands.prepare import prepare
from nas_lightning.config.read import read
from nas_lightning.errors import InputError
from tests.composing import composed

MICRO = "experiment=micro"
MISTAKES = {  # arguments of nas-train -> what the line must hold
    "experment=micro": ["experment: is not a key; did you mean experiment?"],
    "sed=3": ["sed", "seed"],
    "+sed=3": ["sed", "did you mean seed?"],
    "loader.batchsize=3": ["loader.batchsize", "batch_size"],
    "+stages.pretrain.epoch=5": ["stages.pretrain.epoch", "did you mean epochs?"],
    "+stages.pretrain.sampler.path=3": ["stages.pretrain.sampler.path", "did you mean paths?"],
    "trainer.max_epoch=3": ["trainer.max_epoch", "max_epochs"],
    "experiment=mirco": ["mirco", "micro", "track1"],
    "data=digit": ["digit", "digits"],
    "seed=-1": ["seed: -1", "at least 0"],
    "seed=0,1": ["seed: 0,1 are several values; add -m to run each, or write a list as seed=[0,1]"],
    "seed": ["seed"],
    "seed=[1": ["[1"],
    "augmentation=null": ["group"],
    "~augmentation": ["augmentation", "missing"],
    "stages.distill_1.sampler.choose.count=500": ["stages.distill_1.sampler", "500", "24"],
    "trainer.max_epochs=3": ["trainer.max_epochs", "stages.<name>.epochs"],
}
VALUES = {  # key and value of micro's config -> what the line must hold
    "+data.train_image=3": ["data.train_image", "did you mean train_images?"],
    "stages.pretrain.epochs=0": ["stages.pretrain.epochs: 0", "at least 1"],
    "stages.pretrain.optimizer.lr=abc": ["stages.pretrain.optimizer.lr", "'abc'", "must be a number"],
    "stages.pretrain.optimizer.lr=-1": ["stages.pretrain.optimizer", "-1"],
    "stages.distill_1.sampler.choose.count=abc": ["stages.distill_1.sampler", "abc"],
    "stages.pretrain.objective._target_=os.system": ["stages.pretrain.objective._target_", "os.system"],
    "stages.pretrain.non_finite=ignore": ["stages.pretrain.non_finite: 'ignore'", "stop, skip"],
    "stages.pretrain.low_resolution={side: 8, share: 0.5}": ["stages.pretrain.low_resolution.side: 8", "below the images' 8"],
    "stages.pretrain.low_resolution={side: 4, share: 0}": ["stages.pretrain.low_resolution.share: 0"],
    "stages.pretrain.low_resolution={side: 4}": ["stages.pretrain.low_resolution.share", "missing"],
    "ranking.predictor=none": ["ranking.score: predicted", "ranking.predictor"],
    "stages.pretrain.schedule.final_lr=0.06": ["stages.pretrain.schedule.final_lr: 0.06", "above", "optimizer.lr: 0.05"],
    "standalone.schedule.final_lr=0.5": ["standalone.schedule.final_lr: 0.5", "above"],
    "augmentation.operations=null": ["augmentation.operations: None", "augmentation=none has none"],
    "augmentation.operations={cut: {_target_: nas_lightning.data.augmentation.Cutout, size: 16}}": ["augmentation", "8x8 pixels"],
    "supernet.norm=none": ["supernet.norm: 'none'", "batch, running"],
    "loader.holdout=200": ["loader.holdout: 200"],
    "population.file=/nowhere.json": ["/nowhere.json"],
    "initial_checkpoint=/nowhere.ckpt": ["/nowhere.ckpt"],
    "trainer.devices=abc": ["trainer", "devices"],
    "trainer.gradient_clip_val=abc": ["trainer.gradient_clip_val", "abc"],
    "trainer.accumulate_grad_batches=2": ["trainer.accumulate_grad_batches"],
    "standalone.seeds=[]": ["standalone.seeds"],
    "standalone.seeds=[-1]": ["standalone.seeds", "-1"],
    "standalone.count=100": ["standalone.count: 100", "24"],
    "standalone.count=2": ["standalone", "2 of the 24", "at least 3"],
    "ranking.images=5000": ["ranking.images: 5000", "1597"],
    "ranking.list=/nowhere.json": ["/nowhere.json"],
    "ranking.known_accuracies=/nowhere.json": ["/nowhere.json"],
    "ranking.budgets=[0]": ["ranking.budgets"],
}


@pytest.mark.parametrize("argument", MISTAKES)
def test_a_mistake_ends_in_one_line_before_anything_is_written(
    argument: str, tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("nas_lightning.commands.run.train_stages", _no_training)
    done = command("train", MICRO, argument, f"run_dir={tmp_path}/run")
    assert_one_line(done.code, done.err, MISTAKES[argument])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "holds"), [("x" * 300, "up to 100"), ("PRETRAIN", "in capitals alone"), ("end.", "no '.' at an end")])
def test_a_stage_name_that_no_folder_can_have_is_refused_at_once(
    name: str, holds: str, tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("nas_lightning.commands.run.train_stages", _no_training)
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    groups = {"sampler": "uniform", "objective": "cross_entropy", "optimizer": "sgd", "schedule": "cosine"}
    chosen = [{f"/stage@stages.{name}": "default"}, *({f"/{group}@stages.{name}.{group}": one} for group, one in groups.items())]
    mine = {"defaults": ["micro", *chosen, "_self_"], "stages": {name: {"epochs": 1}}} if name != "end." else None
    text = yaml.safe_dump(mine or {"defaults": ["micro", "_self_"], "stages": {name: "${stages.pretrain}"}})
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text("# @package _global_\n" + text)
    done = command("train", "--config-dir", tmp_path / "conf", "experiment=mine", f"run_dir={tmp_path}/run")
    assert_one_line(done.code, done.err, [f"stages.{name[:50]}", holds])
    assert len(done.err) < 300
    assert not (tmp_path / "run").exists()


def test_a_transform_that_fails_for_the_truth_stops_the_run_at_once(tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nas_lightning.commands.run.train_stages", _no_training)
    changed = ("augmentation@standalone.augmentation=torchvision", "standalone.augmentation.transforms.crop.size=99")
    done = command("train", MICRO, *changed, f"run_dir={tmp_path}/run")
    assert_one_line(done.code, done.err, ["standalone.augmentation.transforms.crop", "99"])
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def node() -> dict[str, Any]:
    """The composed config of micro."""
    return composed("config", MICRO, "run_dir=run")


@pytest.mark.parametrize("argument", VALUES)
def test_a_value_that_cannot_be_is_refused_when_the_run_is_prepared(argument: str, node: dict[str, Any]):
    key, value = argument.removeprefix("+").split("=")
    config = copy.deepcopy(node)
    *places, last = key.split(".")
    functools.reduce(operator.getitem, places, config)[last] = yaml.safe_load(value)
    with pytest.raises(InputError) as refused:
        prepare(read(TrainConfig, config))
    assert "\n" not in str(refused.value)
    for part in VALUES[argument]:
        assert part in str(refused.value)


@pytest.mark.parametrize(
    ("content", "holds"),
    [
        ({"sed": 3}, ["sed", "did you mean seed?"]),
        ({"stages": {"pretrain": {"epoch": 3}}}, ["stages.pretrain.epoch", "did you mean epochs?"]),
        ({"trainer": {"max_epoch": 3}}, ["max_epoch", "max_epochs"]),
        ({"stages": {"extra": {"epochs": 3}}}, ["stages.extra.sampler", "missing"]),
        ({"seed": "three"}, ["seed: 'three'", "integer"]),
        ("seed: [", ["mine"]),
    ],
    ids=str,
)
def test_a_mistake_in_an_experiment_of_ones_own_ends_in_one_line(content: object, holds: list[str], tmp_path: Path, command: Callable):
    text = content if isinstance(content, str) else yaml.safe_dump({"defaults": ["micro", "_self_"], **content})
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text("# @package _global_\n" + text)
    done = command("train", "--config-dir", tmp_path / "conf", "experiment=mine", f"run_dir={tmp_path}/run")
    assert_one_line(done.code, done.err, holds)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_an_experiment_of_ones_own_may_set_any_key(tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(
        "nas_lightning.commands.run.run_experiment", lambda config, *_: seen.append((config.loader.batch_size, config.seed))
    )
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    mine = {"defaults": ["micro", "_self_"], "loader": {"batch_size": 33}, "seed": 5}
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text("# @package _global_\n" + yaml.safe_dump(mine))
    assert command("train", "--config-dir", tmp_path / "conf", "experiment=mine", f"run_dir={tmp_path}/run").code == 0
    assert seen == [(33, 5)]


@pytest.mark.parametrize(
    ("name", "arguments", "holds"),
    [
        ("rank", [], ["checkpoint"]),
        ("rank", ["checkpoint=/nowhere.ckpt"], ["/nowhere.ckpt"]),
        ("rank", ["checkpoint=/nowhere/*.ckpt"], ["/nowhere/*.ckpt"]),
        ("rank", ["checkpoint=x", "ranking.chunk_sise=3"], ["ranking.chunk_sise", "chunk_size"]),
        ("rank", [f"checkpoint={__file__}", "+data.mean=[0.5]"], ["data.mean", "root"]),
        ("rank", ["checkpoint=x", "space=resnet_tiny"], ["space"]),
        ("standalone", ["standalone.seed=[0]"], ["standalone.seed", "seeds"]),
        (
            "standalone",
            ["standalone.optimizer._target_=os.system", "data=digits", "space=resnet_tiny", "population.count=5"],
            ["os.system"],
        ),
        ("compare", ["first=/nowhere.csv", "second=/nowhere.csv"], ["/nowhere.csv"]),
        ("compare", ["first=a"], ["second"]),
        ("compare", [f"first={__file__}", f"second={__file__}", "resamples=1"], ["resamples: 1", "at least 10"]),
    ],
    ids=str,
)
def test_a_mistake_in_the_other_commands_ends_in_one_line(
    name: str, arguments: list[str], holds: list[str], tmp_path: Path, command: Callable
):
    done = command(name, *arguments, f"run_dir={tmp_path}/run")
    assert_one_line(done.code, done.err, holds)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_shell_sees_one_line_and_exit_code_2_and_no_file(tmp_path: Path):
    train = Path(nas_lightning.__file__).parent.parent / "train.py"
    done = subprocess.run(
        [sys.executable, train, MICRO, "+stages.pretrain.epoch=3"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert_one_line(done.returncode, done.stderr, ["stages.pretrain.epoch", "did you mean epochs?"])
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


def assert_one_line(code: int, err: str, holds: list[str]) -> None:
    assert (code, err.count("\n")) == (2, 1), err
    assert err.startswith("error: ")
    for part in holds:
        assert part in err


def _no_training(*_: object, **__: object) -> None:
    raise AssertionError("the mistake was not noticed before training")
