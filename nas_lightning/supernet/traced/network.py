"""All candidates of a traced network in one set of weights."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nas_lightning.errors import InputError
from nas_lightning.space import Architecture
from nas_lightning.supernet.cpu_faults import conv2d
from nas_lightning.supernet.cpu_kernels import at_least_float32, check_several_values, full_precision
from nas_lightning.supernet.layers import NormStatistics
from nas_lightning.supernet.traced.graph import Ref, Value, replace_refs
from nas_lightning.supernet.traced.layout import Units
from nas_lightning.supernet.traced.program import Program

DROPOUTS = ("dropout", "feature_dropout", "alpha_dropout")


class TracedFeatures(NamedTuple):
    """What a candidate's first choices determine, enough to continue from there."""

    outputs: dict[int, Tensor]
    """Tensors that later operations read, by value."""
    sizes: dict[int, Any]
    """Sizes that later operations read, by value."""
    units: Units
    """Of the candidate; those of later choices do not matter yet."""

    def narrowed(self, _width: int) -> "TracedFeatures":
        """Themselves: no wider sibling is computed, since ``nests`` is false."""
        return self

    def bytes_if_extended(self, _width: int) -> float:
        """Without bound, so that no wider sibling is tried."""
        return math.inf


class TracedSupernet(nn.Module):
    """Weights of every candidate of a traced network; which one runs is an argument.

    Args:
        program: of the network, whose weights the supernet begins with; it may serve several supernets.
        norm: source of the batch norms' statistics.
        channels_last: memory format of the images; affects only rounding.
    """

    def __init__(self, program: Program, norm: NormStatistics | str = NormStatistics.BATCH, channels_last: bool = True) -> None:
        super().__init__()
        self.program, self.norm, self.channels_last = program, NormStatistics(norm), channels_last
        self.space, self.classes, self.channels = program.space, program.classes, program.channels
        self.family: Any = None
        """The ``TracedFamily`` that made it."""
        self.network = nn.Module()
        """The tensors under the names that they have in the user's module."""
        unread = self._averages() if self.norm is NormStatistics.BATCH else set()
        self._homes: dict[int, tuple[nn.Module, str]] = {}
        stored = program.graph.source.state_dict()
        for index, tensor in program.graph.tensors.items():
            if index not in unread:
                self._homes[index] = _keep(self.network, program.graph.values[index].name, tensor, stored)

    def forward(self, images: Tensor, architecture: Architecture) -> Tensor:
        """(batch, channels, H, W) -> logits (batch, classes) of one candidate."""
        features = self.begin(images)
        for layer, width in enumerate(architecture.widths):
            features = self.extend(features, layer, width)
        return self.classify(features)

    def begin(self, images: Tensor) -> TracedFeatures:
        """The images, (batch, channels, H, W), before any operation."""
        graph = self.program.graph
        if images.shape[1] != self.channels:
            raise InputError(f"images have {images.shape[1]} channels, but the supernet was made for {self.channels}")
        graph.check_sides(images.shape[2:])
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return TracedFeatures({graph.images: images.contiguous(memory_format=layout)}, {}, self.program.full_units)

    def extend(self, features: TracedFeatures, layer: int, width: int) -> TracedFeatures:
        """Runs what one more choice determines; candidates that share their first choices share the features.

        Args:
            features: of the previous choices.
            layer: the index of the choice in an architecture's widths.
            width: its width.
        """
        program = self.program
        units = program.with_width(features.units, layer, width)
        values: dict[int, Any] = {**features.outputs, **features.sizes}
        for call, dying in zip(program.segments[layer], program.dying[layer], strict=True):
            values[call.index] = self._run(call, values, units)
            for index in dying:
                del values[index]
        outputs = {index: value for index, value in values.items() if isinstance(value, Tensor)}
        return TracedFeatures(outputs, {index: value for index, value in values.items() if index not in outputs}, units)

    def nests(self, _features: TracedFeatures, _layer: int, _width: int) -> bool:
        """Whether a narrower output is part of a wider one: not promised for any operation."""
        return False

    def classify(self, features: TracedFeatures) -> Tensor:
        """The features of all choices -> logits (batch, classes)."""
        return features.outputs[self.program.graph.logits]

    @property
    def draws(self) -> bool:
        """Whether a path draws random numbers in training."""
        return any(call.name in DROPOUTS for call in self.program.graph.calls)

    @property
    def skips_parameters(self) -> bool:
        """Whether a path may leave whole tensors without a gradient: never, as each keeps a unit of every group."""
        return False

    def header(self) -> dict[str, Any]:
        """Plain values that describe the network without its weights."""
        return {**(self.program.header() if self.family is None else self.family.header()), "norm": str(self.norm)}

    @property
    def structure(self) -> Program:
        """What gives the costs of candidates."""
        return self.program

    def tensor(self, index: int) -> Tensor:
        """One of the network's tensors at full width."""
        home, leaf = self._homes[index]
        return getattr(home, leaf)

    @property
    def tensors(self) -> dict[int, Tensor]:
        """All of them, by value."""
        return {index: self.tensor(index) for index in self._homes}

    def _run(self, call: Value, values: dict[int, Any], units: Units) -> Any:
        def value_of(index: int) -> Any:
            return self.program.narrowed(index, self.tensor(index), units) if index in self._homes else values[index]

        arguments = self.program.adapted(call, units)
        if call.name == "batch_norm":
            return self._batch_norm(call, arguments, value_of, units)
        if call.name in DROPOUTS:
            arguments = {**arguments, "train": self.training}
        if isinstance(arguments.get("device"), torch.device):  # of the trace
            arguments = {**arguments, "device": next(self.parameters()).device}
        plain = {name: replace_refs(argument, value_of) for name, argument in arguments.items()}
        return conv2d(plain) if call.name == "conv2d" else call.run(plain)

    def _batch_norm(self, call: Value, arguments: dict[str, Any], value_of: Any, units: Units) -> Tensor:
        averages = [arguments[name] for name in ("running_mean", "running_var")]
        if self.norm is NormStatistics.BATCH:
            averages = [None, None]
        from_batch = self.training or self.norm is NormStatistics.BATCH or averages[0] is None
        changed = dict(zip(("running_mean", "running_var"), averages, strict=True))
        plain = {name: replace_refs(argument, value_of) for name, argument in {**arguments, **changed, "training": from_batch}.items()}
        x = plain["input"]
        if from_batch:
            check_several_values(x)
        with full_precision(x):
            out = call.run({**plain, "input": at_least_float32(x)})
        if self.training:
            for name, average in changed.items():
                if isinstance(average, Ref):
                    self._write_back(average.index, plain[name], units)
        return out

    @torch.no_grad()
    def _write_back(self, index: int, moved: Tensor, units: Units) -> None:
        # A slice of several runs is a copy, so its moved averages are not yet those of the supernet.
        full, layout = self.tensor(index), self.program.layouts[index][0][0]
        if layout is not None and moved.data_ptr() != full.data_ptr():
            full[torch.from_numpy(layout.kept(units)).to(full.device)] = moved

    def _averages(self) -> set[int]:
        calls = [call for call in self.program.graph.calls if call.name == "batch_norm"]
        averages = [call.arguments[name] for call in calls for name in ("running_mean", "running_var")]
        return {average.index for average in averages if isinstance(average, Ref)}


def _keep(root: nn.Module, name: str, tensor: Tensor, stored: dict[str, Any]) -> tuple[nn.Module, str]:
    """Puts a tensor under its dotted name; constants of the trace are no part of a checkpoint."""
    *path, leaf = name.split(".")
    for part in path:
        if part not in dict(root.named_children()):
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    copied = tensor.detach().clone()
    if isinstance(tensor, nn.Parameter):
        root.register_parameter(leaf, nn.Parameter(copied, requires_grad=tensor.requires_grad))
    else:
        root.register_buffer(leaf, copied, persistent=name in stored)
    return root, leaf
