"""Follows channels through a whole graph; what cannot be followed is pinned, with its reason."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from nas_lightning.errors import InputError
from nas_lightning.supernet.traced.channel_ids import Dims
from nas_lightning.supernet.traced.flow import Flow, NoRule, Parts, described
from nas_lightning.supernet.traced.graph import Graph, Value
from nas_lightning.supernet.traced.rules_elementwise import ELEMENTWISE
from nas_lightning.supernet.traced.rules_layers import LAYERS
from nas_lightning.supernet.traced.rules_shapes import SHAPES

RULES = {**LAYERS, **ELEMENTWISE, **SHAPES}
"""By the name of an ATen operation."""
MAKES_CHANNELS = ("conv2d", "conv1d", "linear")
"""Operations whose weight has the channels of its result in its first dimension."""


def layers(graph: Graph) -> dict[str, int]:
    """The weights of convolutions and linear layers, stored or computed, by the name of their layer, in forward order."""
    found: dict[str, int] = {}
    for call in graph.calls:
        if call.name in MAKES_CHANNELS:
            weight = call.arguments["weight"].index
            found.setdefault(layer_of(graph.values[weight].name) if weight in graph.tensors else call.module, weight)
    return found


def layer_of(tensor: str) -> str:
    """The name of the layer that has a tensor; of a tensor that is no layer's weight, its own."""
    return tensor.removesuffix(".weight")


def follow_channels(graph: Graph, fixed: Sequence[str] = ()) -> Flow:
    """The ids along every dimension of every value.

    Args:
        fixed: patterns of layers whose channels are kept whole.

    Raises:
        InputError: if a pattern matches no layer.
    """
    flow = Flow(graph)
    for value in graph.values:
        if value.target is None:
            flow.parts[value.index] = [_of_tensor(value, flow) if value.index in graph.tensors else [None] * len(value.shape)]
    weights = _matching(layers(graph), fixed)
    _pin_made(flow, {weight: pattern for weight, pattern in weights.items() if weight in graph.tensors})
    for call in graph.calls:
        if not call.shapes:  # a size, which no choice changes
            flow.parts[call.index] = [[]]
            continue
        try:
            out = RULES[call.name](call, flow) if call.name in RULES else _without_rule(call, flow)
        except NoRule as reason:
            flow.pin_inputs(call, str(reason))
            flow.without_rule.append(call)
            out = Parts([None] * len(shape) for shape in call.shapes)
        flow.parts[call.index] = out if isinstance(out, Parts) else [out]
    _pin_made(flow, weights)
    for ids in flow.parts[graph.logits][0]:
        flow.ids.pin(ids, "gives the logits")
    return flow


def _matching(weights: Mapping[str, int], fixed: Sequence[str]) -> dict[int, str]:
    """The weights of the layers that match a pattern, and which."""
    found: dict[int, str] = {}
    for pattern in fixed:
        matching = [weight for name, weight in weights.items() if fnmatchcase(name, pattern)]
        if not matching:
            raise InputError(f"network.fixed: {pattern} matches no layer; layers are {', '.join(list(weights)[:3])}, ...")
        found |= dict.fromkeys(matching, pattern)
    return found


def _pin_made(flow: Flow, weights: Mapping[int, str]) -> None:
    for weight, pattern in weights.items():
        flow.ids.pin(flow.parts[weight][0][0], f"is fixed by network.fixed ({pattern})")


def _of_tensor(value: Value, flow: Flow) -> Dims:
    # The window of a convolution is no channel; a tensor with a first dimension of 1 may be a scale along a later one.
    shape = value.shape
    return [flow.ids.fresh(size) if size > 1 and not (dim > 1 and shape[0] > 1) else None for dim, size in enumerate(shape)]


def _without_rule(call: Value, flow: Flow) -> Parts:
    if flow.narrows(call):
        raise NoRule(f"flows into an operation without a rule ({described(call)})")
    return Parts([None] * len(shape) for shape in call.shapes)
