"""A supernet with untrained weights, and one of its candidates exported with the command; nobody changes either."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nas_lightning.data import Digits
from nas_lightning.data.check import describe
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.checkpoint import make_header, save_supernet
from tests.export.tiny import CODE, TINY


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("untrained") / "supernet.safetensors"
    supernet = Supernet(TINY, classes=10, channels=1)
    save_supernet(path, supernet, make_header(supernet, describe(Digits(8, 200))))
    return path


@pytest.fixture(scope="session")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory, command: Callable) -> Path:
    """The run folder of an export of all formats, the ONNX model with the scaling in its first nodes."""
    folder = tmp_path_factory.mktemp("exported") / "run"
    arguments = (f"architecture={CODE}", f"run_dir={folder}", "export.images=300", "export.batch_size=90", "export.scaling=first_nodes")
    done = command("export", f"checkpoint={checkpoint}", *arguments)
    assert done.code == 0, done.err
    return folder


@pytest.fixture(scope="session")
def card(exported: Path) -> dict:
    return json.loads((exported / "export" / CODE / "card.json").read_text())
