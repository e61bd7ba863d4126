"""Refuses keys of the command line that do nothing, as another key stands in their way: a sweep over one would compare noise."""

from collections.abc import Collection, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from nas_lightning.errors import InputError

BESIDE = {  # where this key has a value -> these do nothing
    "network": ("space", "supernet.shortcuts", "standalone.shortcuts"),
    "population.file": ("population.count", "population.seed"),
    "ranking.images": ("ranking.most_images",),
}
WITHOUT = {  # unless this key has this value, or any but null, none, 0 and false -> these do nothing
    ("loader.holdout", ""): ("monitor", "loader.eval_batch_size"),
    ("ranking.enabled", ""): ("ranking.",),  # below it: ranking=none itself is the switch
    ("ranking.statistics", "recalibrated"): ("ranking.recalibration_images", "ranking.recalibration_batch"),
    ("ranking.cheap_first", ""): ("ranking.cheap_first_keep",),
    ("ranking.predictor", ""): ("ranking.fitted_on",),
    ("search.objective", "predicted"): ("search.predictor", "search.fitted_on"),
    ("standalone.enabled", ""): ("standalone=", "standalone.count", "standalone.choose", "standalone.processes"),  # others: nas-standalone
    ("trainer.gradient_clip_val", ""): ("trainer.gradient_clip_algorithm",),
}
STILL_READ = ("space.resolution", "ranking.enabled")
"""Keys below the others that do something: that of the images, and the switch itself."""
OFF = (None, False, 0, "none")
"""Values of a switch that is off."""


def check_idle(config: DictConfig, typed: Mapping[str, Any], swept: Collection[str] = ()) -> None:
    """Raises InputError, naming both keys, for the first key that does nothing.

    Args:
        config: composed.
        typed: the overrides of the command line by key.
        swept: keys that other runs beside this one give other values, with which the same overrides may do something.
    """
    for key, value in typed.items():
        if value == {} and OmegaConf.select(config, key):
            raise InputError(f"{key}: {{}} adds nothing to what is there; {key}.NAME=null leaves an entry out")
    if "experiment" in swept:
        return
    for switch, keys in BESIDE.items():
        if switch not in swept and OmegaConf.select(config, switch) is not None and (idle := _given(typed, keys)):
            raise InputError(f"{idle}: does nothing beside {switch}; leave one of them out")
    for (switch, wanted), keys in WITHOUT.items():
        absent = None if switch.startswith("trainer.") else True  # of pl.Trainer: off; else of another command, which reads its keys
        value = OmegaConf.select(config, switch, default=absent)
        is_on = value in (wanted, True) if wanted else value not in OFF
        if switch not in swept and not is_on and (idle := _given(typed, keys)):
            raise InputError(f"{idle}: does nothing without {switch}{f'={wanted}' if wanted else ''}; give that, or leave it out")


def _given(typed: Mapping[str, Any], keys: Collection[str]) -> str | None:
    """The first override of one of the keys, or below it, that is not null."""
    named = (name for name, value in typed.items() if value not in (None, "none") and name not in STILL_READ)
    return next((name for name in named if any(_is_of(name, key) for key in keys)), None)


def _is_of(name: str, key: str) -> bool:
    """Whether a name is a key or below it; below it alone if the key ends with a dot, the option of a group if with a sign."""
    if key.endswith("."):
        return name.startswith(key)
    return name == key[:-1] if key.endswith("=") else f"{name}.".startswith(f"{key}.")
