"""The supernet: one set of weights whose slices are the candidates of a space."""

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
    """Outputs of a candidate's first layers, enough to continue from there."""

    outputs: dict[int, Tensor]
    """By layer (the images as ``IMAGES``): (batch, width, H, W) of the last, and of earlier ones still needed."""

    @property
    def newest(self) -> Tensor:
        """The output of the last layer."""
        return self.outputs[max(self.outputs)]

    def narrowed(self, width: int) -> "Features":
        """The same, with only the first channels of the last layer."""
        if self.newest.shape[1] == width:
            return self
        return Features({**self.outputs, max(self.outputs): self.newest[:, :width].contiguous(memory_format=CHANNELS_LAST)})

    def bytes_if_extended(self, width: int) -> int:
        """Upper bound on the bytes of a next layer of ``width`` channels, reached without a stride."""
        return self.newest.nbytes // self.newest.shape[1] * width


class Supernet(nn.Module):
    """Weights of every candidate of a space; which one runs is an argument.

    Args:
        space: of the candidates.
        classes: outputs of the classifier.
        channels: channels of the images.
        shortcuts: which blocks have a 1x1 convolution on their shortcut.
        norm: source of the batch norms' statistics.
        seed: of the initial weights.
        channels_last: memory format where the hand-written kernels do not apply, as on a GPU; affects only rounding.
    """

    @torch.random.fork_rng(devices=())  # PyTorch's layers draw from the global generator when constructed
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
        if images.shape[1] != self.channels:  # a slice of the stem's weight would silently take fewer
            raise InputError(f"images have {images.shape[1]} channels, but the supernet was made for {self.channels}")
        layout = CHANNELS_LAST if self.channels_last or is_hand_written(images) else torch.contiguous_format
        return Features({IMAGES: images.contiguous(memory_format=layout)})

    def extend(self, features: Features, layer: int, width: int) -> Features:
        """Adds one searchable layer; candidates that share their first layers share the features.

        Args:
            features: of the previous layers.
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
        """Whether ``extend`` gives the first channels of a wider output; false behind an identity shortcut."""
        return not any(unit.may_be_identity and features.outputs[unit.source].shape[1] == width for unit, _ in self.of_layer[layer])

    def classify(self, features: Features) -> Tensor:
        """The features of all layers -> logits (batch, classes)."""
        return self.classifier(features.newest.mean(dim=(2, 3)))

    draws = False
    """Whether a path draws random numbers in training."""

    @property
    def skips_parameters(self) -> bool:
        """Whether a path may leave whole tensors without a gradient, as with an identity shortcut."""
        return self.shortcuts is not ShortcutRule.ALWAYS

    def header(self) -> dict[str, Any]:
        """Plain values that rebuild the network without its weights: ``Supernet.from_header(header)``."""
        return {**self.structure.header(), "norm": str(self.norm)}

    @classmethod
    def from_header(cls, header: dict[str, Any]) -> "Supernet":
        """The network that ``header`` describes, with initial weights."""
        return cls(**{**header, "space": SearchSpace(**header["space"])})
