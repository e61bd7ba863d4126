"""Initial weights of a candidate alone: those that its class would draw, as large as its own widths need."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from nas_lightning.supernet.layers import initialise, replace_weight
from nas_lightning.supernet.traced.graph import Graph
from nas_lightning.supernet.traced.rules import MAKES_CHANNELS, layers


def drawn_weights(one: nn.Module, other: nn.Module, graph: Graph) -> set[str] | None:
    """The parameters of layers' weights that have other values in two networks of two seeds.

    Returns:
        Their names; None if most are the same in both, as when a constructor reads trained ones.
    """
    drawn, read = set[str](), set[str]()
    others = dict(other.named_parameters(remove_duplicate=False))
    for name, parameter in _of_layers(one, graph).items():
        if not torch.equal(parameter, others[name]):
            drawn.add(name)
        elif not torch.equal(parameter, parameter.flatten()[0].expand_as(parameter)):  # else a constant
            read.add(name)
    return drawn if len(drawn) >= len(read) else None


@torch.no_grad()
def fit_to_widths(network: nn.Module, whole: nn.Module, graph: Graph, drawn: Collection[str]) -> None:
    """Multiplies the weights of convolutions and linear layers, so that their results vary as much as at the full width.

    As a part of what the constructor drew for more inputs, they are too small by the root of the ratio of both numbers. All
    else stays what the constructor gave it, narrowed: also a filter that is an identity, and weights that the forward computes.

    Args:
        network: a candidate cut out of a supernet with initial weights.
        whole: another of the same network at full width.
        graph: of the whole network.
        drawn: the parameters to fit, by name.
    """
    narrow, wide = (dict(one.named_parameters(remove_duplicate=False)) for one in (network, whole))
    modules, done = dict(network.named_modules(remove_duplicate=False)), set[int]()  # a parameter may have several names
    for layer, index in layers(graph).items():
        name = graph.values[index].name
        if index in graph.tensors and name in narrow and name in drawn:
            if id(narrow[name]) not in done and narrow[name].requires_grad:
                narrow[name].mul_((_inputs(wide[name]) / _inputs(narrow[name])) ** 0.5)
                done.add(id(narrow[name]))
        elif layer in modules and any(one.startswith(f"{layer}.parametrizations.weight.") for one in drawn):
            _fit_computed(modules[layer], whole.get_submodule(layer))


def _fit_computed(layer: nn.Module, whole: nn.Module) -> None:
    """Likewise for a weight that a parametrization computes, which may scale it itself."""
    weight, wide = layer.weight, whole.weight
    if isinstance(weight, Tensor) and isinstance(wide, Tensor) and any(one.requires_grad for one in layer.parameters()):
        spreads = [float(one.square().mean() * _inputs(one)) ** 0.5 for one in (weight, wide)]
        if spreads[0] > 0:
            replace_weight(layer, weight * (spreads[1] / spreads[0]))


def _of_layers(network: nn.Module, graph: Graph) -> dict[str, nn.Parameter]:
    """The parameters of more than one dimension that layers' weights are, or are computed from, by name."""
    made = layers(graph)
    owners, names = tuple(f"{layer}." for layer in made), {graph.values[index].name for index in made.values()}
    found = network.named_parameters(remove_duplicate=False)
    return {name: one for name, one in found if one.ndim > 1 and one.numel() and (name in names or name.startswith(owners))}


def _inputs(weight: Tensor) -> int:
    """How many numbers make one of its results."""
    return weight[0].numel()


@torch.no_grad()
def initialise_anew(network: nn.Module, graph: Graph, seed: int) -> None:
    """Resets PyTorch's layers, and draws the weights of convolutions and linear layers, for a constructor that draws none.

    All else keeps what the user's constructor gave it, narrowed: layer scales, positions, parameters that are frozen or of layers of the
    user's own.

    Args:
        network: a candidate cut out of a supernet with initial weights.
        graph: of the whole network.
        seed: of what is drawn.
    """
    frozen = {name: parameter.clone() for name, parameter in network.named_parameters() if not parameter.requires_grad}
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        for layer in network.modules():
            reset = getattr(type(layer), "reset_parameters", None)
            if reset is not None and reset.__module__.startswith("torch.nn."):  # another's may make tensors of the full widths
                reset(layer)
        parameters = dict(network.named_parameters())
        for call in graph.calls:
            name = graph.values[call.arguments["weight"].index].name if call.name in MAKES_CHANNELS else ""
            owner, _, leaf = name.rpartition(".")
            is_layers = leaf == "weight" and isinstance(network.get_submodule(owner), nn.Conv1d | nn.Conv2d | nn.Linear)
            if name in parameters and not is_layers:
                nn.init.kaiming_uniform_(parameters[name], mode="fan_out", nonlinearity="relu")
    initialise(network, seed)
    for name, parameter in frozen.items():  # a filter that is not learnt
        network.get_parameter(name).copy_(parameter)
