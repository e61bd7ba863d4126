"""What the command line may do that a config file may not, and what a file may do."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nas_lightning.console.foreign import PLUGINS_VARIABLE, plugins_of

EXPERIMENT = "# @package _global_\ndefaults:\n  - /experiment/micro\n  - _self_\n"


@pytest.mark.slow
def test_a_file_may_name_a_plugin_that_the_environment_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable):
    (tmp_path / "own_plugin_of_a_test.py").write_text("from pytorch_lightning import Callback\nclass Quiet(Callback):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    text = "plugins: [own_plugin_of_a_test]\ntrainer: {callbacks: [{_target_: own_plugin_of_a_test.Quiet}]}"
    (tmp_path / "conf/experiment").mkdir(parents=True)
    (tmp_path / "conf/experiment/mine.yaml").write_text(EXPERIMENT + text)
    arguments = ["--config-dir", f"{tmp_path}/conf", "experiment=mine", "dry_run=true", f"run_dir={tmp_path}/run"]
    monkeypatch.setenv(PLUGINS_VARIABLE, "another, own_plugin_of_a_test")
    done = command("train", *arguments)
    assert done.code == 0, done.err
    monkeypatch.setenv(PLUGINS_VARIABLE, "another")
    done = command("train", *arguments)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert done.err.startswith("error: plugins: 'own_plugin_of_a_test' comes from a file")
    assert PLUGINS_VARIABLE in done.err


def test_the_command_line_may_read_the_environment_and_set_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable):
    monkeypatch.setenv("WHERE", str(tmp_path / "run"))
    shown = ["run_dir=${oc.env:WHERE}", "+hydra.job.env_set.OWN=1", "hydra.job.env_copy=[WHERE]", "--cfg", "job", "--resolve"]
    done = command("train", "experiment=micro", *shown)
    assert done.code == 0, done.err
    assert f"run_dir: {tmp_path}/run\n" in done.out


@pytest.mark.parametrize("logging", ["default", "disabled"])
def test_the_command_line_may_choose_what_hydra_ships(logging: str, tmp_path: Path, command: Callable):
    shown = [f"hydra/job_logging={logging}", f"hydra/hydra_logging={logging}", f"hydra.run.dir={tmp_path}"]
    done = command("report", *shown, f"run_dir={tmp_path}/run")
    assert (done.code, done.err) == (2, f"error: run_dir: {tmp_path}/run is not a folder\n")


@pytest.mark.parametrize(
    ("launcher", "settings"),
    [
        ("basic", []),
        ("joblib", ["hydra.launcher.n_jobs=2"]),
        ("submitit_local", ["hydra.launcher.timeout_min=5"]),
        (
            "submitit_slurm",
            ["hydra.launcher.gres=gpu:1", "hydra.launcher.setup=[module load x]", "+hydra.launcher.additional_parameters.a=b"],
        ),
        ("ray", ["hydra.launcher.ray.init.address=auto", "+hydra.launcher.ray.remote.num_gpus=1"]),
    ],
)
def test_the_command_line_may_choose_a_launcher_and_its_settings(launcher: str, settings: list[str], command: Callable):
    done = command("train", "experiment=micro", f"hydra/launcher={launcher}", *settings, "--cfg", "hydra")
    assert done.code == 0, done.err
    assert "hydra:" in done.out


def test_a_launcher_of_a_file_may_have_plain_settings(tmp_path: Path, command: Callable):
    (tmp_path / "conf/hydra/launcher").mkdir(parents=True)
    (tmp_path / "conf/hydra/launcher/mine.yaml").write_text("defaults: [submitit_slurm]\ntimeout_min: 30\npartition: gpu")
    done = command("train", "--config-dir", f"{tmp_path}/conf", "experiment=micro", "hydra/launcher=mine", "--cfg", "hydra")
    assert done.code == 0, done.err


def test_the_packages_of_a_command_line_are_read_as_hydra_reads_them():
    typed = [
        "plugins=[a,'b c']",
        "++overrides=['experiment=x', 'plugins=[d]', '+plugins=[e]', 'trainer.plugins=[f]']",
        "trainer.plugins=[g]",
        "~x",
    ]
    os.environ.pop(PLUGINS_VARIABLE, None)
    assert plugins_of(typed) == {"a", "b c", "e"}
    assert plugins_of(["plugins=[a],[b]"]) == {"a", "b"}
    assert plugins_of([]) == set()
