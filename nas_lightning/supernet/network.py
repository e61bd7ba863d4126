"""The supernet: one set of weights whose slices are all candidates of a space."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nas_lightning.errors import InputError
from nas_lightning.space import Architecture, ResidualStructure, SearchSpace, ShortcutRule
from nas_lightning.space.structure import IMAGES
from nas_lightning.supernet.cpu_kernels import CHANNELS_LAST, is_hand_written
from nas_lightning.supernet.layers import NormStatistics, SlicedConv2d, SlicedLinear, SlicedUnit, initialise, rectified_sum


class SlicedBlock(nn.ModuleDict):
    """The units of a residual block."""

    unit1: SlicedUnit
    unit2: SlicedUnit
    shortcut: SlicedUnit


class Features(NamedTuple):
    """What the first layers of a candidate have made of the images: enough to continue from there."""

    outputs: dict[int, Tensor]
    """(batch, width, H, W) of the last layer, and of those before it that later ones read; by index, the images as ``IMAGES``."""

    @property
    def newest(self) -> Tensor:
        """The output of the last layer."""
        return self.outputs[max(self.outputs)]

    def narrowed(self, width: int) -> "Features":
        """Only the first channels of the last layer."""
        if self.newest.shape[1] == width:
            return self
        return Features({**self.outputs, max(self.outputs): self.newest[:, :width].contiguous(memory_format=CHANNELS_LAST)})

    def bytes_if_extended(self, width: int) -> int:
        """Of the output of a next layer of ``width`` channels, at most: a stride takes a part of it."""
        return self.newest.nbytes // self.newest.shape[1] * width


class Supernet(nn.Module):
    """Weights of every candidate of a space; which one runs is an argument.

    Args:
        space: which candidates there are.
        classes: outputs of the classifier.
        channels: channels of the images.
        shortcuts: which blocks have a 1x1 convolution on their shortcut.
        norm: where the batch norms take their statistics from.
        seed: of the initial weights.
        channels_last: how the images lie in memory where the hand-written operations do not serve, as on a GPU; results differ by rounding.
    """

    @torch.random.fork_rng(devices=())  # PyTorch's layers draw from the global generator when they are made
    def __init__(
        self,
        space: SearchSpace,
        classes: int,
        channels: int = 3,
        shortcuts: ShortcutRule | str = ShortcutRule.ALWAYS,
        norm: NormStatistics | str = NormStatistics.BATCH,
        seed: int = 0,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        self.channels_last = channels_last
        self.space, self.classes, self.channels = space, classes, channels
        self.shortcuts, self.norm = ShortcutRule(shortcuts), NormStatistics(norm)
        self.structure = ResidualStructure(space, classes, channels, self.shortcuts)
        width_of = self.structure.widths(space.largest)
        units = [
            SlicedUnit(width_of[unit.source], width_of[unit.layer], unit.kernel, unit.stride, statistics=self.norm, affine=unit.affine)
            for unit in self.structure.units
        ]
        self.of_layer = self.structure.by_layer(units)
        modules = iter(units)
        self.stem = next(modules)
        self.blocks = nn.ModuleList(SlicedBlock({unit.name: next(modules) for unit in block}) for block in self.structure.blocks)
        self.classifier = SlicedLinear(width_of[space.layers - 1], classes)
        initialise(self, seed)
        for module in self.modules():
            if isinstance(module, SlicedConv2d):
                module.channels_last = channels_last

    def forward(self, images: Tensor, architecture: Architecture) -> Tensor:
        """(batch, channels, H, W) -> logits (batch, classes) of one candidate."""
        features = self.begin(images)
        for layer, width in enumerate(architecture.widths):
            features = self.extend(features, layer, width)
        return self.classify(features)

    def begin(self, images: Tensor) -> Features:
        """The images, (batch, channels, H, W), before any layer."""
        if images.shape[1] != self.channels:  # a slice of the stem's weight would take fewer without a word
            raise InputError(f"images have {images.shape[1]} channels, but the supernet was made for {self.channels}")
        layout = CHANNELS_LAST if self.channels_last or is_hand_written(images) else torch.contiguous_format
        return Features({IMAGES: images.contiguous(memory_format=layout)})

    def extend(self, features: Features, layer: int, width: int) -> Features:
        """One searchable layer more: candidates that agree on their first layers agree on the features.

        Args:
            features: of the layers before.
            layer: the index of the layer in an architecture's widths.
            width: its width.
        """
        outputs, identity = features.outputs, None
        branches: list[tuple[SlicedUnit, Tensor]] = []
        for unit, module in self.of_layer[layer]:
            x = outputs[unit.source]
            if unit.may_be_identity and x.shape[1] == width:
                identity = x
            else:
                branches.append((module, x))
        return Features(self.structure.with_output(outputs, layer, rectified_sum(branches, width, identity)))

    def nests(self, features: Features, layer: int, width: int) -> bool:
        """Whether ``extend`` makes the first channels of what it makes with a larger width: not so behind an identity shortcut."""
        return not any(unit.may_be_identity and features.outputs[unit.source].shape[1] == width for unit, _ in self.of_layer[layer])

    def classify(self, features: Features) -> Tensor:
        """The features of all layers -> logits (batch, classes)."""
        return self.classifier(features.newest.mean(dim=(2, 3)))

    @property
    def skips_parameters(self) -> bool:
        """Whether a path may leave whole tensors without a gradient (a shortcut that is the identity)."""
        return self.shortcuts is not ShortcutRule.ALWAYS

    def header(self) -> dict[str, Any]:
        """Plain values that rebuild the network without its weights: ``Supernet.from_header(header)``."""
        return {**self.structure.header(), "norm": str(self.norm)}

    @classmethod
    def from_header(cls, header: dict[str, Any]) -> "Supernet":
        """The network that ``header`` describes, with initial weights."""
        return cls(**{**header, "space": SearchSpace(**header["space"])})
