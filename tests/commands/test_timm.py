"""A network of timm by the commands, each in a process of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
PLUGINS = "plugins=[timm]"


def test_a_network_of_timm_is_trained_ranked_again_and_cut_out(tmp_path: Path, python: Callable):
    def run(*words: str) -> None:
        done = python(*words)
        assert done.returncode == 0, done.stderr[-3000:]

    folder, ranked, exported = (tmp_path / name for name in ("run", "ranked", "exported"))
    words = ["network=timm", "network.name=test_resnet", "+network.network.in_chans=1", "data=digits", "data.resolution=32"]
    run("train.py", *words, PLUGINS, "experiment=micro", "standalone=none", f"run_dir={folder}")
    again = ["-m", "nas_lightning.commands.rank", f"checkpoint={folder}/supernet.safetensors"]
    again += [f"ranking.list={folder}/ranking/submission.json", "ranking=cross_entropy", "ranking.images=100", f"run_dir={ranked}"]
    run(*again, PLUGINS)
    best = (ranked / "ranking" / "scores.csv").read_text().splitlines()[1].split(",")[1]
    export = ["-m", "nas_lightning.commands.export", f"checkpoint={folder}/supernet.safetensors", f"run_dir={exported}"]
    run(*export, f"architecture={best}", PLUGINS)
    assert list(exported.rglob("network.onnx"))
