"""One candidate as a copy of the user's own module, whose tensors are narrowed and whose own code runs it."""

import copy

import torch
from torch import Tensor, nn

from nas_lightning.space import Architecture
from nas_lightning.supernet.layers import NormStatistics
from nas_lightning.supernet.traced.network import TracedSupernet


@torch.no_grad()
def cut_native(supernet: TracedSupernet, architecture: Architecture) -> nn.Module:
    """The narrowed copy; a module that keeps channel counts of its own may fail when it runs, or compute something else."""
    program = supernet.program
    graph, units = program.graph, program.units(architecture.widths)
    module = copy.deepcopy(graph.source)
    own = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    named: dict[str, Tensor] = dict(own)
    for index in graph.tensors:
        tensor = supernet.tensors.get(index)
        full = named.get(graph.values[index].name)
        if tensor is None or full is None:  # an average that batch statistics do not need, or a constant of the trace
            continue
        cut = program.narrowed(index, tensor, units).detach().clone()
        if isinstance(full, nn.Parameter):
            cut = nn.Parameter(cut, requires_grad=full.requires_grad)
        for name in [name for name, other in own if other is full]:
            owner, _, leaf = name.rpartition(".")
            setattr(module.get_submodule(owner), leaf, cut)
    for part in module.modules():
        _count(part)
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) and supernet.norm is NormStatistics.BATCH:
            part.running_mean = part.running_var = part.num_batches_tracked = None
            part.track_running_stats = False
    return module.to(next(supernet.parameters())).train(supernet.training)


def _count(layer: nn.Module) -> None:
    """Sets the channel counts that a layer of PyTorch keeps besides its tensors."""
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, Tensor):
        return
    shape = weight.shape
    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        layer.groups = layer.groups * shape[0] // layer.out_channels if layer.groups > 1 else 1
        layer.in_channels, layer.out_channels = shape[1] * layer.groups, shape[0]
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = shape
    elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.InstanceNorm2d):
        layer.num_features = shape[0]
    elif isinstance(layer, nn.LayerNorm):
        layer.normalized_shape = tuple(shape)
    elif isinstance(layer, nn.GroupNorm):
        layer.num_groups = layer.num_groups * shape[0] // layer.num_channels if layer.num_groups > 1 else 1
        layer.num_channels = shape[0]
    elif isinstance(layer, nn.PReLU):
        layer.num_parameters = shape[0]
