"""All kinds of networks: what a checkpoint's header names is made here."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nas_lightning.errors import InputError
from nas_lightning.space import ListedSpace, SearchSpace, Space
from nas_lightning.supernet.family import ResidualFamily
from nas_lightning.supernet.network import Supernet
from nas_lightning.supernet.tensor_files import what_differs
from nas_lightning.supernet.traced.check import check_slices
from nas_lightning.supernet.traced.family import TracedFamily
from nas_lightning.supernet.traced.network import TracedSupernet
from nas_lightning.supernet.traced.source import NetworkSource

Family = ResidualFamily | TracedFamily
AnyModule = Supernet | TracedSupernet
"""A supernet of any kind."""
MOST_UNREAD, SPARE = 8, 1_000_000
"""A network may hold so many times the numbers of its file, and so many more: auxiliary heads are in no file."""


def is_traced(header: Mapping[str, Any]) -> bool:
    """Whether a family's or a supernet's header is that of a traced network."""
    return header.get("kind") == TracedFamily.name


def space_from_header(header: Mapping[str, Any]) -> Space:
    """The candidates of a family's or a supernet's header."""
    return ListedSpace(**header["space"]) if is_traced(header) else SearchSpace(**header["space"])


def family_from_header(header: Mapping[str, Any]) -> Family:
    """The family with a header, which may be part of a supernet's; a network is made and traced anew."""
    return TracedFamily.from_header(header) if is_traced(header) else ResidualFamily.from_header(header)


def family_of(supernet: AnyModule) -> Family:
    """The family that made a supernet."""
    return supernet.family if isinstance(supernet, TracedSupernet) else ResidualFamily.from_header(supernet.header())


def supernet_from_header(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> AnyModule:
    """The supernet that a header describes, with initial weights.

    Args:
        tensors: of its file, compared before a network of that size is allocated.

    Raises:
        ValueError: if the tensors do not fit.
    """
    if is_traced(header):
        _check_outline(NetworkSource.of_header(header["network"]), tensors)
        supernet: AnyModule = TracedFamily.from_header(header).supernet(header["norm"], 0)
    else:
        if (layers := SearchSpace(**header["space"]).layers) > len(tensors):
            raise ValueError(f"{layers} layers, and {len(tensors)} tensors")
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):  # of a network without channels or classes
            expected = Supernet.from_header(dict(header)).state_dict()
        if (reason := what_differs(expected, tensors)) is not None:
            raise ValueError(reason)
        supernet = Supernet.from_header(dict(header))
    if (reason := what_differs(supernet.state_dict(), tensors)) is not None:
        raise ValueError(reason)
    return supernet


def _check_outline(source: NetworkSource, tensors: Mapping[str, Tensor]) -> None:
    if (outline := source.outline()) is None:
        return
    expected = {name: outline[name.removeprefix("network.")] for name in tensors if name.removeprefix("network.") in outline}
    if (reason := what_differs(expected, tensors)) is not None:
        raise ValueError(reason)
    numbers, kept = (sum(tensor.numel() for tensor in some.values()) for some in (outline, tensors))
    if numbers > MOST_UNREAD * kept + SPARE:
        raise ValueError(f"{numbers:,} numbers, and {kept:,} in the file")


def check_side(supernet: AnyModule, side: int, place: str) -> None:
    """Raises InputError, naming the key at ``place``, if candidates do not run on images of another side."""
    if isinstance(supernet, TracedSupernet):
        try:
            check_slices(supernet, side=side)
        except InputError as error:
            raise InputError(f"{place}: {error}") from None
