"""Every numeric key of a whole run's config refuses what is out of its range, before anything is computed."""

import copy
import functools
import inspect
import math
import operator
from collections.abc import Iterator
from typing import Any

import pytest
import pytorch_lightning as pl
from hydra.core.global_hydra import GlobalHydra

from nas_lightning.commands.configs import TrainConfig
from nas_lightning.commands.prepare import prepare
from nas_lightning.config.read import read
from nas_lightning.errors import InputError
from tests.composing import composed

WORDS = {"initial_checkpoint", "low_resolution", "file", "list", "known_accuracies", "strategy", "accelerator", "choose"}
"""Keys that are null here and no number otherwise."""


def numeric(node: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of numbers, and of what is null and may be one."""
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from numeric(value, (*place, key))
    elif (isinstance(node, int | float) and not isinstance(node, bool)) or (node is None and place[-1] not in WORDS):
        yield place


GlobalHydra.instance().clear()
NODE = composed("config", "experiment=micro", "run_dir=run", "ranking.budgets=[1000]")
NODE["trainer"] = {**dict.fromkeys(inspect.signature(pl.Trainer).parameters), **NODE["trainer"]}
PLACES = list(numeric(NODE))


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_a_number_out_of_range_is_refused(place: tuple[Any, ...]):
    for value in (-7, math.nan, 10**30, 10**400):
        changed = copy.deepcopy(NODE)
        *parents, last = place
        functools.reduce(operator.getitem, parents, changed)[last] = value
        with pytest.raises(InputError) as refused:
            prepare(read(TrainConfig, changed))
        line = str(refused.value)
        assert "\n" not in line
        named = [str(one) for one in place if isinstance(one, str)]
        assert line.startswith(named[0]), line  # where
        assert named[-1] in line or named[-2] in line, line
        assert str(value)[:20] in line, line  # what


def test_the_keys_are_those_of_a_whole_run():
    assert len(PLACES) > 100
    assert {place[0] for place in PLACES} >= {"seed", "stages", "space", "data", "loader", "population", "monitor", "standalone", "ranking"}
