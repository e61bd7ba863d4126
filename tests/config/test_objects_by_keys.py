"""A dataclass that is the schema of its keys and the object that they make."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
import torch

from nas_lightning.config import roles
from nas_lightning.config.build import Builder
from nas_lightning.config.fields import Later, Target, check_fields, inline, made, number, target, word
from nas_lightning.config.read import read
from nas_lightning.errors import InputError
from nas_lightning.training.schedules import Cosine, Schedule


class Rule(Protocol):
    """A protocol of this test."""

    def share(self, paths: int) -> float: ...


@dataclass(frozen=True)
class Sum:
    def share(self, paths: int) -> float:  # noqa: ARG002
        return 1.0


@dataclass(frozen=True)
class Mean:
    def share(self, paths: int) -> float:
        return 1 / paths


RULES = {"sum": Sum(), "mean": Mean()}


@dataclass(frozen=True, kw_only=True)
class Small:
    side: int = number(least=4)
    share: float = number(0.5, above=0, most=1)

    def __post_init__(self) -> None:
        check_fields(self, "small")
        if self.side % 2:
            raise InputError(f"side: {self.side} must be even")


@dataclass(frozen=True, kw_only=True)
class Part:
    name: str = made()
    schedule: Schedule = target(roles.SCHEDULE)
    optimizer: Callable[..., torch.optim.Optimizer] = target(roles.OPTIMIZER, is_partial=True)
    gradients: Rule = word("sum", among=RULES)
    small: Small | None = None


@dataclass(frozen=True, kw_only=True)
class Whole:
    count: int = number(1, least=1)
    parts: dict[str, Later[Part]]


@dataclass(frozen=True, kw_only=True)
class Flat:
    count: int = number(1, least=1)
    part: Later[Part] = inline()


NODE = {
    "schedule": {"_target_": "nas_lightning.training.schedules.Cosine", "final_lr": 0.1},
    "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.5},
}


def make(**more: Any) -> Part:
    config = read(Whole, {"parts": {"a": {**NODE, **more}}})
    return Builder().make(config.parts["a"], "parts.a", name="a")


def test_the_keys_of_a_dataclass_make_it_with_its_objects():
    part = make(gradients="mean", small={"side": 4})
    assert (part.name, part.schedule, part.gradients, part.small) == ("a", Cosine(final_lr=0.1), Mean(), Small(side=4))
    assert part.optimizer([torch.nn.Parameter(torch.zeros(2))]).param_groups[0]["lr"] == 0.5
    assert make().gradients == Sum()


@pytest.mark.parametrize("name", ["name", "small.sid", "other"])
def test_a_key_that_is_none_is_refused_before_anything_is_made(name: str):
    node = {"small": {"sid": 4}} if "." in name else {name: "b"}
    with pytest.raises(InputError, match=rf"^parts\.a\.{name}: is not a key"):
        read(Whole, {"parts": {"a": {**NODE, **node}}})


@pytest.mark.parametrize("value", ["median", 3, None, ["sum"], True])
def test_a_word_that_is_none_of_the_few_is_refused_with_all(value: Any):
    with pytest.raises(InputError, match=r"^parts\.a\.gradients: .* is not one of sum, mean$"):
        read(Whole, {"parts": {"a": {**NODE, "gradients": value}}})


@pytest.mark.parametrize(("value", "says"), [({"side": 5}, "side: 5 must be even"), ({"side": 4, "share": 0}, "share: 0 must be above 0")])
def test_what_a_dataclass_refuses_is_told_with_its_whole_place(value: dict[str, Any], says: str):
    with pytest.raises(InputError, match=rf"^parts\.a\.small\.{says}$"):
        make(small=value)
    with pytest.raises(InputError, match=rf"{says}$"):
        Small(**value)


def test_a_dataclass_of_objects_may_stand_among_its_owners_keys():
    config = read(Flat, {"count": 2, **NODE, "gradients": "mean"}, "place")
    assert config.count == 2
    assert Builder().make(config.part, "place", name="b").gradients == Mean()
    with pytest.raises(InputError, match=r"^place\.optimizer: is missing"):
        read(Flat, {"schedule": NODE["schedule"]}, "place")


def test_without_a_builder_objects_stay_what_describes_them():
    part = read(Part, NODE, name="a")
    assert part.schedule == Target(NODE["schedule"], roles.SCHEDULE)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that only this test knows."""
    (tmp_path / "plugin_of_rules.py").write_text(
        "class Half:\n    def share(self, paths):\n        return 0.5\n\nclass Nothing:\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "plugin_of_rules"


def test_a_class_of_ones_own_may_stand_for_a_word(plugin: str):
    def built(name: str, *plugins: str) -> Part:
        config = read(Whole, {"parts": {"a": {**NODE, "gradients": {"_target_": name}}}})
        return Builder(plugins).make(config.parts["a"], "parts.a", name="a")

    assert built(f"{plugin}.Half", plugin).gradients.share(7) == 0.5
    assert built(f"{__name__}.Mean").gradients == Mean()
    with pytest.raises(InputError, match=rf"^parts\.a\.gradients\._target_: {plugin}\.Half is not allowed as a Rule"):
        built(f"{plugin}.Half")
    with pytest.raises(InputError, match=rf"^parts\.a\.gradients\._target_: {plugin}\.Nothing is not a Rule"):
        built(f"{plugin}.Nothing", plugin)
