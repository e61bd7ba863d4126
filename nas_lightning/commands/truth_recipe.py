"""The recipe and the images behind the accuracies of a folder: those of others are refused, never mixed with them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas_lightning.data import ImageDataset
from nas_lightning.data.image_dataset import fingerprint
from nas_lightning.errors import InputError, cut
from nas_lightning.report.recipe import RECIPE, recipe_beside, recipe_of
from nas_lightning.runs.claim import flat
from nas_lightning.runs.reading import read_json
from nas_lightning.runs.writing import write_json
from nas_lightning.supernet.families import Family

OF_NO_CANDIDATE = ("space.name", "space.max_widths", "shortcuts", "answers")
"""Entries of a family's header that change no candidate of a given code, or are among the recipe's own."""


def check_truth_recipe(folder: Path, config: Mapping[str, Any], family: Family, dataset: ImageDataset) -> dict[str, Any]:
    """What decides the accuracies that a config trains, to be kept beside them.

    Args:
        folder: of the accuracies.
        config: of nas-train or nas-standalone, as plain values.
        family: of the networks.
        dataset: their images.

    Raises:
        InputError: naming what differs, if the folder has accuracies by another recipe or on other images.
    """
    recipe = recipe_of(config)
    networks = {key: value for key, value in flat(json.loads(json.dumps(family.header()))).items() if key not in OF_NO_CANDIDATE}
    images = {"train": fingerprint(dataset.train()), "test": fingerprint(dataset.test())}
    given = {"recipe": {} if recipe is None else dict(recipe.values), "networks": networks, "sha256": images}
    if not any(folder.glob("accuracies*.csv")):
        return given
    if (path := folder / RECIPE).is_file():
        kept = read_json(path)
    else:  # of an older version
        before = recipe_beside(folder / "known_accuracies.json")
        kept = given if before is None else {**given, "recipe": dict(before.values)}
    old, new = _compared(kept), _compared(given)
    if differing := [key for key in sorted({*old, *new}, key=lambda key: (key.startswith("sha256"), key)) if old.get(key) != new.get(key)]:
        changes = "; ".join(_change(key, old.get(key), new.get(key)) for key in differing[:3])
        more = f" (and {len(differing) - 3} more)" if len(differing) > 3 else ""
        raise InputError(f"{folder}: its accuracies were trained otherwise: {changes}{more}; give another run_dir")
    return given


def keep_truth_recipe(folder: Path, decided: Mapping[str, Any]) -> None:
    """Writes what ``check_truth_recipe`` returned beside the accuracies, before the first is trained."""
    write_json(folder / RECIPE, decided)


def _change(key: str, old: Any, new: Any) -> str:
    if key.startswith("sha256."):
        return f"the {key.removeprefix('sha256.')} images are other ones"
    return f"{cut(key)} was {cut(repr(old))}, is {cut(repr(new))}"


def _compared(decided: Mapping[str, Any]) -> dict[str, Any]:
    """By key; the images are compared as they are, not as they were asked for."""
    recipe = decided.get("recipe")
    values = recipe.items() if isinstance(recipe, Mapping) else ()
    asked = [(key, value) for key, value in values if not key.startswith(("data.", "space."))]
    named = {key if key.startswith("trainer.") else f"standalone.{key}": value for key, value in asked}
    return {**named, **flat({key: decided.get(key) for key in ("networks", "sha256")})}
