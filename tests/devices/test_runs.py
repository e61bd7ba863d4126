"""Whole runs in two processes, from the command line: the files of one process, stopped and gone on with, in a multirun, under torchrun."""

import csv
import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
TWO = ["trainer=ddp", "trainer.accelerator=cpu"]
ALONE = ["ranking.prefix_memory=0", "ranking.chunk_size=4"]  # no neighbour changes the rounding of a score
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(python: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``experiment=micro`` in two processes, uninterrupted."""
    folder = tmp_path_factory.mktemp("devices") / "run"
    done = python("train.py", "experiment=micro", *TWO, *ALONE, f"run_dir={folder}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "2 devices, loader.batch_size images on each, 2 steps an epoch; the learning rate stays" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.count("run folder:") == done.stdout.count("next, ") == done.stdout.count("weights:") == 1
    return folder


def strike(signum: int, rank: int, step: int) -> list[str]:
    """The process of one device sends itself a signal."""
    callback = f"{{_target_: tests.strike.Strike, signum: {int(signum)}, rank: {rank}, step: {step}}}"
    return ["plugins=[tests]", f"trainer.callbacks=[{callback}]"]


def scores(folder: Path) -> dict[str, list[str]]:
    with (folder / "ranking" / "scores.csv").open(newline="") as file:
        return {row["architecture"]: [row[key] for key in ("top1", "top5", "cross_entropy")] for row in csv.DictReader(file)}


def test_each_process_works_and_one_writes(run: Path):
    assert sorted(path.name for path in (run / "standalone").iterdir()) == ["accuracies.csv", "known_accuracies.json", "recipe.json"]
    assert json.loads((run / "environment.json").read_text()).get("continued") is None
    for stage, steps in (("pretrain", 4), ("finetune", 2), ("distill_1", 2)):  # 150 images, 64 on each of two devices
        rows = (run / "stages" / stage / "metrics.csv").read_text().splitlines()[1:]
        assert [int(row.split(",")[0]) for row in rows] == list(range(steps))
    assert not list(run.rglob("*.tmp"))


def test_what_is_trained_alone_is_what_one_process_trains(run: Path, micro: Path):
    assert (run / "standalone" / "accuracies.csv").read_text() == (micro / "standalone" / "accuracies.csv").read_text()


def test_the_scores_are_those_of_one_process(run: Path, command: Callable, tmp_path: Path):
    listed = run / "ranking" / "submission.json"
    settings = ["ranking.images=300", "ranking.fitted_on=30", *ALONE]
    arguments = [f"checkpoint={run}/supernet.safetensors", f"ranking.list={listed}", *settings]
    assert command("rank", *arguments, f"run_dir={tmp_path}").code == 0
    assert scores(tmp_path) == scores(run)


def test_a_list_shorter_than_the_devices_is_ranked(run: Path, python: Callable, tmp_path: Path):
    settings = ["ranking.images=300", "ranking.predictor=none", "ranking.score=cross_entropy", *ALONE]
    arguments = [f"checkpoint={run}/supernet.safetensors", f"ranking.list={run}/ranking/submission.json", *settings]
    done = python("-m", "nas_lightning.commands.rank", *arguments, *TWO, "ranking.count=1", f"run_dir={tmp_path}")
    assert done.returncode == 0, done.stderr[-3000:]
    found = scores(tmp_path)
    assert len(found) == 1
    assert found.items() <= scores(run).items()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_run_that_is_terminated_goes_on_to_the_same_bits(rank: int, run: Path, python: Callable, tmp_path: Path):
    folder = tmp_path / "run"
    arguments = ["train.py", "experiment=micro", *TWO, *ALONE, f"run_dir={folder}"]
    done = python(*arguments, *strike(signal.SIGTERM, rank, step=2))
    assert done.returncode == 128 + signal.SIGTERM, done.stderr[-3000:]
    last = folder / "stages" / "pretrain" / "last.ckpt"
    assert done.stderr.splitlines()[-1] == f"stopped by SIGTERM after step 3: {last}; give the same run_dir again to go on"
    assert done.stderr.count("stopped by") == 1
    assert "Traceback" not in done.stderr
    assert torch.load(last, weights_only=True)["global_step"] == 3
    done = python(*arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    found, expected = (load_file(one / "supernet.safetensors") for one in (folder, run))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert scores(folder) == scores(run)


def test_a_ranking_that_loses_a_process_keeps_its_rows_and_resumes(run: Path, python: Callable, tmp_path: Path):
    folder = tmp_path / "ranked"
    space = ["ranking.images=500", "ranking.prefix_memory=0", "ranking.chunk_size=1", "ranking.fitted_on=30"]
    listed = tmp_path / "list.json"
    codes = {f"{a}-{b}-{c}-8-8-8-8" for a in (2, 4, 6, 8) for b in (2, 4, 6, 8) for c in (2, 4, 6, 8)}
    listed.write_text(json.dumps({f"arch{number}": {"acc": 0, "arch": code} for number, code in enumerate(sorted(codes))}))
    arguments = ["-m", "nas_lightning.commands.rank", f"checkpoint={run}/supernet.safetensors", f"ranking.list={listed}", *space, *TWO]
    done = python(*arguments, f"run_dir={folder}", *strike(signal.SIGKILL, rank=1, step=2))
    assert_lost(done, "of device 1, was killed by SIGKILL")
    written = {path: path.read_bytes() for path in (folder / "ranking" / "parts").glob("*.csv")}
    assert 2 <= len(written) < len(codes)
    done = python(*arguments, f"run_dir={folder}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path: path.read_bytes() for path in written} == written
    done = python(*arguments, f"run_dir={tmp_path}/whole")
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(scores(folder)) == len(codes)
    assert scores(folder) == scores(tmp_path / "whole")


@pytest.mark.parametrize(("signum", "how"), [(signal.SIGKILL, "was killed by SIGKILL"), (signal.SIGSEGV, "was killed by SIGSEGV")])
def test_a_stage_that_loses_a_process_is_reported_in_one_line(signum: int, how: str, python: Callable, tmp_path: Path):
    done = python("train.py", "experiment=micro", *TWO, *ALONE, f"run_dir={tmp_path}/run", *strike(signum, rank=1, step=2))
    assert_lost(done, f"of device 1, {how}")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_ranking_on_several_devices_ends_as_it_is_asked(rank: int, run: Path, python: Callable, tmp_path: Path):
    arguments = ["-m", "nas_lightning.commands.rank", f"checkpoint={run}/supernet.safetensors", "ranking.chunk_size=1", *TWO]
    listed = f"ranking.list={run}/ranking/submission.json"
    done = python(*arguments, listed, f"run_dir={tmp_path}", *strike(signal.SIGTERM, rank=rank, step=2))
    assert "Traceback" not in done.stderr
    if rank == 0:
        assert done.returncode == 128 + signal.SIGTERM, done.stderr
        assert done.stderr.splitlines()[-1] == "stopped by SIGTERM; give the same run_dir again to go on"
    else:
        assert_lost(done, "of device 1, ended with exit code 0")


def assert_lost(done: subprocess.CompletedProcess[str], how: str) -> None:
    """One line of the loss, nothing of its echo in the other process."""
    assert done.returncode == 2, done.stderr[-3000:]
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: trainer.devices: process ")
    assert last.endswith(f"{how}; give the same run_dir again to resume")
    assert "Traceback" not in done.stderr


def test_the_jobs_of_a_multirun_have_a_folder_each_and_their_own_config(python: Callable, tmp_path: Path):
    swept = ["stages.pretrain.optimizer.lr=0.05,0.02", "standalone=none", "hydra.mode=MULTIRUN", f"hydra.sweep.dir={tmp_path}/sweep"]
    done = python("train.py", "experiment=micro", *TWO, *swept, pages=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir()) == ["0", "1", "multirun.yaml", "sweep", "sweep.html", "sweep.md"]
    for number, rate in (("0", 0.05), ("1", 0.02)):
        job = tmp_path / "sweep" / number
        assert f"lr: {rate}" in (job / "config.yaml").read_text()
        assert (job / "finished.json").exists()
        rows = (job / "stages" / "pretrain" / "metrics.csv").read_text().splitlines()
        assert len(rows) == 1 + 4  # half of one process's steps: both trained
        assert float(rows[1].split(",")[rows[0].split(",").index("lr")]) == rate


def test_a_job_that_fails_in_all_its_processes_leaves_the_next_one_alone(python: Callable, tmp_path: Path):
    swept = ["train.py", "-m", "experiment=micro", "seed=0,1", *TWO, "standalone=none", f"hydra.sweep.dir={tmp_path}"]
    assert python(*swept, "ranking=none").returncode == 0
    (tmp_path / "0" / "finished.json").unlink()
    protocol = tmp_path / "0" / "ranking" / "protocol.json"
    protocol.parent.mkdir()
    protocol.write_text('{"images": 7}')  # the ranking of the first job is refused, by both processes
    done = python(*swept)
    assert done.returncode == 2, done.stderr[-3000:]
    assert "protocol.json" in done.stderr
    assert (tmp_path / "1" / "ranking" / "scores.csv").exists()


def test_a_stage_goes_on_with_fewer_devices_from_an_epochs_end(python: Callable, tmp_path: Path):
    arguments = ["train.py", "experiment=micro", "standalone=none", "ranking=none", "stages.pretrain.epochs=4", f"run_dir={tmp_path}/run"]
    assert python(*arguments, *TWO, *strike(signal.SIGKILL, rank=0, step=2)).returncode == -signal.SIGKILL
    done = python(*arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    content = torch.load(tmp_path / "run" / "stages" / "pretrain" / "last.ckpt", weights_only=True)
    assert (content["nas_lightning"]["finished"], content["nas_lightning"]["devices"], content["epoch"]) == (True, 1, 4)
    assert content["global_step"] == 2 + 3 * 3  # two steps an epoch on two devices, three on one


def test_a_resumed_epoch_logs_all_its_steps_on_all_devices(python: Callable, tmp_path: Path):
    once = ["~stages.finetune", "~stages.distill_1", "standalone=none", "ranking=none", "loader.batch_size=4", "save_every_steps=1"]
    arguments = ["train.py", "experiment=micro", *TWO, *once, "stages.pretrain.epochs=1"]
    assert python(*arguments, f"run_dir={tmp_path}/stopped", *strike(signal.SIGKILL, rank=0, step=5)).returncode == -signal.SIGKILL
    for folder in ("stopped", "whole"):
        done = python(*arguments, f"run_dir={tmp_path}/{folder}")
        assert done.returncode == 0, done.stderr[-3000:]
    found, expected = ((tmp_path / folder / "stages/pretrain/metrics.csv").read_text() for folder in ("stopped", "whole"))
    assert found == expected
    assert len(found.splitlines()) > 10


def test_torchrun_needs_a_folder_and_then_runs_as_lightning_does(run: Path, torchrun: Callable, tmp_path: Path):
    done = torchrun("train.py", "experiment=micro", *TWO, *ALONE)
    assert done.returncode != 0
    assert "error: run_dir: must be given where 2 processes are started from outside" in done.stderr
    done = torchrun("train.py", "experiment=micro", *TWO, *ALONE, f"run_dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr[-3000:]
    found, expected = (load_file(one / "supernet.safetensors") for one in (tmp_path / "run", run))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert scores(tmp_path / "run") == scores(run)


def test_a_loss_that_is_not_finite_stops_both_with_one_line(python: Callable, tmp_path: Path):
    done = python("train.py", "experiment=micro", *TWO, "stages.pretrain.optimizer.lr=1e30", f"run_dir={tmp_path}/run")
    assert done.returncode == 2, done.stderr[-3000:]
    assert done.stderr.count("error:") == 1
    assert "stages.pretrain: the loss" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_loss_that_is_not_finite_is_skipped_by_both(python: Callable, tmp_path: Path):
    skip = [f"stages.{name}.non_finite=skip" for name in ("pretrain", "finetune", "distill_1")]
    done = python("train.py", "experiment=micro", *TWO, *skip, "stages.pretrain.optimizer.lr=1e18", f"run_dir={tmp_path}/run")
    rows = (tmp_path / "run" / "stages" / "pretrain" / "metrics.csv").read_text()
    assert "skipped_steps" in rows, done.stderr[-3000:]
    assert "Traceback" not in done.stderr


def test_a_checkpoint_that_cannot_be_written_stops_both_with_one_line(python: Callable, tmp_path: Path):
    (tmp_path / "run" / "stages" / "pretrain" / "epoch_1.ckpt").mkdir(parents=True)
    done = python("train.py", "experiment=micro", *TWO, f"run_dir={tmp_path}/run")
    assert done.returncode == 2, done.stderr[-3000:]
    assert done.stderr.count("error:") == 1
    assert "epoch_1.ckpt: cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_early_stopping_on_one_device_finishes_the_stage_on_both(python: Callable, tmp_path: Path):
    rule = "{_target_: pytorch_lightning.callbacks.EarlyStopping, monitor: loss, patience: 1, check_on_train_epoch_end: true}"
    quiet = ["standalone=none", "ranking=none", "~stages.finetune", "~stages.distill_1", "stages.pretrain.epochs=12"]
    arguments = ["train.py", "experiment=micro", *TWO, *quiet, f"trainer.callbacks=[{rule}]", f"run_dir={tmp_path}/run"]
    for _ in range(2):
        done = python(*arguments)
        assert done.returncode == 0, done.stderr[-3000:]
        assert "Traceback" not in done.stderr
    header = torch.load(tmp_path / "run/stages/pretrain/last.ckpt", weights_only=True)["nas_lightning"]
    assert header["finished"]
    assert "loss did not improve" in header["ended_early"]


def test_a_callback_that_stops_one_device_stops_both_and_costs_no_bit(python: Callable, tmp_path: Path):
    quiet = ["standalone=none", "ranking=none", "loader.batch_size=16"]
    arguments = ["train.py", "experiment=micro", *TWO, *quiet]
    stop = "{_target_: tests.strike.StopOne, rank: 1, step: 2}"
    done = python(*arguments, "plugins=[tests]", f"trainer.callbacks=[{stop}]", f"run_dir={tmp_path}/stopped")
    assert done.returncode == 2, done.stderr[-3000:]
    assert done.stderr.count("was stopped after 3 of 10 steps") == done.stderr.count("error:") == 1
    for folder in ("stopped", "whole"):
        done = python(*arguments, f"run_dir={tmp_path}/{folder}")
        assert done.returncode == 0, done.stderr[-3000:]
    found, expected = ((tmp_path / folder / "supernet.safetensors").read_bytes() for folder in ("stopped", "whole"))
    assert found == expected
