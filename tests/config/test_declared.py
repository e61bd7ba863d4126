"""What is read from the source of the dataclasses is what the dataclasses themselves say."""

import dataclasses
import importlib
import types
import typing
from typing import Any

import pytest
from omegaconf import OmegaConf

from nas_lightning.config.declared import COMMANDS, TYPES, Key, Schema, complete, schema_of
from nas_lightning.config.fields import Later
from nas_lightning.config.schema import LoaderConfig


def kind_of(command: str) -> type:
    module, name = COMMANDS[command]
    return getattr(importlib.import_module(module), name)


def dataclass_in(hint: Any) -> Any:
    """The dataclass that a hint names, through Later, dict and None."""
    inner = next((part for part in typing.get_args(hint) if part not in (str, types.NoneType)), None)
    if typing.get_origin(hint) in (dict, types.UnionType) or typing.get_origin(hint) is Later:
        return dataclass_in(inner)
    return hint if dataclasses.is_dataclass(hint) else None


def check(schema: Schema, kind: type, seen: list[str]) -> None:
    hints = typing.get_type_hints(kind)
    fields = [field for field in dataclasses.fields(kind) if field.metadata.get("is_key", True)]
    assert [key.name for key in schema.declared] == [field.name for field in fields]
    for key, field in zip(schema.declared, fields, strict=True):
        seen.append(key.name)
        words = field.metadata.get("words")
        if "role" in field.metadata:
            assert (key.kind, key.default, key.schema) == ("object", dataclasses.MISSING, None)
        elif words is not None:
            assert words[key.default] == field.default, key.name
            assert key.legal == " | ".join(words)
        else:
            made = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
            default = [*made] if isinstance(made, tuple) else made  # a config has lists
            assert key.default == default, key.name
            assert type(key.default) is type(default), key.name
            check_legal(key, field.metadata)
            inner = dataclass_in(hints[key.name])
            assert (key.schema is None) == (inner is None), key.name
            if key.schema is not None:
                check(key.schema, inner, seen)


def check_legal(key: Key, rules: Any) -> None:
    numbers = [float(word.replace(",", "")) for word in key.legal.split() if word.replace(",", "").replace(".", "").isdigit()]
    if "among" in rules:
        assert key.legal == " | ".join(rules["among"])
    elif any(rules.get(bound) is not None for bound in ("least", "most", "above")):
        assert numbers == [rules[bound] for bound in ("above", "least", "most") if rules.get(bound) is not None], key
    else:
        assert key.legal in ("", *TYPES.values())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_key_default_and_bound_is_the_dataclasses_own(command: str):
    seen: list[str] = []
    check(schema_of(*COMMANDS[command]), kind_of(command), seen)
    assert len(seen) == len({*seen}) or command in ("config", "standalone", "rank", "search")
    assert len(seen) > 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_key_has_a_docstring(command: str):
    def without(schema: Schema) -> list[str]:
        inner = [name for key in schema.declared if key.schema is not None for name in without(key.schema)]
        return [*inner, *(key.name for key in schema.declared if not key.meaning and key.schema is None)]

    assert not without(schema_of(*COMMANDS[command]))


def test_completing_adds_what_is_missing_and_changes_nothing_else():
    config = OmegaConf.create({"loader": {"workers": 2}, "stages": {"a": {"epochs": 3}, "b": "${stages.a}"}, "monitor": "${loader}"})
    complete(config, schema_of(*COMMANDS["config"]))
    assert config.loader == {**vars(LoaderConfig()), "workers": 2}
    assert (config.seed, config.ranking.images, config.ranking.prefix_memory, config.standalone.norm) == (0, None, 1.0, "running")
    assert (config.stages.a.epochs, config.stages.a.gradients) == (3, "sum")
    assert OmegaConf.to_container(config, resolve=False)["monitor"] == "${loader}"  # type: ignore[call-overload,index]
    assert "run_dir" not in config
    assert "space" not in config
