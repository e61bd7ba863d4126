"""Sweeps from the command line: the authors' own at the smallest size, with every launcher, gone on with, and what they return."""

import csv
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from nas_lightning.console.start import conf_folder
from tests.composing import composed

pytestmark = pytest.mark.slow  # whole sweeps, and runs of several jobs

CONF = Path(__file__).with_name("conf")
SWEEPS = sorted(path.stem for path in (conf_folder() / "sweep").glob("*.yaml"))
SMALL = ["standalone=none", "ranking.count=4", "ranking.images=100"]


def jobs(folder: Path) -> list[Path]:
    return sorted((path.parent for path in folder.glob("*/config.yaml")), key=lambda path: int(path.name))


def value_at(config: dict[str, Any], key: str) -> Any:
    for name in key.split("."):
        config = config[name]
    return config


def swept_values(sweep: str) -> tuple[str, list[str]]:
    ((key, values),) = yaml.safe_load((conf_folder() / "sweep" / f"{sweep}.yaml").read_text())["hydra"]["sweeper"]["params"].items()
    return key, str(values).split(",")


def test_the_sweeps_have_the_authors_values():
    """method.md, "What the authors found"."""
    found = {sweep: swept_values(sweep) for sweep in SWEEPS}
    numbers = {sweep: [float(one) for one in values] for sweep, (_, values) in found.items() if sweep != "list"}
    assert numbers == {
        "distillation_rate": [1e-3, 3.5e-3, 4e-3],
        "finetune_epochs": [5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80],
        "learning_rate": [0.1, 0.05, 0.025, 0.01, 0.005],
        "paths": [4, 6, 8, 10, 12, 16],
        "pretrain_epochs": [100, 125, 150, 200, 230, 240, 250, 260, 300],
        "weight_decay": [1e-4, 2e-4, 3e-4, 4e-4, 5e-4, 6e-4],
    }
    assert found["list"] == ("sampler@stages.finetune.sampler", ["listed_spaced200", "listed_random200", "listed_random100"])


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_sweep_runs_at_the_smallest_size(sweep: str, command: Callable, tmp_path: Path):
    key, values = swept_values(sweep)
    limit = [f"stages.{stage}.max_steps=1" for stage in ("pretrain", "finetune", "distill_1")]
    if sweep != "list":  # the ends; those between differ by a number, of which a config is made below
        whole, values = values, [values[0], values[-1]]
        limit.append(f"{key}={','.join(values)}")
        for value in whole:
            assert float(value_at(composed("config", "experiment=micro", "run_dir=x", f"{key}={value}"), key)) == float(value)
    experiment = ["--config-dir", CONF, "experiment=micro_list"] if sweep == "list" else ["experiment=micro", *SMALL, *limit]
    done = command("train", *experiment, f"sweep={sweep}", f"hydra.sweep.dir={tmp_path}")
    assert done.code == 0, done.err[-3000:]
    found = [yaml.safe_load((job / "config.yaml").read_text()) for job in jobs(tmp_path)]
    if sweep == "list":
        chosen = [(one["stages"]["finetune"]["sampler"]["choose"]) for one in found]
        assert [(one["_target_"].rsplit(".", 1)[1], one["count"]) for one in chosen] == [
            ("EveryKth", 200), ("RandomSubset", 200), ("RandomSubset", 100)]  # fmt: skip
    else:
        assert [float(value_at(one, key)) for one in found] == [float(value) for value in values]
    assert all((job / "finished.json").is_file() and (job / "ranking" / "scores.csv").is_file() for job in jobs(tmp_path))


