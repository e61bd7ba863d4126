"""What a config may hold: every key is tried, from the dataclasses' own metadata."""

import dataclasses
import types
import typing
from typing import Any

import pytest

from nas_lightning.commands import configs, search_keys
from nas_lightning.commands.configs import RankingConfig, StandaloneConfig, TrainConfig
from nas_lightning.config import schema
from nas_lightning.config.fields import Later, Target, number
from nas_lightning.config.read import read
from nas_lightning.errors import InputError
from nas_lightning.scoring.score import Scorer
from nas_lightning.training.schedules import LowFirst
from nas_lightning.training.stage import Stage

KINDS = [
    kind
    for kind in {**vars(schema), **vars(configs), **vars(search_keys), "LowFirst": LowFirst}.values()
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and kind not in (Target, Later)
]
FIELDS = [(kind, one) for kind in KINDS for one in dataclasses.fields(kind) if not one.metadata.keys() & {"is_inline", "is_key"}]


def hint_of(kind: type, name: str) -> tuple[Any, bool]:
    """The type of a key, and whether null is legal."""
    hint = typing.get_type_hints(kind)[name]
    if isinstance(hint, types.UnionType):
        return next(one for one in hint.__args__ if one is not type(None)), type(None) in hint.__args__
    return hint, False


def read_keys(kind: type, node: Any, place: str = "") -> Any:
    """As ``read``, and nothing in the fields that are no keys."""
    given = [one.name for one in dataclasses.fields(kind) if not one.metadata.get("is_key", True) and one.default is dataclasses.MISSING]
    return read(kind, node, place, **dict.fromkeys(given))


def legal(kind: type, one: dataclasses.Field) -> Any:
    hint, _ = hint_of(kind, one.name)
    if "among" in one.metadata:
        return one.metadata["among"][0]
    if "words" in one.metadata:
        return next(iter(one.metadata["words"]))
    if "role" in one.metadata:
        return {"_target_": "torch.nn.Identity"}
    if dataclasses.is_dataclass(hint):
        return smallest(hint)
    plain = {int: one.metadata.get("least", 0) or 0, str: "text", bool: False, float: 0.5}
    return plain[hint] if hint in plain else typing.get_origin(hint)()


def smallest(kind: type) -> dict[str, Any]:
    """A legal node with the keys that have no default."""
    keys = (one for one in dataclasses.fields(kind) if one.metadata.get("is_key", True))
    needed = (one for one in keys if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING)
    node: dict[str, Any] = {}
    for one in needed:
        hint = hint_of(kind, one.name)[0]
        inner = typing.get_args(hint)[0] if typing.get_origin(hint) is Later else hint
        node |= smallest(inner) if "is_inline" in one.metadata else {one.name: legal(kind, one)}
    return node


