"""nas-standalone start=EXPORT trains an exported network on, and its card says so."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nas_lightning.commands import train_on
from nas_lightning.data import Digits
from nas_lightning.errors import InputError
from nas_lightning.export.calibration import evaluate
from nas_lightning.export.read import read_export
from nas_lightning.runs.made_from import file_hash
from tests.export.tiny import CODE

RECIPE = ("standalone=short", "standalone.epochs=2", "standalone.batch_size=40")


@pytest.fixture(scope="module")
def small(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory, command: Callable) -> Path:
    """The folder of an export without the formats that take long."""
    run = tmp_path_factory.mktemp("small") / "run"
    arguments = (f"architecture={CODE}", f"run_dir={run}", "export.images=300", "export.formats=[safetensors]")
    done = command("export", f"checkpoint={checkpoint}", *arguments)
    assert done.code == 0, done.err
    return run / "export" / CODE


@pytest.fixture(scope="module")
def trained(small: Path, command: Callable) -> Path:
    run = small.parents[2] / "trained"
    done = command("standalone", f"start={small}", *RECIPE, f"run_dir={run}")
    assert done.code == 0, done.err
    return run / "export" / CODE


def test_the_training_starts_from_the_exported_weights_and_moves_weights_and_norms(small: Path, trained: Path):
    before, after = (load_file(folder / "network.safetensors") for folder in (small, trained))
    assert before.keys() == after.keys()
    steps = 2 * 5  # epochs of 200 images in batches of 40
    tracked = [name for name in before if name.endswith("num_batches_tracked")]
    assert tracked
    assert all(after[name] - before[name] == steps for name in tracked)
    assert not torch.equal(before["stem.norm.running_mean"], after["stem.norm.running_mean"])
    weights = "blocks.0.unit1.conv.weight"
    cosine = torch.nn.functional.cosine_similarity(before[weights].flatten(), after[weights].flatten(), dim=0)
    assert 0.5 < cosine < 0.9999  # other initial weights would be orthogonal


def test_the_card_says_that_it_was_trained_on_and_how_good_it_was_before(small: Path, trained: Path):
    card = json.loads((trained / "card.json").read_text())
    assert card["origin"]["start"] == str(small)
    assert (card["origin"]["epochs"], card["origin"]["seed"]) == (2, 0)
    assert card["made_from"] == {"network.safetensors": file_hash(small / "network.safetensors")}
    started = json.loads((small / "card.json").read_text())
    assert card["test"]["before"]["cross_entropy"] == started["test"]["after"]["cross_entropy"]
    assert card["test"]["after"]["cross_entropy"] < card["test"]["before"]["cross_entropy"] - 0.1
    found = evaluate(read_export(trained).network, Digits(8, 200), 300, 250)
    assert card["test"]["after"]["cross_entropy"] == pytest.approx(found.cross_entropy, abs=1e-5)
    assert f"Trained on for 2 epochs with seed 0, from the export {small}." in (trained / "card.md").read_text()


def test_the_same_command_again_trains_nothing_and_another_recipe_is_refused(
    small: Path, trained: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(train_on, "train_network", lambda *_: pytest.fail("it was trained again"))
    run = trained.parents[1]
    done = command("standalone", f"start={small}", *RECIPE, f"run_dir={run}")
    assert done.code == 0, done.err
    assert "there already" in done.out
    done = command("standalone", f"start={small}", *RECIPE, "standalone.seeds=[1]", f"run_dir={run}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "was trained with seed 0; give another run_dir" in done.err
    done = command("standalone", f"start={small}", *RECIPE, "standalone.epochs=3", f"run_dir={run}")
    assert done.code == 2
    assert "standalone.epochs was 2, is 3" in done.err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["choose=best"], "choose: cannot go with start"),
        (["space=resnet_tiny"], "space: cannot go with start"),
        (["data.mean=[0.1]"], "data.mean: cannot go with start"),
        (["standalone.shortcuts=always"], "standalone.shortcuts: cannot go with start"),
        (["standalone.count=3"], "standalone.count: cannot go with start"),
        (["standalone.seeds=[0,1]"], "standalone.seeds: [0, 1] must be one with start"),
        (["standalone.norm=batch"], "standalone.norm: batch cannot go with start"),
    ],
)
def test_keys_that_contradict_an_export_are_refused(arguments: list[str], line: str, small: Path, tmp_path: Path, command: Callable):
    done = command("standalone", f"start={small}", *RECIPE, *arguments, f"run_dir={tmp_path}/run")
    assert (done.code, done.out) == (2, "")
    assert line in done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("what", ["absent", "torn", "other header", "other shape"])
def test_what_is_no_export_is_refused(what: str, small: Path, tmp_path: Path):
    folder = tmp_path / "export"
    shutil.copytree(small, folder)
    path = folder / "network.safetensors"
    tensors = load_file(path)
    if what == "absent":
        path.unlink()
    elif what == "torn":
        path.write_bytes(path.read_bytes()[:-10])
    elif what == "other header":
        save_file(tensors, path, metadata={"network": "[]"})
    else:
        with safe_open(path, framework="pt") as file:
            header = file.metadata()["network"]
        save_file({**tensors, "classifier.bias": torch.zeros(11)}, path, metadata={"network": header})
    with pytest.raises(InputError, match=r"start: .*(not a folder of nas-export|not a whole network of nas-export)"):
        read_export(folder)
