"""What operations that move, join or cut dimensions do to channels."""

import numpy as np

from nas_lightning.supernet.traced.channel_ids import Dims, Ids
from nas_lightning.supernet.traced.flow import Flow, NoRule, Parts, Rule, constants, described
from nas_lightning.supernet.traced.graph import SPLITS, Value


def _view(call: Value, flow: Flow) -> Dims:
    """Follows ids through a reshape: dimensions of equal product belong together, and an index array shows what moves where."""
    source, target, dims = flow.shape(call.arguments["input"]), call.shape, flow.of(call.arguments["input"])
    out: Dims = [None] * len(target)
    for read, written in _matching(source, target):
        varying = [dim for dim in read if flow.ids.narrows(dims[dim])]
        if len(varying) > 1:
            raise NoRule(f"two dimensions of channels become one ({described(call)})")
        if varying and (ids := dims[varying[0]]) is not None:
            grid = np.arange(len(ids)).reshape([-1 if dim == varying[0] else 1 for dim in read])
            grid = np.broadcast_to(grid, [source[dim] for dim in read]).reshape([target[dim] for dim in written])
            place, moved = _moved(flow, ids, grid)
            out[written[place]] = moved
    return out


def _matching(source: tuple[int, ...], target: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Runs of dimensions of both shapes with the same number of elements."""
    runs, i, j = [], 0, 0
    while i < len(source) and j < len(target):
        read, written, elements, wanted = [i], [j], source[i], target[j]
        while elements != wanted:
            if elements < wanted:
                i += 1
                read.append(i)
                elements *= source[i]
            else:
                j += 1
                written.append(j)
                wanted *= target[j]
        runs.append((read, written))
        i, j = i + 1, j + 1
    return runs


def _moved(flow: Flow, ids: Ids, grid: Ids) -> tuple[int, Ids]:
    """Which dimension of the grid has the channels, and their ids there; ``grid`` holds the old position of each element."""
    along = [axis for axis in range(grid.ndim) if grid.shape[axis] > 1 and (np.diff(grid, axis=axis) != 0).any()]
    if not along:
        return grid.ndim - 1, ids
    if len(along) == 1:
        return along[0], ids[np.moveaxis(grid, along[0], 0).reshape(grid.shape[along[0]], -1)[:, 0]]
    inner = along[-1]  # channels split in two, as before a shuffle: equal parts, each as wide as the other
    rows = np.unique(np.moveaxis(grid, inner, -1).reshape(-1, grid.shape[inner]), axis=0)
    if (shared := flow.ids.spread(ids, len(rows))) is not None:
        flow.ids.ordered.append(ids)
        return inner, shared
    flow.ids.unify(ids[rows[0]], ids[rows])
    return inner, ids[rows[0]]


def _permute(call: Value, flow: Flow) -> Dims:
    dims = flow.of(call.arguments["input"])
    return [dims[dim] for dim in call.arguments["dims"]]


def _transpose(call: Value, flow: Flow) -> Dims:
    dims = list(flow.of(call.arguments["input"]))
    one, other = (call.arguments.get(f"dim{number}", call.arguments.get(f"axis{number}", number)) for number in (0, 1))
    if len(dims) > 1:
        dims[one], dims[other] = dims[other], dims[one]
    return dims


def _movedim(call: Value, flow: Flow) -> Dims:
    dims = flow.of(call.arguments["input"])
    source, target = (np.ravel(call.arguments[name]) % len(dims) for name in ("source", "destination"))
    order = [dim for dim in range(len(dims)) if dim not in source]
    for at, dim in sorted(zip(target.tolist(), source.tolist(), strict=True)):
        order.insert(at, dim)
    return [dims[dim] for dim in order]


def _channel_shuffle(call: Value, flow: Flow) -> Dims:
    dims = list(flow.of(call.arguments["input"]))
    if (ids := dims[1]) is not None:
        dims[1] = np.stack(flow.ids.equal_parts(ids, call.arguments["groups"]), axis=1).reshape(-1)
    return dims


def _expand(call: Value, flow: Flow) -> Dims:
    dims = flow.of(call.arguments["input"])
    return [*[None] * (len(call.shape) - len(dims)), *dims]


def _cat(call: Value, flow: Flow) -> Dims:
    joined = call.arguments["tensors"]
    at = call.arguments["dim"] % len(call.shape)
    if any(len(flow.shape(part)) != len(call.shape) for part in joined):
        raise NoRule(f"joins tensors of other dimensions ({described(call)})")
    out: Dims = []
    for dim in range(len(call.shape)):
        parts = [flow.of(part)[dim] for part in joined]
        if dim != at:
            out.append(flow.merge(parts, call))
        elif all(ids is None for ids in parts):
            out.append(None)
        else:
            kept_whole = [constants(flow.shape(part)[dim]) for part in joined]
            out.append(np.concatenate([whole if ids is None else ids for ids, whole in zip(parts, kept_whole, strict=True)]))
    return out


def _stack(call: Value, flow: Flow) -> Dims:
    joined = call.arguments["tensors"]
    out = [flow.merge([flow.of(part)[dim] for part in joined], call) for dim in range(len(call.shape) - 1)]
    out.insert(call.arguments["dim"] % len(call.shape), None)
    return out


def _split(call: Value, flow: Flow) -> Parts:
    dims = flow.of(call.arguments["input"])
    at = call.arguments["dim"] % len(dims)
    sizes, ids = [shape[at] for shape in call.shapes], dims[at]
    if ids is None:
        parts: Dims = [None] * len(sizes)
    elif len(set(sizes)) == 1:
        parts = [*flow.ids.equal_parts(ids, len(sizes))]
    else:
        parts = [*np.split(ids, np.cumsum(sizes)[:-1])]
        for part in parts:
            if part is not None:
                flow.ids.mark(part)
    return Parts([*dims[:at], part, *dims[at + 1 :]] for part in parts)


def _unbind(call: Value, flow: Flow) -> Parts:
    dims = flow.of(call.arguments["input"])
    at = call.arguments["dim"] % len(dims)
    flow.ids.pin(dims[at], f"is taken apart channel by channel ({described(call)})")
    return Parts([[*dims[:at], *dims[at + 1 :]] for _ in call.shapes])


def _getitem(call: Value, flow: Flow) -> Dims:
    return flow.parts[call.inputs[0]][call.arguments["argument1"]]


def _slice(call: Value, flow: Flow) -> Dims:
    dims = list(flow.of(call.arguments["input"]))
    at = call.arguments["dim"] % len(dims)
    if (ids := dims[at]) is not None:
        if call.arguments.get("step", 1) != 1:
            raise NoRule(f"is sliced with a step ({described(call)})")
        start, end = slice_bounds(call, len(ids))
        if (start, end) != (0, len(ids)):
            for part in (ids[:start], ids[start:end], ids[end:]):
                flow.ids.mark(part)
        dims[at] = ids[start:end]
    return dims


def slice_bounds(call: Value, size: int) -> tuple[int, int]:
    """First position and the one behind the last of a slice of a dimension."""
    arguments = call.arguments
    end = arguments["start"] + arguments["length"] if "length" in arguments else arguments["end"]
    first, last, _ = slice(arguments["start"], end).indices(size)
    return first, max(first, last)


def _select(call: Value, flow: Flow) -> Dims:
    dims = flow.of(call.arguments["input"])
    at = call.arguments["dim"] % len(dims)
    flow.ids.pin(dims[at], f"is read channel by channel ({described(call)})")
    return [*dims[:at], *dims[at + 1 :]]


def _shifted(call: Value, flow: Flow) -> Dims:
    dims = flow.of(call.arguments["input"])
    if any(flow.ids.narrows(dims[dim]) for dim in call.arguments["dims"] or range(len(dims))):
        raise NoRule(f"is moved along channels ({described(call)})")
    return dims


SHAPES: dict[str, Rule] = {
    **dict.fromkeys(("flip", "roll"), _shifted),
    **dict.fromkeys(("reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as"), _view),
    **dict.fromkeys(("t", "numpy_T", "transpose", "swapaxes", "swapdims"), _transpose),
    **dict.fromkeys(("expand", "expand_as"), _expand),
    **dict.fromkeys(("cat", "concat"), _cat),
    **dict.fromkeys(SPLITS, _split),
    **dict.fromkeys(("narrow", "slice"), _slice),
    **dict.fromkeys(("movedim", "moveaxis"), _movedim),
    "channel_shuffle": _channel_shuffle,
    "permute": _permute,
    "stack": _stack,
    "unbind": _unbind,
    "getitem": _getitem,
    "select": _select,
}