def name_of(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else value.name


def wrong_values(kind: type, one: dataclasses.Field) -> list[Any]:
    hint, optional = hint_of(kind, one.name)
    if "words" in one.metadata:
        return ["text", 3, ["a"], *([] if optional else [None])]
    wrong = {int: ["two", 2.5, True, [1]], float: ["half", True], str: [3, ["a"]], bool: ["yes", 1]}.get(hint)
    if wrong is None:
        item = typing.get_args(hint)[:1]
        wrong = ["text", 3, {"a": 1}, [3 if item == (str,) else "a"]] if typing.get_origin(hint) in (list, tuple) else ["text", 3, ["a"]]
    return wrong if optional else [*wrong, None]


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_a_node_of_required_keys_is_read_with_the_defaults(kind: type):
    config = read_keys(kind, smallest(kind))
    for one in dataclasses.fields(kind):
        if one.default is not dataclasses.MISSING:
            assert getattr(config, one.name) == one.default


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_a_missing_key_without_default_is_refused_by_name(kind: type):
    for name in smallest(kind):
        node = {key: value for key, value in smallest(kind).items() if key != name}
        with pytest.raises(InputError, match=rf"^at\.{name}: is missing"):
            read_keys(kind, node, "at")


@pytest.mark.parametrize(("kind", "one"), FIELDS, ids=name_of)
def test_a_misspelt_key_is_refused_with_the_right_one(kind: type, one: dataclasses.Field):
    with pytest.raises(InputError, match=rf"^place\.{one.name}x: is not a key; did you mean {one.name}\?$"):
        read_keys(kind, {**smallest(kind), f"{one.name}x": 1}, "place")


def test_a_key_that_is_like_no_other_is_refused_with_all_that_are_known():
    with pytest.raises(InputError, match=r"^supernet\.zzzz: is not a key; known: shortcuts, norm, channels_last$"):
        read(schema.SupernetConfig, {"zzzz": 1}, "supernet")


@pytest.mark.parametrize(("kind", "one"), FIELDS, ids=name_of)
def test_a_value_of_another_type_is_refused(kind: type, one: dataclasses.Field):
    for value in wrong_values(kind, one):
        with pytest.raises(InputError, match=rf"^place\.{one.name}"):
            read_keys(kind, {**smallest(kind), one.name: value}, "place")


@pytest.mark.parametrize(("kind", "one"), FIELDS, ids=name_of)
def test_null_is_read_where_it_is_legal(kind: type, one: dataclasses.Field):
    if hint_of(kind, one.name)[1]:
        assert getattr(read_keys(kind, {**smallest(kind), one.name: None}), one.name) is None


NUMBERS = [(kind, one) for kind, one in FIELDS if hint_of(kind, one.name)[0] in (int, float)]


@pytest.mark.parametrize(("kind", "one"), NUMBERS, ids=name_of)
def test_a_number_may_have_its_least_value_and_none_below(kind: type, one: dataclasses.Field):
    least, above = one.metadata.get("least"), one.metadata.get("above")
    assert (least is None) != (above is None), f"{one.name} has no lower bound"
    if least is not None:
        assert getattr(read_keys(kind, {**smallest(kind), one.name: least}), one.name) == least
    low, rule = (least - 1, f"at least {least}") if above is None else (above, f"above {above}")
    with pytest.raises(InputError, match=rf"^place\.{one.name}: {low} must be {rule}$"):
        read_keys(kind, {**smallest(kind), one.name: low}, "place")
    most = one.metadata.get("most")
    if most is not None:
        with pytest.raises(InputError, match=rf"^place\.{one.name}: {most + 1} must be at most {most}$"):
            read_keys(kind, {**smallest(kind), one.name: most + 1}, "place")


@pytest.mark.parametrize(("kind", "name", "least"), [(StandaloneConfig, "seeds", 0), (RankingConfig, "budgets", 1)])
def test_each_number_of_a_list_is_held_to_the_lists_least(kind: type, name: str, least: int):
    assert getattr(read_keys(kind, {**smallest(kind), name: [least, 7]}), name) == [least, 7]
    with pytest.raises(InputError, match=rf"^place\.{name}.*{least - 1}.* at least {least}$"):
        read_keys(kind, {**smallest(kind), name: [7, least - 1]}, "place")


@pytest.mark.parametrize(("kind", "one"), [(kind, one) for kind, one in FIELDS if one.metadata.keys() & {"among", "words"}], ids=name_of)
def test_a_word_may_be_any_of_its_few_and_no_other(kind: type, one: dataclasses.Field):
    words = one.metadata.get("words") or {word: word for word in one.metadata["among"]}
    for word, meaning in words.items():
        assert getattr(read_keys(kind, {**smallest(kind), one.name: word}), one.name) == meaning
    with pytest.raises(InputError, match=rf"^{one.name}: 'other' is not one of {', '.join(words)}$"):
        read_keys(kind, {**smallest(kind), one.name: "other"})


def test_a_bound_above_is_held_too():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Share:
        share: float = number(0.5, least=0, most=1)

    assert read(Share, {"share": 1}).share == 1
    with pytest.raises(InputError, match=r"^share: 1.5 must be at most 1$"):
        read(Share, {"share": 1.5})
    with pytest.raises(InputError, match=r"^share: nan must be a finite number$"):
        read(Share, {"share": float("nan")})


def test_a_mistake_deep_in_a_stage_is_told_with_its_whole_place():
    stage = {**smallest(Stage), "epoch": 3}
    with pytest.raises(InputError, match=r"^stages\.warmup\.epoch: is not a key; did you mean epochs\?$"):
        read(TrainConfig, {**smallest(TrainConfig), "stages": {"warmup": stage}})


def test_stages_keep_their_order():
    stage = smallest(Stage)
    names = ["z", "a", "m"]
    config = read(TrainConfig, {**smallest(TrainConfig), "stages": dict.fromkeys(names, stage)})
    assert list(config.stages) == names


def test_a_dataclass_whose_keys_stand_among_its_owners_is_read_from_them():
    config = read(RankingConfig, {"prefix_memory": 0.5, "images": 7}, "ranking")
    assert (config.scorer, config.images) == (Scorer(prefix_memory=0.5), 7)
    with pytest.raises(InputError, match=r"^ranking\.scorer: is not a key"):
        read(RankingConfig, {"scorer": {}}, "ranking")


def test_a_field_that_is_no_key_cannot_be_given():
    with pytest.raises(InputError, match=r"^ranking\.recalibration: is not a key"):
        read(RankingConfig, {"recalibration": None}, "ranking")


def test_a_key_of_an_older_version_is_refused_with_what_replaces_it():
    with pytest.raises(InputError, match=r"^population\.max_mib: is no key any more: the variable NAS_LIGHTNING_MAX_MIB"):
        read(schema.PopulationConfig, {"max_mib": 64}, "population")
