"""Every sampler and objective of conf/: chosen on a command line, two steps, stopped between them, resumed to the same weights."""

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nas_lightning.commands.configs import TrainConfig
from nas_lightning.commands.prepare import make_data, prepare
from nas_lightning.config.build import Builder
from nas_lightning.config.read import read
from nas_lightning.console.start import conf_folder
from nas_lightning.data import Digits
from nas_lightning.data.check import describe
from nas_lightning.space import Architecture, SearchSpace
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.checkpoint import make_header, save_supernet
from nas_lightning.training.module import SupernetTraining
from nas_lightning.training.passes import Batched, Sequential
from nas_lightning.training.run_stages import train_stages
from nas_lightning.training.stage import Stage
from tests.composing import composed

SLOW = ("listed_random200", "listed_spaced200")
"""Options that differ from others only in how many candidates they list."""
WAYS = [
    pytest.param(f"{group}={path.stem}", marks=pytest.mark.slow if path.stem in SLOW else ())
    for group in ("sampler", "objective")
    for path in sorted(conf_folder().glob(f"{group}/*.yaml"))
]
NEEDED = {  # keys that an option of the small run cannot do without
    "sampler=listed_file": "stages.pretrain.sampler.choose.path={}/list.json",
    "sampler=listed_random100": "stages.pretrain.sampler.choose.count=7",
    "sampler=listed_random200": "stages.pretrain.sampler.choose.count=7",
    "sampler=listed_spaced200": "stages.pretrain.sampler.choose={{step: 2, count: 8}}",
    "objective=fixed_teacher": "stages.pretrain.objective.checkpoint={}/teacher.safetensors",
}
ALONE = ("experiment=micro", "standalone=none", "ranking=none", "~stages.finetune", "~stages.distill_1", "loader.holdout=0", "run_dir=out")


class Stopped(Exception):
    pass


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list and a teacher of the small run's space."""
    folder = tmp_path_factory.mktemp("files")
    codes = ("8-2-8-12-2-16-4", "2-2-2-2-2-2-2", "8-8-8-12-12-16-16")
    (folder / "list.json").write_text(json.dumps({f"arch{index}": {"acc": 0, "arch": code} for index, code in enumerate(codes)}))
    teacher = Supernet(SearchSpace("resnet_tiny", (1, 1, 1), (8, 12, 16), 2, 8), classes=10, channels=1, seed=7)
    save_supernet(folder / "teacher.safetensors", teacher, make_header(teacher, describe(Digits(8, 200))))
    return folder


def composed_run(files: Path, *options: str, steps: int = 2) -> TrainConfig:
    """The small run with options for its one stage, of ``group=option``."""
    chosen = [f"{group}@stages.pretrain.{group}={name}" for group, name in (option.split("=") for option in options)]
    needed = [NEEDED[option].format(files) for option in options if option in NEEDED]
    return read(TrainConfig, composed("config", *ALONE, f"++stages.pretrain.max_steps={steps}", *chosen, *needed))


def train(folder: Path, config: TrainConfig, **changed: Any) -> dict[str, Tensor]:
    """The weights after the small run's stage, all its objects made anew; ``changed`` are fields of Stage."""
    run = prepare(config)
    train_stages(
        [dataclasses.replace(stage, **changed) for stage in run.stages],
        run.supernet,
        lambda index: make_data(config, Builder(), run.dataset, index),
        folder,
        header={},
        make_arguments=lambda: {"accelerator": "cpu", "devices": 1, "log_every_n_steps": 1},
        panel=None,
        save_every_steps=1,
    )
    return run.supernet.state_dict()


@pytest.fixture
def stopped_at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Raises before the training step of that number."""

    def stop(number: int) -> Any:
        whole = SupernetTraining.training_step

        def step(self: SupernetTraining, *arguments: Any) -> None:
            if self.global_step == number:
                raise Stopped
            whole(self, *arguments)

        monkeypatch.setattr(SupernetTraining, "training_step", step)
        return monkeypatch.undo

    return stop


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_two_steps_of_a_stopped_run_end_with_the_weights_of_one_that_was_not(
    way: str, files: Path, tmp_path: Path, stopped_at: Any
) -> None:
    config = composed_run(files, way)
    whole = train(tmp_path / "whole", config)
    undo = stopped_at(1)
    with pytest.raises(Stopped):
        train(tmp_path / "stopped", config)
    undo()
    saved = torch.load(tmp_path / "stopped/stages/pretrain/last.ckpt", weights_only=True)
    assert saved["global_step"] == 1
    resumed = train(tmp_path / "stopped", config)
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())
    assert not all(torch.equal(saved["state_dict"][f"supernet.{name}"], tensor) for name, tensor in whole.items())


@pytest.mark.parametrize("objective", sorted(path.stem for path in conf_folder().glob("objective/*.yaml")))
def test_a_sandwich_learns_an_objective_in_one_pass_as_in_several(objective: str, files: Path, tmp_path: Path) -> None:
    config = composed_run(files, "sampler=sandwich", f"objective={objective}", steps=1)
    each, together = (train(tmp_path / type(how).__name__, config, path_execution=how) for how in (Sequential(), Batched()))
    for name, tensor in each.items():
        torch.testing.assert_close(together[name], tensor, rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.slow
def test_a_stopped_fair_stage_trains_each_width_equally_often(
    files: Path, tmp_path: Path, stopped_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[Architecture] = []
    run_passes = Stage.run_passes

    def counted(self: Stage, supernet: Supernet, batch: Any, paths: Sequence[Architecture], *more: Any, **how: Any) -> Any:
        trained.extend(paths)
        return run_passes(self, supernet, batch, paths, *more, **how)

    # Layers of 4, 6 and 8 widths: after 24 paths, which are 8 steps of 3, all their rounds end.
    config = composed_run(files, "sampler=fair", steps=8)
    undo = stopped_at(5)
    monkeypatch.setattr(Stage, "run_passes", counted)
    with pytest.raises(Stopped):
        train(tmp_path, config, epochs=3)
    assert len(trained) == 15
    undo()
    monkeypatch.setattr(Stage, "run_passes", counted)
    train(tmp_path, config, epochs=3)
    assert len(trained) == 24
    for layer, column in enumerate(zip(*(path.widths for path in trained), strict=True)):
        widths = range(2, [8, 8, 8, 12, 12, 16, 16][layer] + 1, 2)
        assert Counter(column) == dict.fromkeys(widths, 24 // len(widths))
