"""How channels flow through a graph: the ids along every dimension of every value."""

from collections.abc import Callable, Sequence

import numpy as np

from nas_lightning.supernet.traced.channel_ids import ChannelIds, Dims, Ids
from nas_lightning.supernet.traced.graph import Graph, Ref, Value


class NoRule(Exception):
    """An operation cannot be followed; the channels that flow into it are pinned for the given reason."""


class Flow:
    """The dimensions of the values of a graph, filled in by the rules."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.ids = graph, ChannelIds()
        self.parts: dict[int, list[Dims]] = {}
        """By value: its dimensions; those of each part for an operation with several results; none for a size."""
        self.without_rule: list[Value] = []
        """Operations whose results are kept whole, as is what flows into them."""

    def of(self, argument: object) -> Dims:
        """The dimensions of an operation's argument."""
        if not isinstance(argument, Ref):
            raise TypeError(f"{argument!r} is not a value")
        return self.parts[argument.index][0]

    def tensors(self, call: Value) -> list[int]:
        """The tensors that an operation reads, without sizes."""
        return [index for index in call.inputs if self.graph.values[index].shapes]

    def shape(self, argument: object) -> tuple[int, ...]:
        """The shape of an operation's argument."""
        if not isinstance(argument, Ref):
            raise TypeError(f"{argument!r} is not a value")
        return self.graph.values[argument.index].shape

    def narrows(self, call: Value) -> bool:
        """Whether channels that may be dropped flow into an operation."""
        return any(self.ids.narrows(ids) for index in self.tensors(call) for dims in self.parts[index] for ids in dims)

    def pin_inputs(self, call: Value, reason: str) -> None:
        """Keeps all channels that flow into an operation."""
        for index in self.tensors(call):
            for dims in self.parts[index]:
                for ids in dims:
                    self.ids.pin(ids, reason)

    def merge(self, many: Sequence[Ids | None], call: Value) -> Ids | None:
        """Ties dimensions that an operation combines element by element; None if one of them has no channels."""
        known = [ids for ids in many if ids is not None]
        if len(known) < len(many):
            for ids in known:
                self.ids.pin(ids, f"is combined with channels that are kept whole ({described(call)})")
            return None
        for other in known[1:]:
            self.ids.unify(known[0], other)
        return known[0] if known else None


Rule = Callable[[Value, Flow], "Dims | Parts"]


class Parts(list[Dims]):
    """The dimensions of each of an operation's several results."""


def described(call: Value) -> str:
    """An operation, and where it stands in the user's code."""
    place = f" at {call.place}" if call.place else ""
    return f"{call.name} in {call.module}{place}" if call.module else f"{call.name}{place}"


def constants(count: int) -> Ids:
    """Ids of channels that are never dropped."""
    return np.zeros(max(count, 0), dtype=np.int64)
