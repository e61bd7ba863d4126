"""A data set of one's own: every command that uses its images looks at both splits, and at the checkpoint, before it works."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas_lightning.data import ImageFolder
from nas_lightning.space import SearchSpace
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.checkpoint import make_header, save_supernet

MODULE = """
import os
import torch
from nas_lightning.data import ImageDataset

class Noise(ImageDataset):
    name = "noise of ones own"
    classes, channels, mean, std = 4, 3, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)

    def __init__(self, resolution=8, train_images=160, split_seed=0):
        self.resolution = resolution
        vars(self).update(eval(os.environ.get("NOISE_HAS", "{}")))

    def arguments(self):
        return {"resolution": self.resolution}

    def read(self, split):
        return self.split(split.upper(), 160 if split == "train" else 60)

    def split(self, name, count):
        size = (count, self.channels, self.resolution, self.resolution)
        x = torch.randint(256, size, dtype=torch.uint8, generator=torch.Generator().manual_seed(count))
        y = torch.arange(count) % self.classes
        return eval(os.environ.get(f"NOISE_{name}", "x, y"))
"""
MINE = ["plugins=[noise_of_ones_own]", "data._target_=noise_of_ones_own.Noise"]
SMALL = ["experiment=micro", "standalone.enabled=false", "stages.pretrain.epochs=1"]
TUNED = [*SMALL, *MINE, "returns=panel_cross_entropy"]
LIST = '{"a": {"acc": 0, "arch": "8-8-8-12-12-16-16"}, "b": {"acc": 0, "arch": "2-2-2-2-2-2-2"}}'
DATA = {"name": "noise of ones own", "arguments": {"resolution": 8}, "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Holds the module, a list and a checkpoint; the environment says what the data set is like. Nothing may train or rank."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "noise_of_ones_own.py").write_text(MODULE)
    (tmp_path / "list.json").write_text(LIST)
    write_checkpoint(tmp_path / "a.safetensors")
    for work in ("commands.run.train_stages", "standalone.truth.train_alone", "commands.ranking.rank_to_folder"):
        monkeypatch.setattr(f"nas_lightning.{work}", lambda *_, **__: pytest.fail("it worked"))
    return tmp_path


def write_checkpoint(path: Path, *, classes: int = 4, channels: int = 3, resolution: int = 8, **data: Any) -> None:
    space = SearchSpace("resnet_tiny", (1, 1, 1), (8, 12, 16), 2, resolution)
    supernet = Supernet(space, classes, channels)
    save_supernet(path, supernet, make_header(supernet, {**DATA, **data}))


def ranking(folder: Path, checkpoint: str = "a.safetensors") -> list[str]:
    return [f"checkpoint={folder}/{checkpoint}", f"ranking.list={folder}/list.json", "plugins=[noise_of_ones_own]", f"run_dir={folder}/run"]


def arguments_of(name: str, folder: Path) -> list[str]:
    """That make the command use the data set."""
    if name == "rank":
        return ranking(folder)
    if name == "tune":
        return [f"overrides=[{','.join(repr(one) for one in TUNED)}]", "search={seed: [1]}", f"run_dir={folder}/run"]
    if name == "standalone":
        return ["data=digits", "space=resnet_tiny", "population.count=3", *MINE, f"run_dir={folder}/run"]
    return [*SMALL, *MINE, f"run_dir={folder}/run"]


def assert_one_line(done: Any, told: str) -> None:
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert done.err.startswith(f"error: {told}"), done.err


@pytest.mark.parametrize("more", [["train"], ["train", "dry_run=true"], ["standalone"], ["rank"], ["tune"]], ids=" ".join)
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_command_looks_at_both_splits_before_it_works(
    more: list[str], split: str, folder: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(f"NOISE_{split.upper()}", "x, y + 1")
    name, *overrides = more
    done = command(name, *arguments_of(name, folder), *overrides)
    assert_one_line(done, f"data (Noise): {split} labels: 1..4 are not all in 0..3, as data.classes is 4; subtract 1\n")
    assert not list(folder.rglob("*.csv"))
    assert not list(folder.rglob("*.ckpt"))


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("TRAIN", "x / 255, y", "data (Noise): train images: dtype float32 is not uint8"),
        ("TRAIN", "x.permute(0, 2, 3, 1)[:, 1:], y", "data (Noise): train images: 7x8 pixels, but data.resolution is 8"),
        ("TEST", "x[:0], y[:0]", "data (Noise): test images: there are 0"),
        ("TEST", "x[..., :7, :7], y", "data (Noise): test images: 7x7 pixels, but data.resolution is 8"),
        ("TEST", "x, torch.eye(4)[y]", "data (Noise): test labels: shape (60, 4) is not (n,)"),
        ("HAS", "{'mean': (127, 127, 127)}", "data.mean: 127 is not in 0..1"),
        ("HAS", "{'std': (0.2,)}", "data.std: (0.2,) is not 3 positive numbers"),
        ("HAS", "{'resolution': 16}", "space.resolution: 8 differs from the images' 16"),
    ],
)
def test_a_fault_is_one_line_and_nothing_is_written(
    variable: str, value: str, told: str, folder: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(f"NOISE_{variable}", value)
    assert_one_line(command("standalone", *arguments_of("standalone", folder)), told)
    assert not (folder / "run").exists()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"classes": 5}, "classes 5, but those of noise of ones own have 4"),
        ({"channels": 1}, "channels 1, but those of noise of ones own have 3"),
        ({"resolution": 64}, "resolution 64, but those of noise of ones own have 8"),
        ({"mean": [0.4, 0.5, 0.5]}, "mean [0.4, 0.5, 0.5], but those of noise of ones own have [0.5, 0.5, 0.5]"),
        ({"std": [0.25]}, "std [0.25], but those of noise of ones own have [0.2, 0.2, 0.2]"),
    ],
    ids=lambda value: None if isinstance(value, str) else next(iter(value)),
)
def test_a_checkpoint_of_other_images_is_refused_with_both_values(said: dict[str, Any], told: str, folder: Path, command: Callable):
    write_checkpoint(folder / "b.safetensors", **said)
    for checkpoint in ("b.safetensors", "*.safetensors"):  # the other one of the two could be ranked
        done = command("rank", *ranking(folder, checkpoint))
        assert_one_line(done, f"checkpoint: {folder}/b.safetensors was trained on images with {told}\n")
        assert not list(folder.rglob("*.csv"))


def test_checkpoints_of_the_same_images_read_them_once(folder: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    write_checkpoint(folder / "b.safetensors")
    seen: list[int] = []
    monkeypatch.setattr("nas_lightning.commands.rank_many.rank_checkpoint", lambda _, __, dataset, *___, **____: seen.append(id(dataset)))
    monkeypatch.setattr("nas_lightning.commands.rank_many._compare", lambda *_: None)
    assert command("rank", *ranking(folder, "*.safetensors"), "ranking.images=60").code == 0
    assert len(seen) == 2
    assert len(set(seen)) == 1


def test_initial_weights_that_are_only_ranked_must_be_of_these_images(folder: Path, command: Callable):
    write_checkpoint(folder / "b.safetensors", mean=[0.4, 0.5, 0.5])
    without_stages = ["~stages.pretrain", "~stages.finetune", "~stages.distill_1", f"initial_checkpoint={folder}/b.safetensors"]
    done = command("train", *SMALL[:2], *MINE, *without_stages, "ranking.images=60", f"run_dir={folder}/run")
    assert_one_line(done, f"initial_checkpoint: {folder}/b.safetensors was trained on images with mean [0.4, 0.5, 0.5], but those of")
    assert not (folder / "run").exists()


@pytest.mark.slow
def test_arrays_and_plain_pairs_train_and_rank_like_tensors(tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "noise_of_ones_own.py").write_text(MODULE)
    scores = []
    for number, split in enumerate(["x, y", "[x.numpy(), y.numpy().astype('>i4')]", "(x.permute(0, 2, 3, 1), y.to(torch.uint8))"]):
        for name in ("TRAIN", "TEST"):
            monkeypatch.setenv(f"NOISE_{name}", split)
        run = tmp_path / str(number)
        done = command("train", *SMALL, *MINE, "ranking.images=60", f"run_dir={run}")
        assert done.code == 0, done.err
        scores.append((run / "ranking/scores.csv").read_bytes())
        settings = ["ranking.images=60", "ranking.fitted_on=30", "plugins=[noise_of_ones_own]"]
        lists = [f"ranking.list={run}/ranking/submission.json", *settings]
        done = command("rank", f"checkpoint={run}/supernet.safetensors", *lists, f"run_dir={run}_again")
        assert done.code == 0, done.err
        scores.append((tmp_path / f"{number}_again/ranking/scores.csv").read_bytes())
    assert len(set(scores)) == 1


@pytest.mark.slow
def test_a_test_split_that_was_cut_from_a_folder_is_reported(tmp_path: Path, command: Callable):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / f"images/{name}").mkdir(parents=True)
        for number in range(30):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / f"images/{name}/{number}.png")
    micro = ["experiment=micro", "data=image_folder", "~data.train_images", f"data.cache={tmp_path}/cache", "data.test_share=0.3"]
    few = ["stages.pretrain.max_steps=1", "stages.finetune.max_steps=1", "stages.distill_1.max_steps=1", "loader.holdout=10"]
    less = ["loader.batch_size=16", "standalone.enabled=false", "ranking.images=10"]
    done = command("train", *micro, *few, *less, f"data.root={tmp_path}/images", f"run_dir={tmp_path}/run", pages=True)
    assert done.code == 0, done.err
    said = "has no test/: 18 of its 60 images, 30 % of each class (data.test_share), are the test split, drawn with data.split_seed=0"
    assert " ".join(done.out.split()).count(said) == 1
    assert said in (tmp_path / "run/report.md").read_text().replace("\\", "")
    given = [f"checkpoint={tmp_path}/run/supernet.safetensors", f"data.root={tmp_path}/images", f"run_dir={tmp_path}/run"]
    few = ["search.algorithm=random", "search.evaluations=4", "search.population=4", "search.images=10", "search.finalists=1"]
    found = command("search", *given, *few, "search.budgets={multiply_adds: 100%}")
    assert found.code == 0, found.err
    assert " ".join(found.out.split()).count(said) == 1
    for name, split in {"0": "train", "1": "train", "2": "val"}.items():  # a folder with a split of its own
        for kind in ("cat", "dog"):
            (tmp_path / f"whole/{split}/{kind}").mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / f"images/{kind}/{name}.png", tmp_path / f"whole/{split}/{kind}")
    assert ImageFolder(tmp_path / "whole", 8).how_split == ""
