"""Groups of channels that one choice narrows, read off the ids that flow through a graph."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nas_lightning.supernet.traced.channel_ids import Ids
from nas_lightning.supernet.traced.flow import Flow, described
from nas_lightning.supernet.traced.graph import Ref
from nas_lightning.supernet.traced.rules import layer_of, layers

WHOLE = -1
"""The group of channels that every candidate keeps."""


@dataclass(frozen=True)
class Group:
    """Channels in units that are kept or dropped together; a candidate keeps the first units."""

    name: str
    """Of the layer that makes them first."""
    units: int
    per_unit: int
    """Channels of a unit in that layer."""
    layers: tuple[str, ...]
    """The layers that make its channels."""
    sortable: bool = True
    """Whether its units may change places."""

    @property
    def channels(self) -> int:
        """Channels in that layer at full width."""
        return self.units * self.per_unit


@dataclass(frozen=True)
class PinnedLayer:
    """A layer with channels that no choice narrows."""

    name: str
    channels: int
    reason: str


@dataclass(frozen=True, eq=False)
class Grouping:
    """The groups of a graph."""

    flow: Flow
    groups: tuple[Group, ...]
    pinned: tuple[PinnedLayer, ...]
    group_of: Ids
    """By representative of a class: its group, or ``WHOLE``."""
    rank_of: Ids
    """By representative of a class: its unit within the group."""

    def units_of(self, ids: Ids) -> tuple[Ids, Ids]:
        """Group and unit of each id."""
        roots = self.flow.ids.find(ids)
        return self.group_of[roots], self.rank_of[roots]


def group_channels(flow: Flow) -> Grouping:
    """Classes that occur in the same dimensions of the same tensors form a group, in the order of their positions there."""
    graph, ids = flow.graph, flow.ids
    places = _places(flow)
    occurs: dict[int, set[object]] = {}
    first: dict[int, tuple[int, int]] = {}
    for number, (_, _, along) in enumerate(places):
        roots = ids.find(along)
        for position, (root, whole) in enumerate(zip(roots.tolist(), ids.pinned(along).tolist(), strict=True)):
            if not whole:
                occurs.setdefault(root, set()).add(number)
                first.setdefault(root, (number, position))
    for number, marks in ids.marks.items():
        if (root := int(ids.find(np.array([number]))[0])) in occurs:
            occurs[root] |= {("part", mark) for mark in marks}
    together: dict[frozenset[object], list[int]] = {}
    for root, where in occurs.items():
        together.setdefault(frozenset(where), []).append(root)
    classes = sorted((sorted(roots, key=first.__getitem__) for roots in together.values()), key=lambda roots: first[roots[0]])
    group_of, rank_of = np.full(ids.count, WHOLE), np.zeros(ids.count, dtype=np.int64)
    for number, members in enumerate(classes):
        group_of[members], rank_of[members] = number, np.arange(len(members))
    makers = {name: ids.find(made) for name, index in layers(graph).items() if (made := flow.parts[index][0][0]) is not None}
    ordered = np.concatenate([np.zeros(0, dtype=np.int64), *map(ids.find, ids.ordered)])
    groups = []
    for members in classes:
        tensor, _, along = places[first[members[0]][0]]
        tied = tuple(name for name, made in makers.items() if np.isin(made, members).any())
        name = tied[0] if tied else layer_of(graph.values[tensor].name)
        per_unit = int((makers.get(name, ids.find(along)) == members[0]).sum())
        groups.append(Group(name, len(members), per_unit, tied, not np.isin(members, ordered).any()))
    return Grouping(flow, _with_own_names(groups), _pinned(flow), group_of, rank_of)


def _places(flow: Flow) -> list[tuple[int, int, Ids]]:
    """Tensor, dimension and ids of every dimension with channels, by first use."""
    graph, used = flow.graph, dict[int, None]()
    for call in graph.calls:
        used.update((index, None) for index in call.inputs if index in graph.tensors)
    return [(index, dim, ids) for index in used for dim, ids in enumerate(flow.parts[index][0]) if ids is not None]


def _with_own_names(groups: list[Group]) -> tuple[Group, ...]:
    """A layer whose filters fall into several groups gives the later ones its name with a number."""
    seen: dict[str, int] = {}
    named = []
    for group in groups:
        seen[group.name] = count = seen.get(group.name, 0) + 1
        named.append(group if count == 1 else replace(group, name=f"{group.name}:{count}"))
    return tuple(named)


def _pinned(flow: Flow) -> tuple[PinnedLayer, ...]:
    found = []
    for name, index in layers(flow.graph).items():
        made = flow.parts[index][0][0]
        if made is None:
            continue  # a single channel
        whole: npt.NDArray[np.bool_] = flow.ids.pinned(made)
        if whole.any():
            found.append(PinnedLayer(name, int(whole.sum()), flow.ids.reason(int(made[whole][0]))))
    named = {layer.name for layer in found}
    for call in flow.without_rule:  # such as a transposed convolution
        weight = call.arguments.get("weight")
        if isinstance(weight, Ref) and weight.index in flow.graph.tensors and len(call.shape) > 1:
            name = layer_of(flow.graph.values[weight.index].name)
            if name not in named:
                found.append(PinnedLayer(name, call.shape[1], f"has no rule ({described(call)})"))
    return tuple(found)
