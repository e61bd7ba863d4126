"""What a process is told that was started as a further one, where one device does the work."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("train", ["experiment=micro"]),
        ("tune", ['overrides=["experiment=micro"]', "search={stages.pretrain.optimizer.lr: [0.1]}"]),
    ],
)
def test_a_further_process_is_refused_where_one_device_does_the_work(
    name: str, arguments: list[str], command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RANK", "1")
    done = command(name, *arguments, f"run_dir={tmp_path}/run")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-1].startswith("error: trainer.devices: 1, but several processes were started (srun, torchrun); give")
    assert not (tmp_path / "run").exists()
