"""Initial weights of a candidate alone: those that its class would draw, as large as its own widths need."""

import torch
from torch import nn

from nas_lightning.supernet.layers import initialise
from nas_lightning.supernet.traced.graph import Graph
from nas_lightning.supernet.traced.rules import MAKES_CHANNELS, layers


def draws_weights(one: nn.Module, other: nn.Module, graph: Graph) -> bool:
    """Whether two seeds gave the layers of two networks other weights; not if a constructor reads trained ones."""
    for layer in layers(graph):
        for name, parameter in one.named_parameters():
            if (name != layer and not name.startswith(f"{layer}.")) or not parameter.requires_grad or parameter.ndim == 1:
                continue
            is_constant = torch.equal(parameter, parameter.flatten()[0].expand_as(parameter))
            if not is_constant and torch.equal(parameter, other.get_parameter(name)):
                return False
    return True


@torch.no_grad()
def fit_to_widths(network: nn.Module, whole: nn.Module, graph: Graph) -> None:
    """Multiplies the weights of convolutions and linear layers, so that their results vary as much as at the full width.

    As a part of what the constructor drew for more inputs, they are too small by the root of the ratio of both numbers. All
    else stays what the constructor gave it, narrowed; also weights that a parametrization computes, as it scales most itself.

    Args:
        network: a candidate cut out of a supernet with initial weights.
        whole: another of the same network at full width.
        graph: of the whole network.
    """
    narrow, wide = dict(network.named_parameters()), dict(whole.named_parameters())
    for layer in layers(graph):
        for name in {layer, f"{layer}.weight"} & narrow.keys() & wide.keys():
            if narrow[name].requires_grad:
                narrow[name].mul_((wide[name][0].numel() / narrow[name][0].numel()) ** 0.5)


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
