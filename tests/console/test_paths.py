"""Paths as a shell's user types them lead to one place, and a run never mixes with another."""

import datetime
import os
import shlex
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from nas_lightning.console.overrides import in_hydras_order, readable
from nas_lightning.console.start import _new_folder
from nas_lightning.errors import InputError

MICRO = "experiment=micro"
NO_WORK = ["standalone=none", "ranking=none"]


def value(argument: str) -> Any:
    """What Hydra makes of an argument."""
    return OverridesParser.create().parse_override(argument).value()


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("run_dir=~/x", "/home/someone/x"),
        ("run_dir='~/x'", "/home/someone/x"),
        ("hydra.sweep.dir=~/s", "/home/someone/s"),
        ("run_dir=~", "/home/someone"),
        ("run_dir=~nobody-of-this-name/x", "~nobody-of-this-name/x"),
        ("run_dir=a~b", "a~b"),
        ("population.file=~/l.json", "/home/someone/l.json"),
        ("checkpoint=a/epoch=3.ckpt", "a/epoch=3.ckpt"),
        ("checkpoint=epoch=3-step=5.ckpt", "epoch=3-step=5.ckpt"),
        ("run_dir=straße/名前", "straße/名前"),
        ("run_dir=a#1 & b!", "a#1 & b!"),
        ("seed=3", 3),
        ("run_dir=", ""),
    ],
)
def test_an_argument_reads_as_it_is_typed(argument: str, expected: object, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/someone")
    (found,) = readable([argument])
    assert value(found) == expected


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="()[]{}'\"\\,"), min_size=1))
def test_any_text_without_syntax_is_a_value(text: str):
    (found,) = readable([f"run_dir=x/{text}"])
    read = value(found)
    assert str(read).strip() == f"x/{text}".strip()


@pytest.mark.parametrize("text", ["runs/x[1].ckpt", "it's/x", 'a"b', "a\\~b=c(", "end(\\", 'a\\"b(', "{a}b", "a\n(b"])
def test_text_with_syntax_is_refused_with_the_quotes_that_it_needs(text: str):
    with pytest.raises(InputError, match=r"(?s)checkpoint: .* needs quotes: ") as refused:
        readable([f"checkpoint={text}"])
    if text[0] not in "[{":
        (argument,) = shlex.split(str(refused.value).partition("needs quotes: ")[2])
        assert value(argument) == text


def test_each_value_of_a_sweep_is_read_by_itself(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/someone")
    (found,) = readable(["population.file=~/a.json,b/x=1.json,plain.json"])
    assert [getattr(one, "text", one) for one in value(found).list] == ["/home/someone/a.json", "b/x=1.json", "plain.json"]


@pytest.mark.parametrize(
    "argument", ["--config-dir", "-m", "~augmentation", "seed", "+a.b=c", "stages.pretrain.optimizer.lr=0.1,0.2", "a={b: c}"]
)
def test_what_hydra_reads_stays_as_it_is(argument: str):
    assert readable([argument]) == [argument]


@pytest.mark.parametrize(
    "given", ["search.budgets={multiply_adds: 30%}", "search.budgets={multiply_adds: [30%, 60%]}", "search.costs=[multiply_adds, latency]"]
)
def test_an_argument_that_the_shell_took_apart_is_told_to_be_quoted_whole(given: str):
    assert readable([given]) == [given]
    with pytest.raises(InputError) as caught:
        readable(["checkpoint=a", *given.split(" "), "run_dir=b"])
    assert str(caught.value).endswith(f"at a space; quote the whole argument: '{given}'")
    with pytest.raises(InputError, match="cannot be read"):  # nothing that follows completes it
        readable(["search.costs=[multiply_adds,", "run_dir=b"])


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("search.budgets", ["multiply_adds:20%", "parameters:60%"]),
        ("search.budgets", ["multiply_adds:[30%", "60%]"]),
        ("network.widths.overrides", ["layer4.*:{least:1}", "layer3.*:{least:2}"]),
    ],
)
def test_a_mapping_that_the_shell_took_apart_at_its_commas_is_told_to_be_quoted_whole(key: str, values: list[str]):
    with pytest.raises(InputError) as caught:
        readable(["checkpoint=a", *(f"{key}={value}" for value in values)])
    assert str(caught.value).endswith(f"at a comma; quote the whole argument: '{key}={{{','.join(values)}}}'")


