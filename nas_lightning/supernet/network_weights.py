"""Reads one candidate's ``network.safetensors``, which nas-export writes."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch

from nas_lightning.errors import InputError, cut
from nas_lightning.space import Architecture
from nas_lightning.supernet.family import ResidualFamily
from nas_lightning.supernet.layers import NormStatistics
from nas_lightning.supernet.single_network import SingleNetwork
from nas_lightning.supernet.tensor_files import Damaged, read_safetensors, what_differs

HEADER_KEY = "network"
"""Key of the header, as JSON, in the file's metadata; also in that of network.onnx."""
FORMAT = 1
"""Version of the header, and of an export's card."""


class SavedNetwork(NamedTuple):
    """What the file holds."""

    network: SingleNetwork
    """In evaluation mode, with running norms."""
    family: ResidualFamily
    architecture: Architecture
    data: dict[str, Any]
    """The images: name, arguments, mean, std."""


def is_network(path: Path) -> bool:
    """Whether a file is of this kind, damaged or not."""
    try:
        return path.suffix == ".safetensors" and HEADER_KEY in read_safetensors(path)[0]
    except Damaged:
        return False


def load_network(path: Path, place: str) -> SavedNetwork:
    """Reads a network without running code of the file.

    Args:
        place: the key that names the file, for errors.

    Raises:
        InputError: if the file is damaged or of another kind.
    """
    try:
        metadata, tensors = read_safetensors(path)
        header = json.loads(metadata.get(HEADER_KEY, "null"))
        if not isinstance(header, dict) or header.get("format") != FORMAT or header.get("family") != ResidualFamily.name:
            raise ValueError(f"its header names no {ResidualFamily.name} network of format {FORMAT}")
        family = ResidualFamily.from_header(header["structure"])
        if family.space.layers > len(tensors):  # before allocating a network of that size
            raise ValueError(f"{family.space.layers} layers, and {len(tensors)} tensors")
        architecture = family.space.parse(header["architecture"])
        with torch.device("meta"):
            reason = what_differs(family.alone(architecture, NormStatistics.RUNNING).state_dict(), tensors)
        if reason is not None:
            raise ValueError(reason)
        network = family.alone(architecture, NormStatistics.RUNNING)
        network.load_state_dict(tensors)
        data = {**header["data"], "name": str(header["data"]["name"]), "arguments": dict(header["data"]["arguments"])}
    except (Damaged, KeyError, TypeError, ValueError, RuntimeError, RecursionError) as error:
        raise InputError(f"{place}: {path} is not a whole network of nas-export ({cut(' '.join(str(error).split()), 200)})") from None
    return SavedNetwork(network.eval(), family, architecture, data)
