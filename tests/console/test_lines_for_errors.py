"""Errors of Hydra and of packages that do not fit, each in one line."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("command_name", "override", "says"),
    [
        ("rank", "data=cifar100", "error: data: this command has no such group of options; give data.root\n"),
        ("rank", "space=resnet_tiny", "error: space: this command has no such group of options; --help lists groups and keys\n"),
        ("tune", "trainer=gpu", "error: trainer: this command has no such group of options; --help lists groups and keys\n"),
    ],
)
def test_an_option_of_a_group_that_the_command_lacks(command_name: str, override: str, says: str, command: Callable):
    done = command(command_name, override)
    assert (done.code, done.err) == (2, says)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("sampler@stages.pretrain.sampler=unifrom", "sampler: unifrom is none of its options; did you mean uniform?"),
        ("experiment=quikstart", "experiment: quikstart is none of its options; did you mean quickstart?"),
        ("space=x", "space: x is none of its options; known: "),
        ("sampler=fair", "sampler: several keys take such an option; give one of sampler@stages.distill_1.sampler, sampler@stages."),
    ],
)
def test_a_misspelt_option_is_named_with_the_nearest(override: str, says: str, command: Callable):
    done = command("train", override)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.startswith(f"error: {says}")


@pytest.mark.slow
def test_a_torchvision_for_another_torch_is_named_with_both_versions(tmp_path: Path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; from nas_lightning.commands.train import main; main()"
    command = [sys.executable, "-c", code, "experiment=micro", f"run_dir={tmp_path}/run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    line = done.stderr.splitlines()[-1]  # a warning of torch may stand above it
    assert line.startswith("error: torchvision: cannot be imported (operator torchvision::nms does not exist); torch ")
    assert "Traceback" not in done.stderr
