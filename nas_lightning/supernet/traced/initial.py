"""Initial weights of a candidate alone, for its own widths: a slice of those of wider layers would vary too little."""

import torch
from torch import nn

from nas_lightning.supernet.layers import initialise
from nas_lightning.supernet.traced.graph import Graph
from nas_lightning.supernet.traced.rules import MAKES_CHANNELS


@torch.no_grad()
def initialise_anew(network: nn.Module, graph: Graph, seed: int) -> None:
    """Resets PyTorch's layers, and draws the weights of convolutions and linear layers, also those of no such layer.

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
