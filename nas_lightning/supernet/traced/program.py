"""A traced graph that any candidate can run: which choices a value depends on, and an operation with a candidate's numbers."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nas_lightning.errors import InputError
from nas_lightning.space import ListedSpace
from nas_lightning.space.structure import Cost
from nas_lightning.supernet.traced.adapt import ADAPT, Dimensions
from nas_lightning.supernet.traced.choices import Choice, Widths, make_choices
from nas_lightning.supernet.traced.cost import Counted
from nas_lightning.supernet.traced.graph import Graph, Ref, Value
from nas_lightning.supernet.traced.groups import Grouping, PinnedLayer, group_channels
from nas_lightning.supernet.traced.layout import Layouts, Units
from nas_lightning.supernet.traced.rules import MAKES_CHANNELS, follow_channels, layers
from nas_lightning.supernet.traced.trace import trace


class Program:
    """The operations of a network and what each choice narrows.

    Args:
        module: the user's network; it is copied.
        images: (batch, channels, H, W), an example of what it reads.
        widths: the legal widths.
        fixed: patterns of layers whose channels are kept whole.
        tie: patterns of choices that become one.
        name: of the space in files and errors; by default that of the module's class.
        free_sides: see ``trace``.

    Raises:
        InputError: if the network cannot be traced, a pattern matches nothing, or no channels can be narrowed.
    """

    def __init__(
        self,
        module: nn.Module,
        images: Tensor,
        widths: Widths | None = None,
        fixed: Sequence[str] = (),
        tie: Sequence[str] = (),
        name: str | None = None,
        free_sides: bool = False,
    ) -> None:
        self.graph: Graph = trace(module, images, free_sides)
        flow = follow_channels(self.graph, fixed)
        self.grouping: Grouping = group_channels(flow)
        layouts = Layouts(self.grouping)
        self.layouts: dict[int, list[Dimensions]] = {
            index: [[layouts.of(ids) for ids in dims] for dims in parts] for index, parts in flow.parts.items()
        }
        self._depends = self._dependences()
        groups, order = self.grouping.groups, self._forward_order()
        choices, self.single = make_choices(groups, order, widths or Widths(), tie)
        self.choices: tuple[Choice, ...] = tuple(choice for choice in choices if len(choice.units) > 1)
        if not self.choices:
            why = "; ".join(f"{layer.name} {layer.reason}" for layer in self.pinned[:2])
            raise InputError(f"network: no channels of {type(module).__name__} can be narrowed ({why or 'it has no layer with a weight'})")
        legal = tuple(tuple(choice.units) for choice in self.choices)
        self.space = ListedSpace(name or type(module).__name__, tuple(choice.name for choice in self.choices), legal, images.shape[-1])
        self.channels, self.classes = images.shape[1], self.graph.values[self.graph.logits].shape[1]
        self._units = [group.units for group in groups]
        for choice in choices:
            for group, count in zip(choice.groups, list(choice.units.values())[-1], strict=True):
                self._units[group] = count

    def cost(self, widths: npt.ArrayLike) -> Cost:
        """Counts parameters and multiply-adds of (n, choices) widths, one row per candidate.

        Multiply-adds are those of convolutions, linear layers and products of tensors, for an image of the traced size.
        """
        return self._counted(widths).cost()

    def activations(self, widths: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """(n,) numbers that the convolutions of (n, choices) widths write, for an image of the traced size."""
        return self._counted(widths).activations()

    def last_widths(self, widths: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """(n,) numbers of features that the classifiers of (n, choices) widths read; all 1 where that is unknown."""
        return self._counted(widths).last_widths()

    def _counted(self, widths: npt.ArrayLike) -> Counted:
        rows = np.asarray(widths, dtype=np.int64)
        units = np.tile(np.array(self.full_units), (len(rows), 1))
        for number, choice in enumerate(self.choices):
            legal = np.array(list(choice.units))
            options = np.array(list(choice.units.values()))
            at = np.searchsorted(legal, rows[:, number])
            units[:, list(choice.groups)] = options[at]
        return Counted(self.graph, self.layouts, units)

    @property
    def precision(self) -> torch.dtype:
        """Of what is compared: float64, or float32 where the forward names a type, to which it casts."""
        named = (argument for call in self.graph.calls for argument in call.arguments.values())
        return torch.float32 if any(isinstance(one, torch.dtype) and one.is_floating_point for one in named) else torch.float64

    @cached_property
    def mean_of_all(self) -> str | None:
        """Where a batch norm has ``momentum=None``, a mean of all batches, which a trace does not count; None if none has."""
        norms = [call for call in self.graph.calls if call.name == "batch_norm" and isinstance(call.arguments["running_mean"], Ref)]
        return next((norm.module or norm.place for norm in norms if not norm.arguments["momentum"]), None)

    @cached_property
    def norms_single_values(self) -> bool:
        """Whether a batch norm has one value a channel of each image, so that a batch of one cannot be trained on."""
        images = self.graph.values[self.graph.images].shape[0]
        norms = [call for call in self.graph.calls if call.name == "batch_norm"]
        return any(call.shape[0] * np.prod(call.shape[2:], dtype=np.int64) <= images for call in norms)

    @property
    def pinned(self) -> list[PinnedLayer]:
        """The layers with channels that no choice narrows, each with its reason."""
        return [*self.grouping.pinned, *self.single]

    @cached_property
    def sides(self) -> tuple[int, ...]:
        """Height of what the first layer of each choice makes, in pixels, at the traced size; 1 behind the last pooling."""
        made = {call.arguments["weight"].index: call.shape for call in self.graph.calls if call.name in MAKES_CHANNELS}
        weights = layers(self.graph)
        shapes = [made[weights[choice.layers[0]]] if choice.layers else () for choice in self.choices]
        return tuple(shape[2] if len(shape) == 4 else 1 for shape in shapes)

    @cached_property
    def ties(self) -> str:
        """sha256 of the tensors' names and shapes and of what each group narrows in them, not of the operations."""
        digest = hashlib.sha256()
        for index in sorted(self.graph.tensors, key=lambda index: self.graph.values[index].name):
            digest.update(f"{self.graph.values[index].name} {self.graph.values[index].shape}".encode())
            for layout in self.layouts[index][0]:
                if layout is not None:
                    digest.update(layout.group.tobytes() + layout.rank.tobytes())
        return digest.hexdigest()

    def header(self) -> dict[str, Any]:
        """Plain values that describe the choices and what they narrow, but neither how the network is made nor its weights."""
        return {"kind": "traced", "space": self.space.header(), "classes": self.classes, "channels": self.channels, "ties": self.ties}

    def protocol(self) -> dict[str, Any]:
        """Entries of a ranking's protocol; a page finds the names of the choices there."""
        choices = zip(self.space.names, self.space.choices, strict=True)
        return {"ties": self.ties, "choices": {name: list(widths) for name, widths in choices}}

    @property
    def full_units(self) -> Units:
        """The units of the widest candidate."""
        return tuple(self._units)

    def units(self, widths: Sequence[int]) -> Units:
        """The units of each group for the widths of an architecture."""
        units = self.full_units
        for number, width in enumerate(widths):
            units = self.with_width(units, number, width)
        return units

    def with_width(self, units: Units, choice: int, width: int) -> Units:
        """The units with another width of one choice."""
        changed = list(units)
        for group, count in zip(self.choices[choice].groups, self.choices[choice].units[width], strict=True):
            changed[group] = count
        return tuple(changed)

    @cached_property
    def segments(self) -> list[list[Value]]:
        """The operations of each choice: those that need it and none behind it; the first has also what needs none."""
        number_of = {group: number for number, choice in enumerate(self.choices) for group in choice.groups}
        segments: list[list[Value]] = [[] for _ in self.choices]
        for call in self.graph.calls:
            needed = [number_of[group] for group in self._depends[call.index] if group in number_of]
            segments[max(needed, default=0)].append(call)
        return segments

    @cached_property
    def dying(self) -> list[list[tuple[int, ...]]]:
        """For each operation of each segment, the values that nothing reads after it."""
        last = {index: (-1, -1) for index in range(len(self.graph.values))}
        for number, segment in enumerate(self.segments):
            for place, call in enumerate(segment):
                last.update((index, (number, place)) for index in [call.index, *call.inputs] if index not in self.graph.tensors)
        last[self.graph.logits] = (len(self.segments), 0)
        dying: list[list[tuple[int, ...]]] = [[() for _ in segment] for segment in self.segments]
        for index, (number, place) in last.items():
            if 0 <= number < len(self.segments):
                dying[number][place] += (index,)
        return dying

    def adapted(self, call: Value, units: Units) -> dict[str, Any]:
        """The arguments of an operation with a candidate's counts, values still as references."""
        if call.name not in ADAPT or not self._depends[call.index]:
            return call.arguments
        read = call.arguments["input"]
        return {**call.arguments, **ADAPT[call.name](call, self.layouts[read.index], self.layouts[call.index], units)}

    def count(self, index: int, units: Units) -> int:
        """A candidate's number of channels in a value."""
        layout = self.layouts[index][0][1]
        return self.graph.values[index].shape[1] if layout is None else layout.count(units)

    def narrowed(self, index: int, tensor: Tensor, units: Units) -> Tensor:
        """A candidate's slice of one of the network's tensors."""
        for dim, layout in enumerate(self.layouts[index][0]):
            if layout is not None:
                tensor = layout.narrow(tensor, dim, units)
        return tensor

    def _dependences(self) -> list[frozenset[int]]:
        depends: list[frozenset[int]] = []
        for value in self.graph.values:
            own = [layout.groups for dims in self.layouts[value.index] for layout in dims if layout is not None]
            depends.append(frozenset().union(*own, *(depends[index] for index in value.inputs)))
        return depends

    def _forward_order(self) -> list[int]:
        order = dict[int, None]()
        for call in self.graph.calls:
            order.update((group, None) for group in sorted(self._depends[call.index]))
        return list(order)
