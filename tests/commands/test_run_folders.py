"""The run folder of ``experiment=micro``: what lies in it."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from file_hashes import hashes
from safetensors.torch import load_file

import nas_lightning
from nas_lightning.space import Population, SearchSpace
from nas_lightning.supernet.checkpoint import load_supernet

STAGES = ("pretrain", "finetune", "distill_1")
MICRO = "experiment=micro"


class Stopped(Exception):
    pass


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_run_folder_holds_the_files_of_the_contract_and_no_others(micro: Path):
    files = {str(path.relative_to(micro)) for path in micro.glob("**/*") if path.is_file() and "tensorboard" not in path.parts}
    stages = {f"stages/{stage}/{file}" for stage in STAGES for file in ("last.ckpt", "metrics.csv")}
    listed = {f"stages/{stage}/architectures.json" for stage in ("finetune", "distill_1")}
    kept = {f"stages/pretrain/epoch_{epoch}.ckpt" for epoch in (1, 2)}
    truth = {"standalone/accuracies.csv", "standalone/known_accuracies.json", "standalone/recipe.json"}
    parts = {f"ranking/parts/{part}.csv" for part in ("0-6", "7-13", "14-20", "21-27", "28-29")}
    names = ("protocol", "submission", "predictor", "agreement", "known_accuracies", "halves")
    ranking = {"ranking/scores.csv", *(f"ranking/{name}.json" for name in names)}
    pictures = ("against_truth", "ranks", "baselines", "costs", "parameters", "prediction", "training", "widths")
    reports = {"report.html", "report.md", *(f"report/{name}.png" for name in pictures)}
    rest = {"config.yaml", "environment.json", "supernet.safetensors", "finished.json", ".lock"}
    assert files == {*stages, *listed, *kept, *truth, *parts, *ranking, *reports, *rest}


def test_the_folders_config_is_the_composed_one(micro: Path):
    config = yaml.safe_load((micro / "config.yaml").read_text(encoding="utf-8"))
    assert list(config["stages"]) == list(STAGES)
    assert (config["seed"], config["run_dir"], config["loader"]["batch_size"]) == (0, str(micro), 64)
    assert "hydra" not in config


def test_the_environment_names_commit_versions_and_command(micro: Path):
    environment = json.loads((micro / "environment.json").read_text(encoding="utf-8"))
    assert environment["packages"]["torch"] == torch.__version__.split("+")[0] or environment["packages"]["torch"] == torch.__version__
    assert environment["command"][1] == MICRO
    assert environment["threads"] >= 1


def test_a_row_is_written_a_log_step_with_the_schedules_rate(micro: Path):
    # 200 images, 50 held out, batches of 64: 3 steps an epoch; a row a step.
    for stage, steps in (("pretrain", 6), ("finetune", 3), ("distill_1", 3)):
        table = rows(micro / "stages" / stage / "metrics.csv")
        assert [int(row["step"]) for row in table] == list(range(steps))
        assert all(row["loss"] and row["lr"] for row in table)
        assert [bool(row["top1"]) for row in table] == [(step + 1) % 3 == 0 for step in range(steps)]
        assert [bool(row["largest/top1"]) for row in table] == [(step + 1) % 3 == 0 for step in range(steps)]
    rates = [float(row["lr"]) for row in rows(micro / "stages" / "distill_1" / "metrics.csv")]
    assert rates == pytest.approx([0.02, 0.02 * 0.75, 0.02 * 0.25])  # a cosine over three steps: cos 0, 60 and 120 degrees


def test_the_lists_of_the_listed_stages_are_written(micro: Path, tiny: SearchSpace):
    population = Population.draw(tiny, 24, 0)
    texts = {stage: [one.text for one in Population.read(micro / f"stages/{stage}/architectures.json", tiny)] for stage in STAGES[1:]}
    assert texts["finetune"] == [population[row].text for row in range(0, 16, 2)]
    assert len(texts["distill_1"]) == 5
    assert set(texts["distill_1"]) <= {one.text for one in population}


@pytest.fixture(scope="module")
def tiny(micro: Path) -> SearchSpace:
    return load_supernet(micro / "supernet.safetensors")[0].space


def test_kept_checkpoints_have_the_weights_of_their_epochs(micro: Path):
    folder = micro / "stages" / "pretrain"
    last, first, second = (load_supernet(folder / f"{name}.ckpt")[0].state_dict() for name in ("last", "epoch_1", "epoch_2"))
    assert all(torch.equal(last[name], second[name]) for name in last)
    assert not all(torch.equal(last[name], first[name]) for name in last)


def test_the_final_weights_are_those_of_the_last_stage(micro: Path):
    final = load_file(micro / "supernet.safetensors")
    last = load_supernet(micro / "stages/distill_1/last.ckpt")[0].state_dict()
    assert final.keys() == last.keys()
    assert all(torch.equal(final[name], last[name]) for name in last)


def test_another_seed_gives_other_weights_and_scores(micro: Path, other_seed: Path):
    one, other = (load_file(folder / "supernet.safetensors") for folder in (micro, other_seed))
    assert not any(torch.equal(one[name], other[name]) for name in one if name.endswith("conv.full.weight"))
    first, second = (rows(folder / "ranking/scores.csv") for folder in (micro, other_seed))
    assert [row["architecture"] for row in first] == [row["architecture"] for row in second]
    assert not any(one["cross_entropy"] == other["cross_entropy"] for one, other in zip(first, second, strict=True))


@pytest.mark.slow
def test_the_first_stage_starts_from_a_given_checkpoint(micro: Path, tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    seen: dict[str, torch.Tensor] = {}

    def look(_: Any, supernet: torch.nn.Module, *__: Any, **___: Any) -> None:
        seen.update(supernet.state_dict())
        raise Stopped

    monkeypatch.setattr("nas_lightning.commands.run.train_stages", look)
    weights = micro / "supernet.safetensors"
    with pytest.raises(Stopped):
        command("train", MICRO, f"initial_checkpoint={weights}", f"run_dir={tmp_path}/run")
    expected = load_file(weights)
    assert all(torch.equal(seen[name], expected[name]) for name in expected)
    done = command("train", MICRO, "space.max_widths=[8,12,18]", f"initial_checkpoint={weights}", f"run_dir={tmp_path}/other")
    assert done.code == 2
    assert str(weights) in done.err
    done = command("train", MICRO, "data.split_seed=1", f"initial_checkpoint={weights}", f"run_dir={tmp_path}/other")
    assert done.code == 2
    assert f"initial_checkpoint: {weights} was trained on about " in done.err


@pytest.mark.slow
def test_a_run_goes_on_from_the_weights_that_it_began_with(micro: Path, tmp_path: Path, command: Callable):
    short = [f"stages.{stage}.max_steps=1" for stage in STAGES]
    words = [
        MICRO,
        *short,
        "standalone=none",
        "ranking=none",
        f"initial_checkpoint={tmp_path}/weights.safetensors",
        f"run_dir={tmp_path}/run",
    ]
    shutil.copy(micro / "supernet.safetensors", tmp_path / "weights.safetensors")
    assert command("train", *words).code == 0
    assert command("train", *words).code == 0
    shutil.copy(tmp_path / "run/supernet.safetensors", tmp_path / "weights.safetensors")
    done = command("train", *words)
    assert done.code == 2
    last = f"{tmp_path}/run/stages/pretrain/last.ckpt"
    assert (
        done.err == f"error: {last}: began with other weights than initial_checkpoint names now; give another run_dir, or those of before\n"
    )


@pytest.mark.slow
def test_the_same_seed_gives_the_same_scores_in_another_process(micro: Path, tmp_path: Path):
    shell(tmp_path, MICRO, "run_dir=run")
    assert hashes(tmp_path / "run", "supernet.safetensors") == hashes(micro, "supernet.safetensors")
    assert hashes(tmp_path / "run", "ranking/s*") == hashes(micro, "ranking/s*")
    assert hashes(tmp_path / "run", "stages/*/metrics.csv") == hashes(micro, "stages/*/metrics.csv")


@pytest.mark.slow
def test_a_multirun_puts_each_job_into_a_folder_of_its_own(micro: Path, other_seed: Path, tmp_path: Path):
    shell(tmp_path, "-m", MICRO, "seed=0,1", "hydra.sweep.dir=sweep")
    for job, run in enumerate((micro, other_seed)):
        folder = tmp_path / "sweep" / str(job)
        assert yaml.safe_load((folder / "config.yaml").read_text())["seed"] == job
        assert hashes(folder, "supernet.safetensors") == hashes(run, "supernet.safetensors")
        assert (folder / "ranking/scores.csv").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"sweep"}


def shell(folder: Path, *arguments: str) -> None:
    train = Path(nas_lightning.__file__).parent.parent / "train.py"
    done = subprocess.run([sys.executable, train, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_quickstarts_truth_has_spread_and_its_supernet_orders_it(tmp_path: Path, command: Callable):
    done = command("train", f"run_dir={tmp_path / 'run'}")
    assert done.code == 0, done.err
    accuracies: dict[str, list[float]] = {}
    for row in rows(tmp_path / "run/standalone/accuracies.csv"):
        accuracies.setdefault(row["architecture"], []).append(float(row["accuracy"]))
    assert len(accuracies) >= 24
    by_seed = np.array(list(accuracies.values()))
    assert by_seed.mean(axis=1).std(ddof=1) >= 3 * np.sqrt(by_seed.var(axis=1, ddof=1).mean())
    agreement = json.loads((tmp_path / "run/ranking/agreement.json").read_text())
    assert agreement["scores"]["negative cross entropy"]["kendall"]["low"] > 0
