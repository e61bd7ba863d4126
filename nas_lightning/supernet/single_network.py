"""One candidate as a plain network, built on its own or cut out of the supernet."""

from functools import reduce, singledispatch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas_lightning.space import Architecture, ResidualStructure
from nas_lightning.space.structure import IMAGES, Unit
from nas_lightning.supernet.layers import NormStatistics, initialise
from nas_lightning.supernet.network import Supernet


class PlainUnit(nn.Module):
    """Convolution, then batch norm."""

    def __init__(self, unit: Unit, in_width: int, out_width: int, statistics: NormStatistics) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_width, out_width, unit.kernel, unit.stride, padding=unit.kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_width, affine=unit.affine, track_running_stats=statistics is NormStatistics.RUNNING)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_width, H, W) -> (batch, out_width, H / stride, W / stride)."""
        return self.norm(self.conv(x))


class SingleNetwork(nn.Module):
    """One candidate with weights of its own.

    Args:
        structure: of the networks in the candidate's space.
        architecture: the candidate.
        norm: source of the batch norms' statistics.
        seed: of the initial weights.
    """

    @torch.random.fork_rng(devices=())  # PyTorch's layers draw from the global generator when constructed
    def __init__(
        self,
        structure: ResidualStructure,
        architecture: Architecture,
        norm: NormStatistics | str = NormStatistics.BATCH,
        seed: int = 0,
    ) -> None:
        super().__init__()
        structure.space.check(architecture)
        self.structure, width_of = structure, structure.widths(architecture)
        units = [_plain(unit, width_of[unit.source], width_of[unit.layer], NormStatistics(norm)) for unit in structure.units]
        self.of_layer = structure.by_layer(units)
        modules = iter(units)
        self.stem = next(modules)
        self.blocks = nn.ModuleList(nn.ModuleDict({unit.name: next(modules) for unit in block}) for block in structure.blocks)
        self.classifier = nn.Linear(architecture.widths[-1], structure.classes)
        initialise(self, seed)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, H, W) -> logits (batch, classes)."""
        outputs = {IMAGES: images}
        for layer, units in enumerate(self.of_layer):
            total = reduce(torch.add, (module(outputs[unit.source]) for unit, module in units))
            outputs = self.structure.with_output(outputs, layer, F.relu(total))
        return self.classifier(outputs[layer].mean(dim=(2, 3)))


def _plain(unit: Unit, in_width: int, out_width: int, statistics: NormStatistics) -> nn.Module:
    if unit.may_be_identity and in_width == out_width:
        return nn.Identity()
    return PlainUnit(unit, in_width, out_width, statistics)


@singledispatch
def cut(supernet: nn.Module, architecture: Architecture) -> nn.Module:
    """The candidate as a plain network with copied weights: the same outputs, independent of the supernet.

    Each kind of supernet registers its own.

    Raises:
        InputError: if the architecture is not in the supernet's space.
    """
    raise TypeError(f"{type(supernet).__name__} is no supernet; cannot cut {architecture} out of it")


@singledispatch
def cut_to_score(supernet: nn.Module, architecture: Architecture) -> nn.Module:
    """As ``cut``, but never of a class of one's own: whether that computes alike takes two passes a candidate to see."""
    return cut(supernet, architecture)


@cut.register
@torch.no_grad()
def _cut_residual(supernet: Supernet, architecture: Architecture) -> SingleNetwork:
    network = SingleNetwork(supernet.structure, architecture, supernet.norm)
    network.to(supernet.classifier.full.weight).train(supernet.training)
    full = supernet.state_dict()
    for name, tensor in network.state_dict().items():
        module, _, weight = name.rpartition(".")
        tensor.copy_(full[f"{module}.full.{weight}"][tuple(map(slice, tensor.shape))])
    return network
