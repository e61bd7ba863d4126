"""One candidate as a copy of the user's own module, whose tensors are narrowed and whose own code runs it."""

import copy

import torch
from torch import Tensor, nn

from nas_lightning.space import Architecture
from nas_lightning.supernet.layers import NormStatistics
from nas_lightning.supernet.traced.network import TracedSupernet

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
NORMS = ("batch_norm", "group_norm", "instance_norm")
"""Operations whose layers keep a number of channels."""


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
    read = {call.module: call.arguments["input"].index for call in graph.calls if call.name in NORMS}
    for name, part in module.named_modules():
        _count(part, program.count(read[name], units) if name in read else None)
        if isinstance(part, BATCH_NORMS) and supernet.norm is NormStatistics.BATCH:
            part.running_mean = part.running_var = part.num_batches_tracked = None
            part.track_running_stats = False
    return module.to(next(supernet.parameters())).train(supernet.training)


def _count(layer: nn.Module, channels: int | None) -> None:
    """Sets the channel counts that a layer of PyTorch keeps besides its tensors.

    Args:
        channels: that a norm reads, which may have no weight to tell; None if that is unknown.
    """
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, Tensor):
        if channels is not None and isinstance(layer, (*BATCH_NORMS, nn.InstanceNorm2d)):
            layer.num_features = channels
        elif channels is not None and isinstance(layer, nn.GroupNorm):
            _count_groups(layer, channels)
        return
    shape = weight.shape
    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        layer.groups = layer.groups * shape[0] // layer.out_channels if layer.groups > 1 else 1
        layer.in_channels, layer.out_channels = shape[1] * layer.groups, shape[0]
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = shape
    elif isinstance(layer, (*BATCH_NORMS, nn.InstanceNorm2d)):
        layer.num_features = shape[0]
    elif isinstance(layer, nn.LayerNorm):
        layer.normalized_shape = tuple(shape)
    elif isinstance(layer, nn.GroupNorm):
        _count_groups(layer, shape[0])
    elif isinstance(layer, nn.PReLU):
        layer.num_parameters = shape[0]


def _count_groups(layer: nn.GroupNorm, channels: int) -> None:
    layer.num_groups = layer.num_groups * channels // layer.num_channels if layer.num_groups > 1 else 1
    layer.num_channels = channels
