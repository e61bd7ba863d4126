"""Arguments of pl.Trainer in whole runs: what they must not change, and steps that every file counts alike."""

import csv
import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

STAGES = ["experiment=micro", "standalone.enabled=false", "ranking.enabled=false"]
STRIKE = ["plugins=[tests]", f"trainer.callbacks=[{{_target_: tests.strike.Strike, signum: {int(signal.SIGTERM)}, step: 3}}]"]
TORCH = ("ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "supernet.safetensors")


def rows(folder: Path, stage: str = "pretrain") -> list[dict[str, str]]:
    with (folder / "stages" / stage / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_equal(first: Path, second: Path) -> None:
    ours, theirs = weights(first), weights(second)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def plain(command: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "run"
    assert command("train", *STAGES, f"run_dir={folder}").code == 0
    return folder


@pytest.mark.parametrize(
    "argument", ["trainer.limit_train_batches=0.1", "trainer.strategy=ddp_spawn", "trainer.num_nodes=2", "trainer.sync_batchnorm=true"]
)
def test_a_dry_run_refuses_what_a_run_refuses(argument: str, command: Callable, tmp_path: Path):
    done = command("train", *STAGES, argument, "dry_run=true", f"run_dir={tmp_path}/run")
    assert (done.code, done.out) == (2, "")
    assert [line for line in done.err.splitlines() if line.startswith(f"error: {argument.split('=')[0]}: ")]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("argument", ["trainer.sync_batchnorm=true", "trainer.num_nodes=2", "trainer.strategy=ddp_fork"])
def test_the_other_commands_refuse_it_before_their_folder_is_claimed(argument: str, command: Callable, tmp_path: Path):
    alone = ["space=resnet_tiny", "data=digits", "population.count=4"]
    (tmp_path / "weights.ckpt").touch()
    for name, arguments in (("standalone", alone), ("rank", [f"checkpoint={tmp_path}/weights.ckpt"])):
        done = command(name, *arguments, argument, f"run_dir={tmp_path}/run")
        assert done.code == 2
        assert done.err.splitlines()[-1].startswith(f"error: {argument.split('=')[0]}: ")
        assert not (tmp_path / "run").exists()


def steps_told(table: str) -> dict[str, int]:
    return {name: int(found) for name, found in re.findall(r"^(\w+) +\d+ +\d+ +\d+ +(\d+) ", table, flags=re.MULTILINE)}


@pytest.mark.slow
def test_a_dry_run_counts_the_steps_of_several_devices(command: Callable, tmp_path: Path):
    several = ["trainer.devices=2", "stages.pretrain.max_steps=3", "dry_run=true", f"run_dir={tmp_path}/run"]
    # 150 images, 75 for each device, in batches of 64: tests/devices/test_runs.py counts as many in training
    assert steps_told(command("train", *STAGES, *several).out) == {"pretrain": 3, "finetune": 2, "distill_1": 2}


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "steps"), [("2", 2), ("0.67", 2), ("0.34", 1)])
def test_a_limit_shortens_dry_run_stages_tables_and_checkpoints_alike(limit: str, steps: int, command: Callable, tmp_path: Path):
    limited = [*STAGES, f"trainer.limit_train_batches={limit}", f"run_dir={tmp_path}/run"]
    told = steps_told(command("train", *limited, "dry_run=true").out)
    assert told == {"pretrain": 2 * steps, "finetune": steps, "distill_1": steps}
    assert command("train", *limited).code == 0
    for stage, count in told.items():
        assert [int(row["step"]) for row in rows(tmp_path / "run", stage)] == list(range(count))
        saved = torch.load(tmp_path / "run" / "stages" / stage / "last.ckpt", weights_only=True)
        assert (saved["global_step"], saved["nas_lightning"]["finished"]) == (count, True)
    rates = [float(row["lr"]) for row in rows(tmp_path / "run", "distill_1")]
    assert rates == pytest.approx([0.02 * (1 + torch.tensor(torch.pi * step / steps).cos().item()) / 2 for step in range(steps)])


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["trainer.limit_train_batches=2"],
        ["trainer.precision=64"],
        ["trainer.val_check_interval=2"],
        ["trainer.reload_dataloaders_every_n_epochs=1"],
    ],
    ids=" ".join,
)
def test_a_run_stopped_within_an_epoch_resumes_to_the_same_bits(arguments: list[str], command: Callable, tmp_path: Path):
    assert command("train", *STAGES, *arguments, f"run_dir={tmp_path}/whole").code == 0
    stopped = command("train", *STAGES, *arguments, *STRIKE, f"run_dir={tmp_path}/run")
    assert stopped.code == 128 + signal.SIGTERM, stopped.err
    resumed = command("train", *STAGES, *arguments, f"run_dir={tmp_path}/run")
    assert resumed.code == 0, resumed.err
    assert_equal(tmp_path / "run", tmp_path / "whole")
    for stage in ("pretrain", "finetune", "distill_1"):
        assert rows(tmp_path / "run", stage) == rows(tmp_path / "whole", stage)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        [
            "trainer.val_check_interval=1",
            "trainer.inference_mode=false",
            "trainer.enable_progress_bar=true",
            "trainer.num_sanity_val_steps=-1",
        ],
        ["trainer.reload_dataloaders_every_n_epochs=1", "trainer.limit_val_batches=0", "trainer.log_every_n_steps=3"],
        ["trainer.callbacks=[{_target_: pytorch_lightning.callbacks.TQDMProgressBar}]", "trainer.enable_model_summary=true"],
    ],
    ids=str,
)
def test_what_only_watches_changes_no_weight(arguments: list[str], plain: Path, command: Callable, tmp_path: Path):
    assert command("train", *STAGES, *arguments, f"run_dir={tmp_path}/run").code == 0
    assert_equal(tmp_path / "run", plain)


