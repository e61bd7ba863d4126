"""The README's code and commands are real."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from nas_lightning.commands.conf_folder import conf_folder
from nas_lightning.commands.console import plain
from nas_lightning.config.read import read
from nas_lightning.config.schema import RankConfig, TrainConfig

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("&& ")[-1]
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if ("train.py" in line or line.startswith("nas-rank")) and " -m " not in line
]


def test_the_python_example_runs_in_at_most_20_lines(tmp_path: Path):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(code.splitlines()) <= 20
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_composes_into_a_config_that_is_legal(line: str):
    name, *overrides = shlex.split(line.removeprefix("python ").replace("images=N", "images=1000"))
    config_name, kind = ("rank", RankConfig) if name == "nas-rank" else ("config", TrainConfig)
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose(config_name, overrides=[*overrides, "run_dir=out"])
    read(kind, plain(config))


def test_every_experiment_is_in_the_table():
    listed = set(re.findall(r"^\| `(\w+)`(?: \(default\))? \|", README, re.MULTILINE))
    assert {path.stem for path in (conf_folder() / "experiment").glob("*.yaml")} <= listed
