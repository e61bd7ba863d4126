"""Exports of many candidates give the same logits in a program that has no nas_lightning."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from nas_lightning.data import Digits
from nas_lightning.export.calibration import scaled
from nas_lightning.export.read import read_export
from tests.export.tiny import TINY

pytestmark = pytest.mark.slow
COUNT = 8


def test_random_candidates_run_without_this_package(checkpoint: Path, tmp_path: Path, command: Callable, python: Callable):
    codes = [str(architecture) for architecture in TINY.sample_distinct(COUNT, np.random.default_rng(3))]
    (tmp_path / "chosen.json").write_text(json.dumps([{"architecture": code, "score": 0.5} for code in codes]))
    done = command("export", f"checkpoint={checkpoint}", f"chosen={tmp_path}/chosen.json", f"run_dir={tmp_path}/run", "export.images=100")
    assert done.code == 0, done.err
    folders = [tmp_path / "run/export" / code for code in codes]
    digits = Digits(8, 200)
    raw = digits.test().images[100:164]
    np.save(tmp_path / "images.npy", raw.numpy().astype(np.float32) / 255)
    ran = python(Path(__file__).with_name("elsewhere.py"), tmp_path / "images.npy", *folders)
    assert ran.stdout == "no nas_lightning\n", ran.stderr
    for folder in folders:
        with torch.inference_mode():
            expected = read_export(folder).network(scaled(digits, raw)).numpy()
        assert np.ptp(expected) > 0.1
        logits = np.load(folder / "logits.npz")
        assert set(logits) == {"network.py", "network.pt2", "network.onnx"}
        for name, found in logits.items():
            assert np.abs(found - expected).max() < 1e-5, (folder, name)