@pytest.mark.slow
def test_a_profiler_leaves_a_report_in_the_folder_of_every_stage(command: Callable, tmp_path: Path):
    assert command("train", *STAGES, "trainer.profiler=simple", f"run_dir={tmp_path}/run").code == 0
    for stage in ("pretrain", "finetune", "distill_1"):
        assert "run_training_batch" in (tmp_path / "run" / "stages" / stage / "fit-profile.txt").read_text()


@pytest.mark.slow
def test_double_precision_trains_with_a_hold_out_and_ranks(command: Callable, tmp_path: Path):
    arguments = ["experiment=micro", "trainer.precision=64-true", "standalone.count=3", "standalone.epochs=1", f"run_dir={tmp_path}/run"]
    done = command("train", *arguments)
    assert done.code == 0, done.err
    assert {value.dtype for value in weights(tmp_path / "run").values() if value.is_floating_point()} == {torch.float64}
    assert float(rows(tmp_path / "run")[-1]["largest/cross_entropy"]) > 0
    assert json.loads((tmp_path / "run" / "ranking" / "protocol.json").read_text())["dtype"] == "64-true"
    assert command("train", *arguments[:-1], "dry_run=true", f"run_dir={tmp_path}/other").code == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Checkpoint directory")
def test_a_checkpoint_callback_does_not_reach_the_ranking(command: Callable, tmp_path: Path):
    callback = f"{{_target_: pytorch_lightning.callbacks.ModelCheckpoint, dirpath: {tmp_path}/own, every_n_epochs: 1}}"
    arguments = ["experiment=micro", "standalone.enabled=false", f"trainer.callbacks=[{callback}]", f"run_dir={tmp_path}/run"]
    done = command("train", *arguments)
    assert done.code == 0, done.err
    assert (tmp_path / "run" / "ranking" / "scores.csv").is_file()
    assert list((tmp_path / "own").glob("*.ckpt"))


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCH)
def test_an_optimizer_of_torch_trains_a_stage(name: str, command: Callable, tmp_path: Path):
    optimizer = ["~stages.pretrain.optimizer", f"+stages.pretrain.optimizer={{_target_: torch.optim.{name}, lr: 0.01}}"]
    done = command("train", *STAGES, *optimizer, f"run_dir={tmp_path}/run")
    assert done.code == 0, done.err
    assert len(rows(tmp_path / "run")) == 6
