"""Accuracies of one folder have one recipe and the same images, whichever command trained them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nas_lightning.commands.truth_recipe import check_truth_recipe, keep_truth_recipe
from nas_lightning.data import Digits
from nas_lightning.errors import InputError
from nas_lightning.report.recipe import recipe_beside
from nas_lightning.space import SearchSpace, ShortcutRule
from nas_lightning.supernet.family import ResidualFamily

IMAGES = Digits(8, 50)
SPACE = SearchSpace("tiny", (1, 1), (8, 16), 2, 8)
FAMILY = ResidualFamily(SPACE, 10, 1, ShortcutRule.ALWAYS)


def config(epochs: int, **keys: Any) -> dict[str, Any]:
    return {"standalone": {"epochs": epochs, "seeds": [0]}, "data": {"_target_": "nas_lightning.data.Digits"}, "trainer": {}, **keys}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "standalone"
    keep_truth_recipe(folder, check_truth_recipe(folder, config(300), FAMILY, IMAGES))
    (folder / "accuracies.csv").touch()
    return folder


def test_the_same_recipe_and_images_go_on(folder: Path):
    again = config(300, space={"resolution": 8}, data={"root": "elsewhere"})
    again["standalone"]["seeds"] = [0, 1]
    assert check_truth_recipe(folder, again, FAMILY, Digits(8, 50))["recipe"]["epochs"] == 300


@pytest.mark.parametrize(
    ("given", "images", "says"),
    [
        (config(5), IMAGES, "epochs was 300, is 5; give another run_dir"),
        (config(300), Digits(8, 51), "trained otherwise: the test images are other ones; the train images are other ones; give another"),
        (config(300, trainer={"precision": "bf16-mixed"}), IMAGES, "trainer.precision was None, is 'bf16-mixed'"),
    ],
)
def test_another_recipe_or_other_images_are_refused(given: dict[str, Any], images: Digits, says: str, folder: Path):
    with pytest.raises(InputError, match=r"its accuracies were trained otherwise: ") as refused:
        check_truth_recipe(folder, given, FAMILY, images)
    assert says in str(refused.value)


def test_other_networks_by_the_same_codes_are_refused(folder: Path):
    wider = replace(FAMILY, space=SearchSpace("wider", (1, 1), (8, 32), 2, 8))
    check_truth_recipe(folder, config(300), wider, IMAGES)  # the same networks, and larger ones
    deeper = replace(FAMILY, space=SearchSpace("tiny", (2, 1), (8, 16), 2, 8))
    with pytest.raises(InputError, match=r"networks\.space\.blocks was \[1, 1\], is \[2, 1\]; give another run_dir"):
        check_truth_recipe(folder, config(300), deeper, IMAGES)


def test_accuracies_of_an_older_version_have_the_recipe_of_the_config_beside_them(folder: Path):
    (folder / "recipe.json").unlink()
    check_truth_recipe(folder, config(5), FAMILY, IMAGES)  # nothing tells of theirs
    (folder / "config.yaml").write_text("standalone: {epochs: 300, seeds: [0]}\n")
    check_truth_recipe(folder, config(300), FAMILY, IMAGES)
    with pytest.raises(InputError, match=r"epochs was 300, is 5"):
        check_truth_recipe(folder, config(5), FAMILY, IMAGES)


def test_the_recipe_of_accuracies_is_theirs_whatever_config_lies_beside(folder: Path):
    (folder / "config.yaml").write_text("standalone: {epochs: 5, seeds: [0]}\n")
    assert "300 epochs" in str(recipe_beside(folder / "known_accuracies.json"))


def test_nas_standalone_does_not_go_on_with_the_truth_of_another_recipe(tmp_path: Path, command: Callable):
    arguments = ["space=resnet_tiny", "data=digits", "data.train_images=50", "population.count=3", "standalone.seeds=[0]"]
    first = command("standalone", *arguments, "standalone.epochs=1", f"run_dir={tmp_path}/run")
    assert first.code == 0, first.err
    (tmp_path / "run/standalone/config.yaml").unlink()  # as in a run of nas-train, whose config lies elsewhere
    before = (tmp_path / "run/standalone/accuracies.csv").read_bytes()
    again = command("standalone", *arguments, "standalone.epochs=2", f"run_dir={tmp_path}/run")
    says = f"error: {tmp_path}/run/standalone: its accuracies were trained otherwise: standalone.epochs was 1, is 2; give another run_dir\n"
    assert (again.code, again.err) == (2, says)
    assert (tmp_path / "run/standalone/accuracies.csv").read_bytes() == before
