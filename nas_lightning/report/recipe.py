"""The recipe by which candidates were trained alone, from a config: accuracies by different recipes are never compared."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas_lightning.config.roles import as_of_today
from nas_lightning.report.text import listed, plain
from nas_lightning.runs.claim import flat, may_change
from nas_lightning.runs.reading import read_json, read_yaml

RECIPE = "recipe.json"
"""File beside accuracies, of what decides them."""
OF_THE_TRAINER = ("precision", "gradient_clip_val", "gradient_clip_algorithm")
"""Arguments of pl.Trainer that change an accuracy."""


@dataclass(frozen=True)
class AloneRecipe:
    """Everything in a config that decides the accuracy of a candidate trained alone."""

    values: Mapping[str, Any]
    """By key."""
    seeds: int
    """Trainings behind an accuracy, which is their mean."""

    def __str__(self) -> str:
        value = self.values.get
        epochs, data, optimizer = value("epochs"), _name(value("data._target_")), _name(value("optimizer._target_"))
        pixels = value("data.resolution") or value("space.resolution")
        facts = (
            f"{plain(epochs)} epoch{'' if epochs == 1 else 's'}",
            data and f"of {data}{f' at {plain(pixels)}x{plain(pixels)} pixels' if pixels else ''}",
            f"in batches of {plain(value('batch_size'))}" if value("batch_size") else "",
            optimizer and f"by {optimizer} with lr {plain(value('optimizer.lr'))}",
            f"(each the mean of {self.seeds} seeds)" if self.seeds > 1 else "(one seed each)",
        )
        return " ".join(filter(None, facts))

    def unlike(self, other: "AloneRecipe") -> str:
        """The keys that differ, with both values; empty if the accuracies can be compared."""
        keys = [key for key in dict.fromkeys([*self.values, *other.values]) if self.values.get(key) != other.values.get(key)]
        pairs = [(key, *(_short(key, recipe.values.get(key)) for recipe in (self, other))) for key in keys]
        return listed([f"{key.removesuffix('._target_')} {ours} instead of {theirs}" for key, ours, theirs in pairs], 4)


def recipe_of(config: Mapping[str, Any]) -> AloneRecipe | None:
    """The recipe in the config of a run of nas-train or nas-standalone; None if there is none."""
    groups = {group: node if isinstance(node := config.get(group), dict) else {} for group in ("standalone", "data", "space", "trainer")}
    if "epochs" not in groups["standalone"]:
        return None
    of_trainer = {key: value for key, value in groups["trainer"].items() if key in OF_THE_TRAINER}
    parts = {**groups, "space": {"resolution": groups["space"].get("resolution")}, "trainer": of_trainer}
    values = {key.removeprefix("standalone."): value for key, value in flat(as_of_today(parts)).items() if not may_change(key)}
    seeds = groups["standalone"].get("seeds")
    return AloneRecipe(values, len(seeds) if isinstance(seeds, list) else 1)


def recipe_beside(accuracies: Path) -> AloneRecipe | None:
    """That of a file that nas-standalone or nas-train wrote into ``standalone/``; None of any other file."""
    folder = accuracies.parent
    configs = (folder / "config.yaml", folder.parent / "config.yaml") if folder.name == "standalone" else ()
    found = next((recipe_of(read_yaml(path)) for path in configs if path.is_file()), None)
    values = read_json(path).get("recipe") if found is not None and (path := folder / RECIPE).is_file() else None
    return replace(found, values=values) if found is not None and isinstance(values, dict) else found


def next_to_known(whose: str, recipe: AloneRecipe | None, known: AloneRecipe | None, has_known: bool) -> str:
    """A sentence on the recipe of a column of accuracies, and whether it is that of the known ones; empty without a recipe.

    Args:
        whose: such as ``the winners``.
        known: recipe of the known accuracies; None if it is not recorded.
        has_known: whether there are any.
    """
    if recipe is None:
        return ""
    ours, apart = f"Recipe of {whose}: {recipe}.", "do not compare the two columns"
    if not has_known:
        return ours
    if known is None:
        return f"{ours} That of the known accuracies is not recorded here: {apart}."
    differing = recipe.unlike(known)
    return f"{ours} The known accuracies have {f'another one ({differing}): {apart}' if differing else 'the same one'}."


def _name(target: Any) -> str:
    return str(target or "").rpartition(".")[2]


def _short(key: str, value: Any) -> str:
    return _name(value) if key.endswith("_target_") else plain(value)
