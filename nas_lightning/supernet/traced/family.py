"""The family of one user's network: its candidates and their costs, its supernet, and its stand-alone networks."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import nn

from nas_lightning.config.build import IMPORTED
from nas_lightning.errors import InputError, check_at_least, shorten
from nas_lightning.space import Architecture, ListedSpace
from nas_lightning.space.structure import Cost
from nas_lightning.supernet.layers import NormStatistics, check_norms
from nas_lightning.supernet.single_network import cut, cut_to_score
from nas_lightning.supernet.traced.answers import answers_of
from nas_lightning.supernet.traced.check import check_slices, computes_alike
from nas_lightning.supernet.traced.choices import Widths
from nas_lightning.supernet.traced.graph_cut import cut_graph
from nas_lightning.supernet.traced.importance import sort_by_l1
from nas_lightning.supernet.traced.initial import drawn_weights, fit_to_widths, initialise_anew
from nas_lightning.supernet.traced.native_cut import cut_native
from nas_lightning.supernet.traced.network import TracedSupernet
from nas_lightning.supernet.traced.program import Program
from nas_lightning.supernet.traced.source import NetworkSource
from nas_lightning.supernet.traced.weights import begin_with, trained_weights

MOST_PIXELS, MOST_CHANNELS = 1024, 16
"""Maximum side and channels of the images: a foreign header may claim any."""


@dataclass(frozen=True, eq=False)
class TracedFamily:
    """Builds the candidates of a network; the first use traces it and compares slices with the network narrowed.

    Args:
        make: constructs the network at full width, with initial weights.
        space_name: of the space in files and errors.
        classes: outputs of the network.
        channels: channels of the images.
        resolution: height and width of the images, in pixels.
        widths: the legal widths.
        fixed: patterns of layers whose channels are kept whole.
        tie: patterns of choices that become one.
        sort: ``l1`` puts the most important channels of the initial weights first, ``none`` leaves them.
        weights: trained ones that a supernet begins with; see ``trained_weights``.
        free_sides: runs on images of other sides too, where the network allows it; tracing takes 2 to 10 times as long.
    """

    name: ClassVar[str] = "traced"
    class_file: ClassVar[Path] = Path(__file__).with_name("program_file.py")
    class_reads: ClassVar[str] = "network.pt2"
    make: Callable[[], nn.Module]
    space_name: str
    classes: int
    channels: int
    resolution: int
    widths: Widths = Widths()
    fixed: Sequence[str] = ()
    tie: Sequence[str] = ()
    sort: str = "none"
    weights: str | None = None
    free_sides: bool = False

    def __post_init__(self) -> None:
        check_at_least("network: resolution", self.resolution, 1, MOST_PIXELS)
        check_at_least("network: channels", self.channels, 1, MOST_CHANNELS)
        if self.sort not in ("none", "l1"):
            raise InputError(f"network.sort: {self.sort!r} must be none or l1")

    @cached_property
    def program(self) -> Program:
        """The traced network.

        Raises:
            InputError: if it cannot be traced or narrowed, or has another number of outputs than classes.
        """
        images = torch.zeros(2, self.channels, self.resolution, self.resolution)
        program = Program(self._fresh(0), images, self.widths, self.fixed, self.tie, self.space_name, self.free_sides)
        if program.classes != self.classes:
            raise InputError(f"network: {self.space_name} has {program.classes} outputs, but the images have {self.classes} classes")
        return program

    @cached_property
    def space(self) -> ListedSpace:
        """The candidates."""
        return self.program.space

    @cached_property
    def cuts_natively(self) -> bool:
        """Whether a candidate cut out is the user's own class; raises InputError if slices are wrong."""
        return check_slices(TracedSupernet(self.program))

    def cost(self, widths: npt.ArrayLike) -> Cost:
        """Counts parameters and multiply-adds of (n, choices) widths, one row per candidate."""
        return self.program.cost(widths)

    def activations(self, widths: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """(n,) numbers that the convolutions of (n, choices) widths write, per image."""
        return self.program.activations(widths)

    def last_widths(self, widths: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """(n,) numbers of features that the classifiers of (n, choices) widths read; all 1 where that is unknown."""
        return self.program.last_widths(widths)

    @property
    def sides(self) -> tuple[int, ...]:
        """Height and width of what each choice makes, in pixels."""
        return self.program.sides

    @property
    def origin(self) -> dict[str, Any]:
        """Plain values from which ``from_header`` traces the network anew."""
        network = dict(self.make.node) if isinstance(self.make, NetworkSource) else {}
        return {"network": network, "widths": self.widths.header(), "fixed": list(self.fixed), "tie": list(self.tie)}

    def header(self) -> dict[str, Any]:
        """Plain values that describe the family."""
        return {**self.program.header(), **self.origin, "answers": self.answers}

    @cached_property
    def answers(self) -> list[float]:
        """Some logits of the network with weights that depend on their names alone: what it computes, whatever it was trained to."""
        return answers_of(self.program) if self._is_made_alike() else []

    def _is_made_alike(self) -> bool:
        """Whether a new network has the integers of the traced one, which no weights replace: indices may be drawn."""
        made = self.program.graph.source.state_dict().items()
        kept = {name: tensor for name, tensor in made if not tensor.is_floating_point() and tensor.ndim}
        again = self._fresh(0).state_dict() if kept else {}
        return all(torch.equal(tensor, again[name]) for name, tensor in kept.items())

    def answers_as(self, others: Any) -> bool:
        """Whether these are the logits of such weights, to rounding; also where an older version wrote none."""
        if others is None or others == [] or not self.answers:
            return True
        try:
            there = np.array(others, dtype=np.float64)
        except (TypeError, ValueError):
            return False
        ours = np.array(self.answers)
        return there.shape == ours.shape and bool(np.abs(there - ours).max() <= 1e-4 * np.abs(ours).max())

    @classmethod
    def from_header(cls, header: Mapping[str, Any], free_sides: bool = False) -> "TracedFamily":
        """The family with a header, which may be part of a supernet's; networks of packages that this process may not name are refused.

        A network that this process knows is not traced again.

        Raises:
            InputError: if the network cannot be made, or is not the one that was traced.
        """
        key = _key(header)
        if (known := _known.get(key)) is None or (free_sides and not known.free_sides):
            known = _rebuilt(json.loads(key[0]), free_sides)
        _keep_known(key, known)
        if not known.answers_as(header.get("answers")):
            raise InputError(f"it was made from another {known.make.target}: an operation, a stride or a constant of it has changed")  # type: ignore[attr-defined]
        return known

    def remember(self) -> None:
        """Spares this process to trace the network again for the checkpoints that it makes; one without a name is in none."""
        if not isinstance(self.make, NetworkSource):
            return
        plain = replace(self, weights=None, sort="none")
        vars(plain).update(program=self.program, cuts_natively=self.cuts_natively)
        _keep_known(_key(self.header()), plain)

    @property
    def norms_single_values(self) -> bool:
        """Whether a norm has a single value a channel of one image."""
        return self.program.norms_single_values

    def protocol(self) -> dict[str, Any]:
        """Entries of a ranking's protocol."""
        return self.program.protocol()

    def of_protocol(self, protocol: Mapping[str, Any]) -> "TracedFamily":
        """Itself, if it is the family that a ranking's or a search's protocol names.

        Raises:
            InputError: if it is another.
        """
        if protocol.get("ties") != self.program.ties:
            raise InputError(f"network: {self.space_name} is not the network that was searched: other channels of it are tied")
        return self

    def class_arguments(self, architecture: Architecture) -> dict[str, Any]:
        """The widths of a candidate by the names of the choices."""
        return {"widths": dict(zip(self.space.names, architecture.widths, strict=True))}

    def what_differs(self, header: Mapping[str, Any]) -> str | None:
        """The first difference from the family that a header describes, in words; None if its weights fit."""
        own, other = self.header(), dict(header)
        for key in ("kind", "classes", "channels"):
            if own[key] != other.get(key):
                return f"{key}: {own[key]} here, {shorten(other.get(key))} there"
        space = other.get("space")
        try:
            listed = ListedSpace(**space)  # type: ignore[arg-type]
        except (TypeError, InputError) as error:
            return f"its space is none: {error}"
        if self.space.layers != listed.layers:
            return f"{self.space.layers} choices here, {listed.layers} there"
        for number, (name, widths) in enumerate(zip(self.space.names, self.space.choices, strict=True)):
            if (name, widths) != (listed.names[number], listed.choices[number]):
                there = f"{listed.names[number]} of {', '.join(map(str, listed.choices[number]))}"
                return f"choice {number + 1}: {name} of {', '.join(map(str, widths))} here, {there} there"
        if self.space.resolution != listed.resolution:
            return f"images of {self.space.resolution} pixels here, {listed.resolution} there"
        return None if own["ties"] == other.get("ties") else "tensors of other shapes, or other channels that are tied"

    def supernet(self, norm: NormStatistics | str, seed: int, channels_last: bool = True) -> TracedSupernet:
        """All candidates in one network, with the initial weights of a seed or trained ones; slices are compared before."""
        supernet = self._initial(norm, seed, channels_last)
        if supernet.norm is NormStatistics.RUNNING and (place := self.program.mean_of_all) is not None:
            raise InputError(f"supernet.norm: running needs a momentum, which the batch norm at {place} lacks; give batch")
        if self.weights is not None:
            begin_with(supernet, trained_weights(self.weights, self.make), self.weights)
        if self.sort == "l1":
            sort_by_l1(supernet)
        return supernet

    def cut(self, supernet: TracedSupernet, architecture: Architecture) -> nn.Module:
        """The candidate as a plain network with copied weights: the same outputs, independent of the supernet.

        Raises:
            InputError: if the architecture is not in the space.
        """
        self.space.check(architecture)
        graph = cut_graph(supernet, architecture)
        if self.cuts_natively and computes_alike(native := cut_native(supernet, architecture), graph, supernet):
            return native
        return graph  # also where the class takes another branch for these widths than the traced one

    def alone(self, architecture: Architecture, norm: NormStatistics | str, seed: int = 0) -> nn.Module:
        """One candidate with initial weights of its own, as its class draws them, whatever a supernet begins with."""
        network = self.cut(self._initial(norm, seed), architecture)
        if NormStatistics(norm) is NormStatistics.RUNNING:
            check_norms(network)
        if self._drawn is None:
            initialise_anew(network, self.program.graph, seed)
        else:
            fit_to_widths(network, self.program.graph.source, self.program.graph, self._drawn)
        return network

    @cached_property
    def _drawn(self) -> set[str] | None:
        return drawn_weights(self.program.graph.source, self._fresh(1), self.program.graph)

    def _initial(self, norm: NormStatistics | str, seed: int, channels_last: bool = True) -> TracedSupernet:
        _ = self.cuts_natively
        supernet = TracedSupernet(self.program, norm, channels_last)
        supernet.family = self
        supernet.network.load_state_dict(self._fresh(seed).state_dict(), strict=False)  # it may hold tensors that are not traced
        return supernet

    def __reduce__(self) -> tuple[Any, ...]:
        """Without what was traced, which another process traces anew."""
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    def _fresh(self, seed: int) -> nn.Module:
        with isolate_rng(include_cuda=False):  # layers draw from the global generators when constructed
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            return self.make()


@cut.register
def _cut_traced(supernet: TracedSupernet, architecture: Architecture) -> nn.Module:
    """The user's own class, where the family has found that it can be narrowed; else a graph."""
    return cut_graph(supernet, architecture) if supernet.family is None else supernet.family.cut(supernet, architecture)


cut_to_score.register(TracedSupernet, cut_graph)

_known: dict[tuple[str, tuple[str, ...]], TracedFamily] = {}
"""Families that were traced, newest last, by header and by the packages that the process may name."""
MOST_KNOWN = 4


def _key(header: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    plain = {key: header[key] for key in ("kind", "space", "classes", "channels", "ties", "network", "widths", "fixed", "tie")}
    return json.dumps(plain), tuple(IMPORTED)


def _keep_known(key: tuple[str, tuple[str, ...]], family: TracedFamily) -> None:
    _known.pop(key, None)
    _known[key] = family
    for oldest in list(_known)[:-MOST_KNOWN]:
        del _known[oldest]


def _rebuilt(known: Mapping[str, Any], free_sides: bool) -> TracedFamily:
    source = NetworkSource.of_header(known["network"])
    space = ListedSpace(**known["space"])
    images = known["classes"], known["channels"], space.resolution
    widths = Widths(**known["widths"])
    family = TracedFamily(source, space.name, *images, widths, known["fixed"], known["tie"], free_sides=free_sides)
    if (difference := family.what_differs(known)) is not None:
        raise InputError(f"it was made from another {source.target} ({difference})")
    return family
