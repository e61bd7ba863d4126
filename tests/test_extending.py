"""docs/extending.md: its files, written as it says, work with its commands."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nas_lightning import load_supernet

PAGE = (Path(__file__).parents[1] / "docs/extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
MICRO = ["experiment=micro", "standalone=none"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable) -> Callable[..., None]:
    """Runs a command of the page, at micro's size."""
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    rng = np.random.default_rng(0)
    for split, count in (("train", 200), ("test", 300)):
        labels = rng.integers(4, size=count)
        images = (rng.integers(128, size=(count, 8, 8, 3)) + 32 * labels[:, None, None, None]).astype(np.uint8)
        np.savez(tmp_path / f"{split}.npz", x=images, y=labels)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(line: str, *more: str) -> None:
        program, *arguments = shlex.split(line.replace("DIR", str(tmp_path)))
        done = command(program.removeprefix("nas-"), *arguments, *more)
        assert done.code == 0, done.err

    return run


def test_the_page_has_two_classes_with_their_files_and_commands():
    assert list(FILES) == ["my_package/__init__.py", "my_conf/data/mine.yaml", "my_package/samplers.py", "my_conf/sampler/narrower.yaml"]
    assert len(COMMANDS) == 3
    assert len(FILES["my_package/__init__.py"].strip().splitlines()) <= 35


@pytest.mark.slow
def test_a_data_set_of_ones_own_trains_and_ranks(tmp_path: Path, run: Callable[..., None]):
    run(COMMANDS[0], *MICRO, "~data.train_images")
    assert load_supernet(tmp_path / "RUN/supernet.safetensors")[1]["data"]["name"] == "my_arrays"
    assert (tmp_path / "RUN/ranking/scores.csv").read_text().count("\n") == 25
    run(COMMANDS[1], f"run_dir={tmp_path}/again")
    assert (tmp_path / "again/ranking/scores.csv").read_text().count("\n") == 25


@pytest.mark.slow
def test_a_sampler_of_ones_own_trains_what_it_draws(tmp_path: Path, run: Callable[..., None]):
    run(COMMANDS[2], *MICRO, "stages.pretrain.max_steps=2", "plugins=[my_package]")
    assert "my_package.samplers.Narrower" in (tmp_path / "RUN/config.yaml").read_text()
    assert (tmp_path / "RUN/ranking/scores.csv").read_text().count("\n") == 25
