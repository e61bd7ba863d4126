"""The code and commands of README and docs are real, README is short, and no link leads nowhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from nas_lightning.commands.configs import RankConfig, TrainConfig
from nas_lightning.config.read import read
from nas_lightning.config.schema import TuneConfig
from nas_lightning.console.start import conf_folder, plain
from tests.composing import composed, composed_by_hydra

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
DOCS = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
TEXTS = {page.name: page.read_text(encoding="utf-8") for page in DOCS}
COMMANDS = [
    line.split("&& ")[-1]
    for block in re.findall(r"```bash\n(.*?)```", "\n".join(TEXTS.values()), re.DOTALL)
    for line in block.splitlines()
    if ("train.py" in line or line.startswith("nas-rank")) and " -m " not in line
]


def test_the_readme_is_a_screen_and_a_half():
    lines = README.splitlines()
    assert len(lines) <= 130
    assert max(map(len, lines)) <= 120
    assert len(README.encode()) < 9000
    assert "../shared" not in README


@pytest.mark.parametrize("page", [*DOCS, REPOSITORY / "records/README.md"], ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_no_link_leads_nowhere(page: Path):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_the_python_example_runs_in_at_most_20_lines(tmp_path: Path):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(code.splitlines()) <= 20
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_composes_into_a_config_that_is_legal(line: str):
    name, *overrides = shlex.split(line.removeprefix("python ").replace("images=N", "images=1000"))
    config_name, kind = ("rank", RankConfig) if name == "nas-rank" else ("config", TrainConfig)
    read(kind, composed(config_name, *overrides, "run_dir=out"))


def test_every_experiment_is_in_the_table():
    listed = set(re.findall(r"^\| `(\w+)`(?: \(default\))? \|", TEXTS["spaces_and_data.md"], re.MULTILINE))
    assert {path.stem for path in (conf_folder() / "experiment").glob("*.yaml")} <= listed


SCALE_OUT = re.findall(r"^\| [^|`]+ \| (.*) \|$", TEXTS["scaling_out.md"], re.MULTILINE)
SPANS = [span.split("&& ")[-1] for row in SCALE_OUT for span in re.findall(r"`([^`]+)`", row)]
KINDS = {
    "train.py": ("config", TrainConfig),
    "nas-rank": ("rank", RankConfig),
    "nas-tune": ("tune", TuneConfig),
}


def test_scale_out_has_a_command_for_each_kind_of_machine():
    assert len(SPANS) >= 8


@pytest.mark.parametrize("line", SPANS)
def test_a_command_of_scale_out_composes_with_its_launcher(line: str):
    words = shlex.split(line)
    place = next(number for number, word in enumerate(words) if word in KINDS)
    config_name, kind = KINDS[words[place]]
    overrides = [word for word in words[place + 1 :] if word != "-m" and not word.startswith("seed=0,")]
    config = composed_by_hydra(config_name, *overrides, *([] if "run_dir=" in line else ["run_dir=out"]), with_hydra=True)
    assert "sweep=" not in line or config.hydra.mode == RunMode.MULTIRUN
    read(kind, plain(OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])))
