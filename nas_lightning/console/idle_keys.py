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
WITHOUT = {  # unless this key has one of these values, or any but null, 0 and false -> these do nothing
    ("loader.holdout", ""): ("monitor", "loader.eval_batch_size"),
    ("ranking.statistics", "recalibrated"): ("ranking.recalibration_images", "ranking.recalibration_batch"),
    ("ranking.cheap_first", ""): ("ranking.cheap_first_keep",),
    ("trainer.gradient_clip_val", ""): ("trainer.gradient_clip_algorithm",),
}


def check_idle(config: DictConfig, typed: Mapping[str, Any], swept: Collection[str] = ()) -> None:
    """Raises InputError, naming both keys, for the first key that does nothing.

    Args:
        config: composed.
        typed: the overrides of the command line by key.
        swept: keys that other jobs of a multirun give other values, for which the same overrides may do something.
    """
    for switch, keys in BESIDE.items():
        if switch not in swept and OmegaConf.select(config, switch) is not None and (key := _given(typed, keys)):
            raise InputError(f"{key}: does nothing beside {switch}; leave one of them out")
    for (switch, wanted), keys in WITHOUT.items():
        value = OmegaConf.select(config, switch)
        is_on = value == wanted if wanted else bool(value)
        if switch not in swept and not is_on and (key := _given(typed, keys)):
            raise InputError(f"{key}: does nothing without {switch}{f'={wanted}' if wanted else ''}; give that, or leave it out")


def _given(typed: Mapping[str, Any], keys: Collection[str]) -> str | None:
    """The first override of one of the keys, or below it, that is not null."""
    below = (name for name, value in typed.items() if value is not None and any(f"{name}.".startswith(f"{key}.") for key in keys))
    return next(below, None)
