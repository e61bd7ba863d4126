"""What a second run in the run folder of ``experiment=micro`` does: goes on, repeats nothing, and refuses another config."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from file_hashes import hashes
from pytorch_lightning.callbacks import timer
from safetensors.torch import load_file

from nas_lightning.errors import InputError
from nas_lightning.runs.claim import claim_config
from nas_lightning.scoring.predict import _PartWriter

MICRO = "experiment=micro"


def times(folder: Path, pattern: str) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.glob(pattern)}


@pytest.fixture
def copied(micro: Path, tmp_path: Path) -> Path:
    """The finished run, to be changed."""
    return Path(shutil.copytree(micro, tmp_path / "run"))


def test_a_run_in_its_own_folder_repeats_no_stage_no_truth_and_no_score(copied: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something finished was computed again")

    monkeypatch.setattr("nas_lightning.standalone.truth.train_alone", refuse)
    monkeypatch.setattr("nas_lightning.scoring.predict.rank_by_image", refuse)
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
    claim_config(tmp_path, {"stages": {"a": first, "b": second}})
    with pytest.raises(InputError, match="stages"):
        claim_config(tmp_path, {"stages": {"b": second, "a": first}})


def test_where_and_how_fast_a_run_goes_on_may_change(tmp_path: Path):
    config = {"seed": 0, "data": {"root": "a", "name": "x"}, "loader": {"workers": 0}, "trainer": {"devices": 1}}
    claim_config(tmp_path, config)
    claim_config(tmp_path, {**config, "data": {"root": "b", "name": "x"}, "loader": {"workers": 4}, "trainer": {"devices": 2}})
    with pytest.raises(InputError, match=r"data\.name was 'x', is 'y'"):
        claim_config(tmp_path, {**config, "data": {"root": "a", "name": "y"}})


def test_the_last_stage_may_have_more_epochs_until_something_was_ranked(tmp_path: Path):
    def config(first: int, last: int) -> dict[str, Any]:
        return {"stages": {"a": {"epochs": first}, "b": {"epochs": last}}}

    claim_config(tmp_path, config(1, 1))
    claim_config(tmp_path, config(1, 3))
    for first, last, says in ((1, 2, r"stages\.b\.epochs was 3, is 2"), (2, 3, r"stages\.a\.epochs was 1, is 2"), (2, 4, "another config")):
        with pytest.raises(InputError, match=says):
            claim_config(tmp_path, config(first, last))
    (tmp_path / "ranking").mkdir()
    (tmp_path / "ranking" / "protocol.json").write_text("{}")
    with pytest.raises(InputError, match=r"stages\.b\.epochs was 3, is 4, but ranking/ is of the weights before; move it away"):
        claim_config(tmp_path, config(1, 4))
    claim_config(tmp_path, config(1, 3))


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_stage_that_max_time_stopped_is_not_finished_and_resumes(
    micro: Path, tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
):
    clock = iter(range(10**6))
    monkeypatch.setattr(timer, "time", SimpleNamespace(monotonic=lambda: 60 * next(clock)))  # seconds, a look each
    run = [MICRO, "standalone=none", f"run_dir={tmp_path / 'run'}"]
    stopped = command("train", *run, "trainer.max_time=00:00:02:00")
    assert stopped.code == 2
    assert "stages.pretrain: was stopped after 2 of 6 steps" in stopped.err
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


def test_the_time_of_a_resumed_run_is_that_of_all_its_processes(copied: Path, command: Callable):
    environment, outcome = copied / "environment.json", copied / "finished.json"
    first = json.loads(environment.read_text())
    assert json.loads(outcome.read_text())["seconds"] == pytest.approx(first["seconds"], abs=1)
    environment.write_text(json.dumps({**first, "seconds": 1000.0}))
    outcome.unlink()  # as if it had been interrupted just before its end
    assert command("train", MICRO, f"run_dir={copied}").code == 0
    (second,) = json.loads(environment.read_text())["continued"]
    assert second["seconds"] > 0
    assert json.loads(outcome.read_text())["seconds"] == pytest.approx(1000 + second["seconds"], abs=1)


@pytest.mark.slow
def test_resume_auto_resumes_the_experiments_newest_run(tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    worked_in: list[Path] = []
    monkeypatch.setattr("nas_lightning.commands.run.run_experiment", lambda _, folder, __: worked_in.append(folder))
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
