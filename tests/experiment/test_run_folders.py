"""The run folder of ``experiment=micro``: what lies in it, and what a second run in it does."""

import csv
import hashlib
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
from safetensors.torch import load_file

import nas_lightning
from nas_lightning.errors import InputError
from nas_lightning.experiment.run_folder import claim_run_folder
from nas_lightning.ranking.predict import _PartWriter
from nas_lightning.space import Population, SearchSpace
from nas_lightning.supernet.checkpoint import load_supernet

STAGES = ("pretrain", "finetune", "distill_1")
MICRO = "experiment=micro"


def hashes(folder: Path, pattern: str) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob(pattern)}


def times(folder: Path, pattern: str) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.glob(pattern)}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def copied(micro: Path, tmp_path: Path) -> Path:
    """The finished run, to be changed."""
    return Path(shutil.copytree(micro, tmp_path / "run"))


def test_the_run_folder_holds_the_files_of_the_contract_and_no_others(micro: Path):
    files = {str(path.relative_to(micro)) for path in micro.glob("**/*") if path.is_file() and "tensorboard" not in path.parts}
    stages = {f"stages/{stage}/{file}" for stage in STAGES for file in ("last.ckpt", "metrics.csv")}
    listed = {f"stages/{stage}/architectures.json" for stage in ("finetune", "distill_1")}
    kept = {f"stages/pretrain/epoch_{epoch}.ckpt" for epoch in (1, 2)}
    truth = {"standalone/accuracies.csv", "standalone/known_accuracies.json"}
    parts = {f"ranking/parts/{part}.csv" for part in ("0-6", "7-13", "14-20", "21-23")}
    ranking = {f"ranking/{file}" for file in ("protocol.json", "scores.csv", "submission.json", "agreement.json", "known_accuracies.json")}
    reports = {"report.html", "report.md"}
    rest = {"config.yaml", "environment.json", "supernet.safetensors", "finished.json", ".lock"}
    assert files - reports == {*stages, *listed, *kept, *truth, *parts, *ranking, *rest}


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


def test_a_kept_checkpoint_of_the_last_epoch_has_the_weights_of_the_last_one_and_an_earlier_one_others(micro: Path):
    folder = micro / "stages" / "pretrain"
    last, first, second = (load_supernet(folder / f"{name}.ckpt")[0].state_dict() for name in ("last", "epoch_1", "epoch_2"))
    assert all(torch.equal(last[name], second[name]) for name in last)
    assert not all(torch.equal(last[name], first[name]) for name in last)


def test_the_final_weights_are_those_of_the_last_stage(micro: Path):
    final = load_file(micro / "supernet.safetensors")
    last = load_supernet(micro / "stages/distill_1/last.ckpt")[0].state_dict()
    assert final.keys() == last.keys()
    assert all(torch.equal(final[name], last[name]) for name in last)


