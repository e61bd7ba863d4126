"""``--help`` of every command: its own keys, calls that work, at 80 columns, from a checkout and from a wheel."""

import importlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import nas_lightning
from nas_lightning.config.declared import COMMANDS
from nas_lightning.config.read import read
from nas_lightning.console.help import head_of
from nas_lightning.console.start import conf_folder
from tests.composing import composed
from tests.programs.keys import page

ROOT = Path(__file__).parents[2]
NAMES = {name: {"config": "train"}.get(name, name) for name in COMMANDS}
OWN = {  # a key of each command, and one of another
    "config": ("stages.NAME.across_devices=same", "checkpoint"),
    "rank": ("ranking.cheap_first_keep=0.1", "stages.NAME"),
    "search": ("search.start=spread", "ranking."),
    "standalone": ("standalone.norm=running", "ranking."),
    "export": ("export.scaling=metadata", "ranking."),
    "compare": ("known_accuracies=null", "plugins"),
    "tune": ("proposals=tpe", "plugins"),
    "report": ("points=3000", "trainer"),
}


def calls_of(name: str) -> list[str]:
    text = "\n".join(head_of(conf_folder() / f"{name}.yaml")).replace("\\\n", "")
    return re.findall(r"^  (nas-.*)$", text, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_a_commands_own_keys_at_80_columns(name: str, command: Callable):
    done = command(NAMES[name], "--help")
    assert (done.code, done.err) == (0, "")
    own, other = OWN[name]
    lines = [line.strip() for line in done.out.splitlines()]
    assert any(line == own or line.startswith(f"{own} ") for line in lines)
    assert not any(line.startswith(other) for line in lines)
    assert max(map(len, done.out.splitlines())) < 80
    assert done.out.startswith("\n".join(head_of(conf_folder() / f"{name}.yaml")))


def test_help_shows_options_with_what_their_files_say(command: Callable):
    text = " ".join(command("train", "-h", "experiment=micro").out.split())
    assert "gpu One GPU. " in text
    assert "sampler@stages.NAME.sampler=OPTION Which candidates train at a step. fair Each layer's widths" in text
    assert (
        "fitted_on=200 Candidates to fit on; if the list has fewer, others are drawn from the space and scored. [30 to 1,000,000]" in text
    )
    assert "gradient_clip_val" not in text


def test_help_of_a_word_shows_only_keys_groups_and_options_with_it(command: Callable):
    lines = command("train", "--help", "cheap_first").out.splitlines()
    assert [line.split("=")[0] for line in lines if line.startswith("  ranking.")] == [
        "  ranking.cheap_first",
        "  ranking.cheap_first_keep",
    ]
    assert lines[0].startswith("ranking: ")
    assert len(lines) < 10
    assert "    sandwich  " in command("train", "-h", "sandwich", "seed=1").out
    assert command("train", "-h", "sandwhich").out == "No key, group or option has sandwhich in its name.\n"


@pytest.mark.parametrize(("name", "call"), [(name, call) for name in COMMANDS for call in calls_of(name)])
def test_a_call_that_help_shows_composes_into_a_legal_config(name: str, call: str):
    program, *arguments = shlex.split(call, comments=True)
    assert program == f"nas-{NAMES[name]}"
    overrides = [re.sub("^sweep=", "sweep_dir=", argument) for argument in arguments]
    module, kind = COMMANDS[name]
    config = read(
        getattr(importlib.import_module(module), kind),
        composed(name, *overrides, *(["run_dir=out"] if name == "config" else [])),
    )
    if name == "tune":
        for key in config.search:
            assert composed("config", *config.overrides, f"{key}=1", "run_dir=out")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_head_has_three_calls_and_names_pages_that_exist(name: str):
    text = "\n".join(head_of(conf_folder() / f"{name}.yaml"))
    assert len(calls_of(name)) == 3
    pages = re.findall(r"docs/\w+\.md", text)
    assert pages
    assert all((ROOT / page).is_file() for page in pages)


def test_help_works_where_the_wheel_was_installed(tmp_path: Path):
    shutil.copytree(Path(nas_lightning.__file__).parent, tmp_path / "nas_lightning")
    shutil.copytree(conf_folder(), tmp_path / "nas_lightning/conf")  # as pyproject.toml puts it
    code = "import sys; from nas_lightning.commands import rank; sys.argv[1:] = ['--help']; rank.main(); print(rank.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={}, capture_output=True, text=True, check=True)
    assert str(tmp_path) in done.stdout
    assert "  ranking.shard=null  " in done.stdout
    assert "    predicted  " in done.stdout


def test_the_page_of_keys_is_what_the_dataclasses_and_files_say():
    kept = (ROOT / "docs/keys.md").read_text(encoding="utf-8")
    assert kept == page(conf_folder()), "python -m tests.programs.keys > docs/keys.md"


def test_help_reads_no_file_of_a_stranger(tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET", "a secret")
    (tmp_path / "mine.yaml").write_text("defaults: [config]\nhydra: {help: {template: '${oc.env:SECRET}'}}")
    done = command("train", "--config-dir", tmp_path, "-cn", "mine", "--help")
    assert (done.code, "a secret" in done.out) == (0, False)


def test_a_primary_config_of_ones_own_may_be_overridden_like_ours(tmp_path: Path, command: Callable):
    (tmp_path / "mine.yaml").write_text("defaults: [config, _self_]\nloader: {workers: 1}")
    given = ["ranking.images=30", "trainer.precision=64-true", "stages.pretrain.max_steps=3"]
    done = command("train", "--config-dir", tmp_path, "-cn", "mine", "experiment=micro", *given, "--cfg", "job")
    assert done.code == 0, done.err
    config = yaml.safe_load(done.out)
    assert (config["loader"]["workers"], config["loader"]["eval_batch_size"], config["ranking"]["images"]) == (1, 500, 30)
    assert (config["trainer"]["precision"], config["stages"]["pretrain"]["max_steps"]) == ("64-true", 3)