def test_a_key_that_is_given_twice_is_no_mapping():
    given = ["trainer.max_time=00:12:00:00", "trainer.max_time=01:00:00:00", "data.root=a:b", "data.root=c:d"]
    assert readable(given) == given


def test_a_home_folder_in_a_file_of_settings_is_the_same_place(command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nas_lightning.commands.run.train_stages", lambda *_, **__: None)
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    mine = {"defaults": ["micro", "_self_"], "run_dir": "~/run", "standalone": {"enabled": False}, "ranking": {"enabled": False}}
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text("# @package _global_\n" + yaml.safe_dump(mine))
    for given_as in ("experiment=mine", f"run_dir={tmp_path}/run"):  # the second finds the same run
        done = command("train", "--config-dir", tmp_path / "conf", "experiment=mine", given_as)
        assert done.code == 0, done.err
    assert not (tmp_path / "~").exists()
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["run_dir"] == f"{tmp_path}/run"
    assert "continued" in (tmp_path / "run" / "environment.json").read_text()


@pytest.mark.parametrize(
    ("name", "arguments", "line"),
    [
        ("train", [MICRO, "run_dir="], "error: run_dir: is empty; give the path of a file or folder"),
        ("train", [MICRO, "run_dir=' '"], "error: run_dir: is empty; give the path of a file or folder"),
        ("train", [MICRO, "population.file=", "run_dir={}"], "error: population.file: is empty; give the path of a file or folder"),
        ("rank", ["checkpoint=", "run_dir={}"], "error: checkpoint: is empty; give the path of a file or folder"),
        ("report", ["run_dir="], "error: run_dir: is empty; give the path of a file or folder"),
        ("train", ["-m", MICRO, "seed=0,1", "hydra.sweep.dir="], "error: hydra.sweep.dir: is empty; name a folder"),
        ("train", [MICRO, "hydra.job.chdir=true", "run_dir={}"], "error: hydra.job.chdir: true cannot be used"),
        ("rank", ["checkpoint=a", "hydra.job.chdir=true", "run_dir={}"], "error: hydra.job.chdir: true cannot be used"),
        ("train", [MICRO, "hydra.run.dir={}"], "error: hydra.run.dir: {} would stay empty; use run_dir"),
        ("train", ["-m", MICRO, "seed=0,1", "run_dir={}"], "error: run_dir: cannot go with a multirun"),
        ("train", [MICRO, "checkpoint=a(b", "run_dir={}"], "error: checkpoint: a(b cannot be read"),
    ],
    ids=str,
)
def test_a_path_that_leads_nowhere_is_one_line(
    name: str, arguments: list[str], line: str, command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    folder = f"{tmp_path}/run"
    done = command(name, *(one.replace("{}", folder) for one in arguments))
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith(line.replace("{}", folder)), done.err
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "multirun.yaml"]


def test_every_relative_path_of_a_run_starts_where_the_command_was_given(
    micro: Path, command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "epoch=3").mkdir()
    (tmp_path / "epoch=3" / "weights.safetensors").write_bytes((micro / "supernet.safetensors").read_bytes())
    (tmp_path / "l=1.json").write_bytes((micro / "ranking" / "submission.json").read_bytes())
    done = command("rank", "checkpoint=epoch=3/weights.safetensors", "ranking.list=l=1.json", "ranking.images=50", "run_dir=a=b")
    assert done.code == 0, done.err
    assert (tmp_path / "a=b" / "ranking" / "scores.csv").is_file()


@pytest.mark.slow
def test_runs_that_begin_in_one_second_have_a_folder_each(command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nas_lightning.commands.run.train_stages", lambda *_, **__: None)
    monkeypatch.setattr("hydra.core.utils.datetime", _OneSecond)
    for seed in (0, 1, 1):
        done = command("train", MICRO, *NO_WORK, f"seed={seed}")
        assert done.code == 0, done.err
    runs = sorted((tmp_path / "outputs" / "micro").iterdir())
    assert [run.name for run in runs] == ["2026-01-02_03-04-05", "2026-01-02_03-04-05_2", "2026-01-02_03-04-05_3"]
    assert [yaml.safe_load((run / "config.yaml").read_text())["seed"] for run in runs] == [0, 1, 1]
    assert command("train", MICRO, *NO_WORK, "seed=1", "resume=auto").code == 0
    assert sorted((tmp_path / "outputs" / "micro").iterdir()) == runs


class _OneSecond:
    @staticmethod
    def now() -> datetime.datetime:
        return datetime.datetime(2026, 1, 2, 3, 4, 5)


def test_folders_made_at_once_are_all_different(tmp_path: Path):
    made: list[Path] = []
    threads = [threading.Thread(target=lambda: made.append(_new_folder(tmp_path / "a" / "run"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 16
    assert all(folder.is_dir() for folder in made)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/run: cannot be written \(Not a directory\)"):
        _new_folder(tmp_path / "file" / "run")
    with pytest.raises(InputError, match=r"cannot be written \(File name too long\)"):
        _new_folder(tmp_path / ("x" * 300))


@pytest.mark.slow
def test_the_folder_of_a_multirun_is_named_to_the_microsecond(command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nas_lightning.commands.run.train_stages", lambda *_, **__: None)
    for _ in range(2):
        done = command("train", "-m", MICRO, *NO_WORK, "seed=0,1")
        assert done.code == 0, done.err
    folders = list((tmp_path / "multirun" / "micro").iterdir())
    assert len(folders) == 2
    assert all(len(folder.name.rpartition("-")[2]) == 6 for folder in folders)
    assert os.listdir(tmp_path) == ["multirun"]


def test_a_folder_without_its_key_is_told_how_to_be_given(tmp_path: Path):
    for typed in ("../RUN", str(tmp_path)):
        with pytest.raises(InputError) as mistake:
            readable(["seed=1", typed])
        assert str(mistake.value) == f"{typed}: is not key=value; for a run's folder that is run_dir={typed}"
    weights, table = tmp_path / "supernet.safetensors", tmp_path / "scores.csv"
    for typed, says in ((weights, f"for a checkpoint that is checkpoint={weights}"), (table, "a file is given by its key")):
        with pytest.raises(InputError) as mistake:
            readable([str(typed)])
        assert str(mistake.value) == f"{typed}: is not key=value; {says}"
    with pytest.raises(InputError, match=r"^--experiment=micro: is no option; keys are written experiment=micro$"):
        readable(["--experiment=micro"])
    kept = ["--config-dir", "a/b", "--cfg=job", "-m", "~ranking", "seed=1"]
    assert readable(kept) == kept


def test_a_required_key_is_named_in_full(command: Callable[..., Any]):
    done = command("train", "experiment=short", "data=image_folder")
    assert (done.code, done.err) == (2, "error: data.root: must be given\n")


def test_options_may_stand_between_overrides():
    ordered, found = in_hydras_order(["a=1", "-m", "b=2,3", "--config-dir", "x", "c=4"])
    assert ordered == ["a=1", "b=2,3", "c=4", "-m", "--config-dir", "x"]
    assert (found.multirun, found.config_dir, found.overrides) == (True, "x", ["a=1", "b=2,3", "c=4"])


@pytest.mark.parametrize(
    ("words", "ordered"),
    [
        (["--config-dir", "a=1", "a=1"], ["a=1", "--config-dir", "a=1"]),
        (["-p", "a=1", "--cfg", "job", "b=1", "a=1"], ["b=1", "a=1", "-p", "a=1", "--cfg", "job"]),
        (["a=1", "--info"], ["a=1", "--info"]),
        (["~a", "-m", "a=1", "a=1"], ["~a", "a=1", "a=1", "-m"]),
    ],
    ids=["an equal value", "two options", "an option that may have a value", "repeated"],
)
def test_an_option_keeps_its_value(words: list[str], ordered: list[str]):
    found = in_hydras_order(words)
    assert found[0] == ordered
    assert found[1] == get_args_parser().parse_args(ordered)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--dry-run"], "unrecognized arguments: --dry-run; keys are written KEY=VALUE, "),
        (["seed=1", "--cfg", "jobs"], "argument --cfg/-c: invalid choice: 'jobs' "),
        (["--config-dir"], "argument --config-dir/-cd: expected one argument; "),
    ],
)
def test_what_is_no_option_is_refused_in_one_line(words: list[str], says: str, command: Callable):
    done = command("train", "experiment=micro", *words)
    assert done.code == 2
    assert done.err.startswith(f"error: {says}")
    assert done.err.count("\n") == 1
