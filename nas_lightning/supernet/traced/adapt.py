"""Arguments that hold channel counts, with a candidate's counts in place of the full ones."""

from collections.abc import Callable
from typing import Any

from nas_lightning.supernet.traced.graph import SPLITS, Ref, Value
from nas_lightning.supernet.traced.layout import Layout, Units
from nas_lightning.supernet.traced.rules_shapes import slice_bounds

Dimensions = list[Layout | None]
"""The layouts along a tensor's dimensions."""
Arguments = dict[str, Any]
Adapt = Callable[[Value, list[Dimensions], list[Dimensions], Units], Arguments]
"""An operation, the layouts of its first argument (of each part) and of its results, and the units -> the arguments that change."""


def _scaled(count: int, layout: Layout | None, units: Units) -> int:
    return count if layout is None else count * layout.count(units) // layout.size


def _groups(call: Value, read: list[Dimensions], _: list[Dimensions], units: Units) -> Arguments:
    groups = call.arguments["groups"]
    return {} if groups == 1 else {"groups": _scaled(groups, read[0][1], units)}


def _norm_groups(call: Value, read: list[Dimensions], _: list[Dimensions], units: Units) -> Arguments:
    groups = call.arguments["num_groups"]
    return {} if groups == 1 else {"num_groups": _scaled(groups, read[0][1], units)}


def _normalized_shape(call: Value, read: list[Dimensions], _: list[Dimensions], units: Units) -> Arguments:
    full = call.arguments["normalized_shape"]
    return {"normalized_shape": [_counted(size, layout, units) for size, layout in zip(full, read[0][-len(full) :], strict=True)]}


def _sizes(key: str) -> Adapt:
    def adapt(call: Value, read: list[Dimensions], made: list[Dimensions], units: Units) -> Arguments:
        sizes = call.arguments[key]
        first = call.arguments["dim"] % len(read[0]) if key == "sizes" else 0
        layouts = made[0][first : first + len(sizes)]
        return {key: [size if size == -1 else _counted(size, layout, units) for size, layout in zip(sizes, layouts, strict=True)]}

    return adapt


def _split(call: Value, read: list[Dimensions], made: list[Dimensions], units: Units) -> Arguments:
    at = call.arguments["dim"] % len(read[0])
    if all(part[at] is None for part in made):
        return {}
    return {"split_sizes": [_counted(shape[at], part[at], units) for shape, part in zip(call.shapes, made, strict=True)]}


def _slice(call: Value, read: list[Dimensions], _: list[Dimensions], units: Units) -> Arguments:
    at = call.arguments["dim"] % len(read[0])
    if (layout := read[0][at]) is None:
        return {}
    start, end = slice_bounds(call, layout.size)
    kept = layout.kept(units)
    first, last = int((kept < start).sum()), int((kept < end).sum())
    return {"start": first, "length": last - first} if "length" in call.arguments else {"start": first, "end": last}


def _counted(size: int | Ref, layout: Layout | None, units: Units) -> int | Ref:
    return size if layout is None else layout.count(units)


ADAPT: dict[str, Adapt] = {
    **dict.fromkeys(("conv1d", "conv2d"), _groups),
    "group_norm": _norm_groups,
    **dict.fromkeys(("layer_norm", "rms_norm"), _normalized_shape),
    "expand": _sizes("size"),
    "reshape": _sizes("shape"),
    "unflatten": _sizes("sizes"),
    **dict.fromkeys(SPLITS, _split),
    **dict.fromkeys(("narrow", "slice"), _slice),
}
"""By the name of an operation whose arguments hold channel counts."""