def test_a_run_in_its_own_folder_repeats_no_stage_no_truth_and_no_score(copied: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something finished was computed again")

    monkeypatch.setattr("nas_lightning.standalone.truth.train_alone", refuse)
    monkeypatch.setattr("nas_lightning.ranking.predict.rank_by_image", refuse)
    monkeypatch.setattr("pytorch_lightning.Trainer.fit", refuse)
    before = hashes(copied, "**/*.*")
    untouched = times(copied, "stages/*/*.*") | times(copied, "ranking/parts/*")
    done = command("train", MICRO, f"run_dir={copied}")
    assert done.code == 0, done.err
    after = hashes(copied, "**/*.*")
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed <= {"environment.json", "config.yaml"} | {name for name in changed if name.startswith("report.")}
    assert times(copied, "stages/*/*.*") | times(copied, "ranking/parts/*") == untouched


@pytest.mark.parametrize("argument", ["seed=1", "stages.finetune.epochs=2", "loader.batch_size=32", "population.seed=4"])
def test_another_config_in_the_folder_is_refused_with_key_and_both_values(argument: str, copied: Path, command: Callable):
    key, value = argument.split("=")
    old = {"seed": 0, "stages.finetune.epochs": 1, "loader.batch_size": 64, "population.seed": 0}[key]
    before = hashes(copied, "**/*.*")
    done = command("train", MICRO, argument, f"run_dir={copied}")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert f"{key} was {old}, is {value}" in done.err
    assert hashes(copied, "**/*.*") == before


def test_stages_in_another_order_are_another_config(tmp_path: Path):
    first, second = {"epochs": 1}, {"epochs": 1}
    claim_run_folder(tmp_path, {"stages": {"a": first, "b": second}})
    with pytest.raises(InputError, match="stages"):
        claim_run_folder(tmp_path, {"stages": {"b": second, "a": first}})


def test_where_and_how_fast_a_run_goes_on_may_change(tmp_path: Path):
    config = {"seed": 0, "data": {"root": "a", "name": "x"}, "loader": {"workers": 0}, "trainer": {"devices": 1}}
    claim_run_folder(tmp_path, config)
    claim_run_folder(tmp_path, {**config, "data": {"root": "b", "name": "x"}, "loader": {"workers": 4}, "trainer": {"devices": 2}})
    with pytest.raises(InputError, match=r"data\.name was 'x', is 'y'"):
        claim_run_folder(tmp_path, {**config, "data": {"root": "a", "name": "y"}})


def test_the_last_stage_may_have_more_epochs_until_something_was_ranked(tmp_path: Path):
    def config(first: int, last: int) -> dict[str, Any]:
        return {"stages": {"a": {"epochs": first}, "b": {"epochs": last}}}

    claim_run_folder(tmp_path, config(1, 1))
    claim_run_folder(tmp_path, config(1, 3))
    for first, last, says in ((1, 2, r"stages\.b\.epochs was 3, is 2"), (2, 3, r"stages\.a\.epochs was 1, is 2"), (2, 4, "another config")):
        with pytest.raises(InputError, match=says):
            claim_run_folder(tmp_path, config(first, last))
    (tmp_path / "ranking").mkdir()
    (tmp_path / "ranking" / "protocol.json").write_text("{}")
    with pytest.raises(InputError, match=r"stages\.b\.epochs was 3, is 4, but ranking/ is of the weights before; move it away"):
        claim_run_folder(tmp_path, config(1, 4))
    claim_run_folder(tmp_path, config(1, 3))


def test_truth_of_another_recipe_is_not_taken_for_this_ones(copied: Path, command: Callable):
    done = command("train", MICRO, "standalone.epochs=1", f"run_dir={copied}")
    assert done.code == 2, "accuracies of 2 epochs were taken for those of 1"
    assert "standalone.epochs was 2, is 1" in done.err


def test_a_checkpoint_that_is_not_whole_is_refused_by_name(copied: Path, command: Callable):
    last = copied / "stages" / "finetune" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    done = command("train", MICRO, f"run_dir={copied}")
    assert done.code == 2
    assert f"{last}: is not a whole checkpoint" in done.err


def test_a_ranking_that_was_stopped_goes_on_and_ends_with_the_same_files(
    copied: Path, micro: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
):
    shutil.rmtree(copied / "ranking")
    written: list[int] = []
    whole = _PartWriter.write_on_batch_end

    def stops(self: _PartWriter, *arguments: Any, **more: Any) -> None:
        if len(written) == 2:
            raise Stopped
        written.append(1)
        whole(self, *arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(_PartWriter, "write_on_batch_end", stops)
        with pytest.raises(Stopped):
            command("train", MICRO, f"run_dir={copied}")
    assert sorted(path.name for path in (copied / "ranking/parts").iterdir()) == ["0-6.csv", "7-13.csv"]
    assert not (copied / "ranking/scores.csv").exists()
    done = command("train", MICRO, f"run_dir={copied}")
    assert done.code == 0, done.err
    assert hashes(copied, "ranking/**/*.*") == hashes(micro, "ranking/**/*.*")


class Stopped(Exception):
    pass


def test_another_seed_gives_other_weights_and_scores(micro: Path, other_seed: Path):
    one, other = (load_file(folder / "supernet.safetensors") for folder in (micro, other_seed))
    assert not any(torch.equal(one[name], other[name]) for name in one if name.endswith("conv.full.weight"))
    first, second = (rows(folder / "ranking/scores.csv") for folder in (micro, other_seed))
    assert [row["architecture"] for row in first] == [row["architecture"] for row in second]
    assert not any(one["cross_entropy"] == other["cross_entropy"] for one, other in zip(first, second, strict=True))


def test_the_first_stage_starts_from_a_given_checkpoint(micro: Path, tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    seen: dict[str, torch.Tensor] = {}

    def look(_: Any, supernet: torch.nn.Module, *__: Any, **___: Any) -> None:
        seen.update(supernet.state_dict())
        raise Stopped

    monkeypatch.setattr("nas_lightning.experiment.run.train_stages", look)
    weights = micro / "supernet.safetensors"
    with pytest.raises(Stopped):
        command("train", MICRO, f"initial_checkpoint={weights}", f"run_dir={tmp_path}/run")
    expected = load_file(weights)
    assert all(torch.equal(seen[name], expected[name]) for name in expected)
    done = command("train", MICRO, "space.max_widths=[8,12,18]", f"initial_checkpoint={weights}", f"run_dir={tmp_path}/other")
    assert done.code == 2
    assert str(weights) in done.err


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_scores_in_another_process(micro: Path, tmp_path: Path):
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


def test_a_stage_that_was_stopped_early_is_not_finished_and_goes_on(micro: Path, tmp_path: Path, command: Callable):
    run = [MICRO, "standalone=none", f"run_dir={tmp_path / 'run'}"]
    stopped = command("train", *run, "trainer.max_time=00:00:00:00")
    assert stopped.code == 2
    assert "stages.pretrain: was stopped after" in stopped.err
    assert "of 6 steps" in stopped.err
    assert command("train", *run).code == 0
    whole, resumed = (load_file(folder / "supernet.safetensors") for folder in (micro, tmp_path / "run"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_what_decides_the_weights_may_not_change_below_the_trainer(copied: Path, command: Callable):
    done = command("train", MICRO, "trainer.gradient_clip_val=1.0", f"run_dir={copied}")
    assert done.code == 2
    assert "trainer.gradient_clip_val was None, is 1.0" in done.err


def test_the_first_environment_stays_on_record(copied: Path, command: Callable):
    first = json.loads((copied / "environment.json").read_text())
    assert command("train", MICRO, f"run_dir={copied}").code == 0
    second = json.loads((copied / "environment.json").read_text())
    assert len(second.pop("continued")) == 1
    assert second == first


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


def test_resume_auto_goes_on_with_the_run_of_the_experiment_that_was_begun_last(
    tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    worked_in: list[Path] = []
    monkeypatch.setattr("nas_lightning.experiment.run.run_experiment", lambda _, folder, __: worked_in.append(folder))
    assert command("train", MICRO, "resume=auto").code == 0  # there is none: a new one
    assert worked_in[0].parent == Path("outputs/micro")
    assert command("train", MICRO, "run_dir=outputs/micro/a_later_one").code == 0
    assert command("train", MICRO, "run_dir=outputs/other/the_latest").code == 0
    for other in ("a_ranking/ranking", "an_archive/a_run"):  # no runs of this command
        Path("outputs/micro", other).mkdir(parents=True)
        Path("outputs/micro", other, "config.yaml").write_text("seed: 0\n")
    assert command("train", MICRO, "resume=auto").code == 0
    assert worked_in[-1] == Path("outputs/micro/a_later_one")
    refused = command("train", MICRO, "resume=auto", "seed=3")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "seed was 0, is 3" in refused.err
    refused = command("train", MICRO, "resume=auto", "run_dir=here")
    assert (refused.code, refused.err) == (2, "error: resume: auto cannot go with run_dir, which names a folder itself; give one of them\n")
    assert command("train", MICRO, "resume=maybe").err == "error: resume: 'maybe' is not one of auto\n"
