"""The code and commands of README and docs are real, README is short, and no link leads nowhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from nas_lightning.commands.configs import ExportConfig, RankConfig, StandaloneCommandConfig, TrainConfig
from nas_lightning.commands.search_keys import SearchCommandConfig
from nas_lightning.config.read import read
from nas_lightning.config.schema import CompareConfig, ReportConfig, TuneConfig
from nas_lightning.console.start import conf_folder, plain
from tests.composing import composed_by_hydra

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
DOCS = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
TEXTS = {page.name: page.read_text(encoding="utf-8") for page in DOCS}
KINDS = {
    "train.py": ("config", TrainConfig),
    "nas-train": ("config", TrainConfig),
    "nas-rank": ("rank", RankConfig),
    "nas-search": ("search", SearchCommandConfig),
    "nas-standalone": ("standalone", StandaloneCommandConfig),
    "nas-export": ("export", ExportConfig),
    "nas-compare": ("compare", CompareConfig),
    "nas-tune": ("tune", TuneConfig),
    "nas-report": ("report", ReportConfig),
}
OTHERS = ("pip install ", "pytest", "git clone ", "cd nas_lightning", "python3 -m venv ", ". .venv/")
"""Programs in blocks that are not ours."""
ELSEWHERE = {"extending.md": "python yaml bash", "export.md": "bash", "keys.md": "yaml", "networks.md": "bash", "python.md": "python"}
"""Kinds of blocks that a test of their own runs or compares."""


def blocks(kind: str) -> list[str]:
    """The code blocks of a kind, those of ``ELSEWHERE`` left out."""
    pages = [text for name, text in TEXTS.items() if kind not in ELSEWHERE.get(name, "").split()]
    return [block for text in pages for block in re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]


def spans() -> list[str]:
    """The commands with arguments in running text and tables."""
    text = "\n".join(re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE) for text in TEXTS.values())
    found = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]
    return [span for span in found if re.search(r"(^|&& |^torchrun .*)(python train\.py|train\.py|nas-\w+) [^A-Z]", span)]


LINES = [line for block in blocks("bash") for line in block.replace("\\\n", "").splitlines()]
COMMANDS = [part for line in [*LINES, *spans()] for part in line.split(" && ") if not part.startswith(OTHERS)]


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


def test_every_block_is_of_a_kind_that_a_test_runs():
    for name, text in TEXTS.items():
        kinds = re.findall(r"^```([^\n]*)\n.*?^```", text, re.DOTALL | re.MULTILINE)
        assert {*kinds} <= {"", "python", "bash", *ELSEWHERE.get(name, "").split()}, name
    assert len(blocks("python")) >= 1
    assert len(LINES) >= 9
    assert len(COMMANDS) >= 25


def test_the_python_example_of_the_readme_has_at_most_20_lines():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(code.splitlines()) <= 20


@pytest.mark.slow
@pytest.mark.parametrize("code", blocks("python"))
def test_a_python_block_runs(code: str, tmp_path: Path):
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_composes_into_a_config_that_is_legal(line: str):
    words = shlex.split(line.replace("images=N", "images=1000"))
    place = next(number for number, word in enumerate(words) if word in KINDS)
    name, kind = KINDS[words[place]]
    # Of the values of a sweep the first; a report's sweep is no group.
    overrides = [re.sub(r"=([^\[{,]*),.*", r"=\1", word) for word in words[place + 1 :] if word != "-m"]
    overrides = [re.sub("^sweep=", "sweep_dir=", word) for word in overrides] if name == "report" else overrides
    overrides += ["checkpoint=FILE"] if name == "rank" and "checkpoint=" not in line else []
    has_folder = any(word.startswith("run_dir=") for word in overrides) or name in ("compare", "report")
    config = composed_by_hydra(name, *overrides, *([] if has_folder else ["run_dir=out"]), with_hydra=True)
    assert "sweep=" not in line or name == "report" or config.hydra.mode == RunMode.MULTIRUN
    read(kind, plain(OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])))


def test_every_experiment_is_in_the_table():
    listed = set(re.findall(r"^\| `(\w+)`(?: \(default\))? \|", TEXTS["spaces_and_data.md"], re.MULTILINE))
    assert {path.stem for path in (conf_folder() / "experiment").glob("*.yaml")} <= listed


def test_scale_out_has_a_command_for_each_kind_of_machine():
    rows = re.findall(r"^\| [^|`]+ \| (.*) \|$", TEXTS["scaling_out.md"], re.MULTILINE)
    assert len([span for row in rows for span in re.findall(r"`([^`]+)`", row)]) >= 8
