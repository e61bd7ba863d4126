"""What Hydra reads of somebody's config folder is bounded."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from nas_lightning.console.config_files import bounded_config_files

HEAD = "# @package _global_\ndefaults: [micro, _self_]\n"
LAUGHS = "x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"x{new}: &x{new} [{', '.join([f'*x{old}'] * 8)}]\n" for old, new in itertools.pairwise(range(12))
)
ODD = {
    "a bomb of aliases": (LAUGHS, "aliases written out"),
    "a bomb in a mapping": (LAUGHS.replace("[", "{a: [").replace("]", "]}"), "aliases written out"),
    "an alias of itself": ("x: &x [*x]\n", "stands within what it names"),
    "an alias within a mapping that it names": ("x: &x {y: {z: *x}}\n", "stands within what it names"),
    "an alias of nothing": ("x: *nothing\n", "nothing"),
    "brackets without end": ("x: " + "[" * 20_000, "nested too deeply"),
    "a megabyte": ("# " + "x" * 2**20, "may have 0.5 MiB"),
}


@pytest.mark.parametrize("name", ODD)
def test_an_experiment_without_bounds_is_refused_in_one_line(name: str, tmp_path: Path, command: Callable):
    text, holds = ODD[name]
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "odd.yaml").write_text(HEAD + text)
    done = command("train", "--config-dir", tmp_path, "experiment=odd", f"run_dir={tmp_path}/run")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert holds in done.err
    assert not (tmp_path / "run").exists()


def test_few_aliases_are_read_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nas_lightning.console.config_files.MOST_VALUES", 3000)
    path = tmp_path / "some.yaml"
    path.write_text("a: &a {lr: 0.1}\nb: [*a, *a]\nc: 1e-3\n")
    with bounded_config_files():
        with path.open() as file:
            assert OmegaConf.load(file) == {"a": {"lr": 0.1}, "b": [{"lr": 0.1}] * 2, "c": 0.001}
        path.write_text(f"a: &a [{'1,' * 1000}]\nb: [*a]\n")
        with path.open() as file:
            assert len(OmegaConf.load(file).b[0]) == 1000
    assert OmegaConf.load(path).a[0] == 1
