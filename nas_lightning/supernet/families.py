"""All kinds of networks: what a checkpoint's header names is made here."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nas_lightning.errors import InputError
from nas_lightning.space import Architecture, ListedSpace, SearchSpace, Space
from nas_lightning.supernet.family import ResidualFamily
from nas_lightning.supernet.layers import NormStatistics
from nas_lightning.supernet.network import Supernet
from nas_lightning.supernet.tensor_files import what_differs
from nas_lightning.supernet.traced.check import check_slices
from nas_lightning.supernet.traced.family import TracedFamily
from nas_lightning.supernet.traced.network import TracedSupernet
from nas_lightning.supernet.traced.source import NetworkSource

Family = ResidualFamily | TracedFamily
AnyModule = Supernet | TracedSupernet
"""A supernet of any kind."""
FAMILIES = (ResidualFamily.name, TracedFamily.name)
MOST_UNREAD, MOST_NARROWED, SPARE = 8, 4096, 1_000_000
"""A network may hold so many times the numbers of its file, a supernet's or a candidate's, and so many more: auxiliary heads are in
no file."""


def is_traced(header: Mapping[str, Any]) -> bool:
    """Whether a family's or a supernet's header is that of a traced network."""
    return header.get("kind") == TracedFamily.name


def space_from_header(header: Mapping[str, Any]) -> Space:
    """The candidates of a family's or a supernet's header."""
    return ListedSpace(**header["space"]) if is_traced(header) else SearchSpace(**header["space"])


def family_from_header(header: Mapping[str, Any], free_sides: bool = False) -> Family:
    """The family with a header, which may be part of a supernet's; a network is made and traced anew."""
    return TracedFamily.from_header(header, free_sides) if is_traced(header) else ResidualFamily.from_header(header)


def alone_from_header(
    header: Mapping[str, Any], code: str, tensors: Mapping[str, Tensor], free_sides: bool = False
) -> tuple[Family, Architecture, nn.Module]:
    """A family, one of its candidates, and that as a network with running norms, which holds the tensors.

    Args:
        header: of the family.
        code: of the candidate.
        tensors: of its file, compared before a network of that size is allocated.
        free_sides: see ``load_supernet``.

    Raises:
        ValueError: if the tensors do not fit.
    """
    if is_traced(header):
        _check_size(NetworkSource.of_header(header["network"]).outline() or {}, tensors, MOST_NARROWED)
    family = family_from_header(header, free_sides)
    _check_layers(family.space, tensors)
    architecture = family.space.parse(code)
    if isinstance(family, ResidualFamily):
        with torch.device("meta"):
            _check_fits(family.alone(architecture, NormStatistics.RUNNING), tensors)
    network = family.alone(architecture, NormStatistics.RUNNING)
    _check_fits(network, tensors)
    network.load_state_dict(tensors)
    return family, architecture, network


def family_of(supernet: AnyModule) -> Family:
    """The family that made a supernet."""
    return supernet.family if isinstance(supernet, TracedSupernet) else ResidualFamily.from_header(supernet.header())


def supernet_from_header(header: Mapping[str, Any], tensors: Mapping[str, Tensor], free_sides: bool = False) -> AnyModule:
    """The supernet that a header describes, with initial weights.

    Args:
        tensors: of its file, compared before a network of that size is allocated.
        free_sides: see ``load_supernet``.

    Raises:
        ValueError: if the tensors do not fit.
    """
    if is_traced(header):
        _check_outline(NetworkSource.of_header(header["network"]), tensors)
        supernet: AnyModule = TracedFamily.from_header(header, free_sides).supernet(header["norm"], 0)
    else:
        _check_layers(space_from_header(header), tensors)
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):  # of a network without channels or classes
            _check_fits(Supernet.from_header(dict(header)), tensors)
        supernet = Supernet.from_header(dict(header))
    _check_fits(supernet, tensors)
    return supernet


def _check_layers(space: Space, tensors: Mapping[str, Tensor]) -> None:
    if space.layers > len(tensors):
        raise ValueError(f"{space.layers} layers, and {len(tensors)} tensors")


def _check_fits(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    if (reason := what_differs(network.state_dict(), tensors)) is not None:
        raise ValueError(reason)


def _check_outline(source: NetworkSource, tensors: Mapping[str, Tensor]) -> None:
    if (outline := source.outline()) is None:
        return
    expected = {name: outline[name.removeprefix("network.")] for name in tensors if name.removeprefix("network.") in outline}
    if (reason := what_differs(expected, tensors)) is not None:
        raise ValueError(reason)
    _check_size(outline, tensors, MOST_UNREAD)


def _check_size(outline: Mapping[str, Tensor], tensors: Mapping[str, Tensor], most: int) -> None:
    numbers, kept = (sum(tensor.numel() for tensor in some.values()) for some in (outline, tensors))
    if numbers > most * kept + SPARE:
        raise ValueError(f"{numbers:,} numbers, and {kept:,} in the file")


def check_side(supernet: AnyModule, side: int, place: str) -> None:
    """Raises InputError, naming the key at ``place``, if candidates do not run on images of another side."""
    if isinstance(supernet, TracedSupernet):
        try:
            check_slices(supernet, side=side)
        except InputError as error:
            raise InputError(f"{place}: {error}") from None