@pytest.mark.parametrize(
    "launcher",
    [
        ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
        ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=20"],
        ["hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2"],
    ],
    ids=lambda launcher: launcher[0].split("=")[1],
)
def test_every_launcher_gives_what_the_basic_one_does(
    launcher: list[str], python: Callable, swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RAY_worker_niceness", "0")  # beside other tests, its workers would wait for minutes
    done = python("train.py", "-m", "experiment=micro", *SMALL, "seed=0,1", f"hydra.sweep.dir={tmp_path}", *launcher)
    assert done.returncode == 0, done.stderr[-3000:]
    for number in "01":
        basic, other = swept / number, tmp_path / number
        assert (basic / "ranking" / "scores.csv").read_bytes() == (other / "ranking" / "scores.csv").read_bytes()
        assert json.loads((other / "finished.json").read_text())["config_sha256"]
        assert yaml.safe_load((other / "config.yaml").read_text())["seed"] == int(number)


def test_a_launcher_tells_a_job_that_failed_in_one_line(python: Callable, tmp_path: Path):
    done = python(
        "train.py", "-m", "experiment=micro", *SMALL, "ranking.images=100,9999", f"hydra.sweep.dir={tmp_path}", "hydra/launcher=joblib"
    )
    assert done.returncode == 2, done.stderr[-3000:]
    assert "error: ranking.images: 9999" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert (tmp_path / "0" / "finished.json").exists()


def test_a_worker_of_a_launcher_that_is_killed_is_one_line(python: Callable, tmp_path: Path):
    strike = f"{{_target_: tests.strike.Strike, signum: {int(signal.SIGKILL)}, step: 2}}"
    swept = [
        "-m",
        "experiment=micro",
        *SMALL,
        "seed=0,1",
        f"hydra.sweep.dir={tmp_path}",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
    ]
    done = python("train.py", *swept, "plugins=[tests]", f"trainer.callbacks=[{strike}]")
    assert done.returncode == 2, done.stderr[-3000:]
    line = "error: hydra/launcher: a process that ran jobs was killed (did memory run out?); give the same hydra.sweep.dir again to resume"
    assert done.stderr.splitlines()[-1] == line
    assert "Traceback" not in done.stderr
    assert python("train.py", *swept, "plugins=[tests]").returncode == 0


@pytest.fixture(scope="module")
def swept(command: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweeps") / "swept"
    done = command("train", "-m", "experiment=micro", *SMALL, "seed=0,1", f"hydra.sweep.dir={folder}")
    assert done.code == 0, done.err
    return folder


@pytest.mark.parametrize("word", ["-m", "sweep=learning_rate"])
def test_a_multirun_in_the_default_folder_ends_with_its_page(word: str, command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    done = command("train", word, "experiment=micro", *SMALL, "stages.pretrain.optimizer.lr=0.1,1e30", "seed=0", pages=True)
    assert done.code == 2
    assert "page: multirun/micro/" in done.out  # of the job before the one that failed
    assert len(list(tmp_path.glob("multirun/micro/*/sweep.html"))) == 1


def test_the_same_sweep_again_skips_what_is_finished(swept: Path, command: Callable, tmp_path: Path):
    folder = tmp_path / "swept"
    shutil.copytree(swept, folder)
    kept = {path: path.stat().st_mtime_ns for path in (folder / "0").rglob("*") if path.is_file()}
    (folder / "1" / "finished.json").unlink()
    (folder / "1" / "ranking" / "scores.csv").unlink()
    parts = {path: path.stat().st_mtime_ns for path in (folder / "1" / "ranking" / "parts").iterdir()}
    done = command("train", "-m", "experiment=micro", *SMALL, "seed=0,1", f"hydra.sweep.dir={folder}")
    assert done.code == 0, done.err
    first, *jobs = done.out.split("\n\n")[0].splitlines()
    assert first == f"multirun folder: {folder}"
    assert [line.split(", ")[0] for line in jobs] == [f"job {number}: seed={number}: no accuracy is known" for number in range(2)]
    assert [line.endswith(", finished before") for line in jobs] == [True, False]
    assert {path: path.stat().st_mtime_ns for path in kept if path.name != ".lock"} == {
        path: time for path, time in kept.items() if path.name != ".lock"
    }
    assert {path: path.stat().st_mtime_ns for path in parts} == parts
    assert (folder / "1" / "ranking" / "scores.csv").read_bytes() == (swept / "1" / "ranking" / "scores.csv").read_bytes()


def test_a_finished_job_is_done_again_if_its_ranking_is_to_be_another(swept: Path, command: Callable, tmp_path: Path):
    folder = tmp_path / "swept"
    shutil.copytree(swept, folder)
    done = command("train", "-m", "experiment=micro", *SMALL, "ranking.score=top1", "seed=0,1", f"hydra.sweep.dir={folder}")
    assert done.code == 0, done.err
    assert "finished before" not in done.out


def test_another_sweep_in_the_folder_is_refused(swept: Path, command: Callable):
    done = command("train", "-m", "experiment=micro", *SMALL, "seed=5,1", f"hydra.sweep.dir={swept}")
    assert done.code == 2
    job, line = done.err.splitlines()  # Hydra names the job, then we its mistake
    assert "seed=5" in job
    assert "\njob 0: seed=5: failed, " in done.out
    assert "\njob 1: seed=1: no accuracy is known, " in done.out
    assert line.startswith(f"error: {swept}/0: holds a run with another config: seed was 0, is 5")


def test_the_agreement_is_returned_where_accuracies_are_known(micro: Path):
    agreement = json.loads((micro / "ranking" / "agreement.json").read_text())
    finished = json.loads((micro / "finished.json").read_text())
    assert finished["returns"] == "agreement"
    assert finished["value"] == agreement["scores"]["predicted"]["kendall"]["value"]


def test_nothing_is_returned_where_none_are(swept: Path):
    assert json.loads((swept / "0" / "finished.json").read_text())["value"] is None


def test_the_panels_mean_cross_entropy_is_returned_on_request(command: Callable, tmp_path: Path):
    done = command("train", "experiment=micro", *SMALL, "returns=panel_cross_entropy", f"run_dir={tmp_path}/run")
    assert done.code == 0, done.err
    with (tmp_path / "run" / "stages" / "distill_1" / "metrics.csv").open(newline="") as file:
        last = [row for row in csv.DictReader(file) if row["largest/cross_entropy"]][-1]
    losses = [float(last[f"{name}/cross_entropy"]) for name in ("largest", "smallest", "panel_1")]
    assert json.loads((tmp_path / "run" / "finished.json").read_text())["value"] == pytest.approx(sum(losses) / 3)


def test_a_panel_is_needed_for_its_cross_entropy(command: Callable, tmp_path: Path):
    done = command("train", "experiment=micro", *SMALL, "returns=panel_cross_entropy", "loader.holdout=0", f"run_dir={tmp_path}/run")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "returns: panel_cross_entropy needs a panel" in done.err
