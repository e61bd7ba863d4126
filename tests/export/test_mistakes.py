"""Mistakes end nas-export with one line before anything is written."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nas_lightning.export import settings
from tests.export.conftest import CODE

MISTAKES = {
    "neither": ([], "architecture, chosen: neither is given; give either architecture=CODE or chosen=FILE"),
    "both": ([f"architecture={CODE}", "chosen=HERE/chosen.json"], "architecture, chosen: both are given"),
    "not in the space": (["architecture=8-6-8-12-10-16-15"], "architecture: entry 7 of 8-6-8-12-10-16-15"),
    "unknown format": (
        [f"architecture={CODE}", "export.formats=[onnx,tflite]"],
        "export.formats: 'tflite' is not one of safetensors",
    ),
    "no format": ([f"architecture={CODE}", "export.formats=[]"], "export.formats: is empty; give one or more of safetensors"),
    "unknown key": ([f"architecture={CODE}", "export.format=[onnx]"], "export.format: is not a key; did you mean formats?"),
    "too many images": (
        [f"architecture={CODE}", "export.calibration_images=201"],
        "export.calibration_images: 201 is more than the 200 images",
    ),
    "a single image": ([f"architecture={CODE}", "export.calibration_images=1"], "export.calibration_images: 1 must be at least 2"),
    "scaling": ([f"architecture={CODE}", "export.scaling=none"], "export.scaling: 'none' is not one of metadata, first_nodes"),
    "no such file": (["chosen=HERE/nothing.json"], "nothing.json"),
    "no such place": (["chosen=HERE/second.json"], "count: 1, but no candidate of HERE/second.json has such a place"),
    "no list": (["chosen=HERE/object.json"], "chosen: HERE/object.json: holds a dict of 1 entries, not a list of objects"),
    "no JSON": (["chosen=HERE/torn.json"], "chosen: HERE/torn.json: is not JSON"),
    "no code": (["chosen=HERE/no_code.json"], "chosen: HERE/no_code.json: entry 2 is a dict of 0 entries without a code"),
    "wrong code": (["chosen=HERE/wrong.json"], "chosen: HERE/wrong.json: entry 1: 8-8: has 2 entries"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(name: str, checkpoint: Path, tmp_path: Path, command: Callable):
    given, line = MISTAKES[name]
    arguments = [part.replace("HERE", str(tmp_path)) for part in given]
    for file, content in {
        "chosen": [{"architecture": CODE}],
        "second": [{"architecture": CODE, "place": 2}],
        "object": {"architecture": CODE},
        "no_code": [{"architecture": CODE}, {}],
        "wrong": [{"architecture": "8-8"}],
    }.items():
        (tmp_path / f"{file}.json").write_text(json.dumps(content))
    (tmp_path / "torn.json").write_text("[{")
    done = command("export", f"checkpoint={checkpoint}", f"run_dir={tmp_path}/run", *arguments)
    assert (done.code, done.out) == (2, "")
    assert line.replace("HERE", str(tmp_path)) in done.err
    assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_missing_package_is_named_with_its_extra(checkpoint: Path, tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(settings, "NEEDED", ("onnx", "no_such_onnxruntime"))
    done = command("export", f"checkpoint={checkpoint}", f"architecture={CODE}", f"run_dir={tmp_path}/run")
    assert done.code == 2
    assert "export.formats: onnx needs no_such_onnxruntime: pip install 'nas_lightning[export]'" in done.err
