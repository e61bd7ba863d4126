"""Reads one candidate's ``network.safetensors``, which nas-export writes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from nas_lightning.errors import InputError, cut
from nas_lightning.space import Architecture
from nas_lightning.supernet.families import FAMILIES, Family, alone_from_header
from nas_lightning.supernet.family import ResidualFamily
from nas_lightning.supernet.tensor_files import Damaged, read_safetensors

HEADER_KEY = "network"
"""Key of the header, as JSON, in the file's metadata; also in that of network.onnx."""
FORMAT = 1
"""Version of the header, and of an export's card."""


@dataclass(frozen=True)
class SavedNetwork:
    """What the file holds."""

    network: nn.Module
    """In evaluation mode, with running norms."""
    family: Family
    architecture: Architecture
    data: dict[str, Any]
    """The images: name, arguments, mean, std."""


def is_network(path: Path) -> bool:
    """Whether a file is of this kind, damaged or not."""
    try:
        return path.suffix == ".safetensors" and HEADER_KEY in read_safetensors(path)[0]
    except Damaged:
        return False


def load_network(path: Path, place: str, *, free_sides: bool = False) -> SavedNetwork:
    """Reads a network without running code of the file.

    Args:
        place: the key that names the file, for errors.
        free_sides: see ``load_supernet``.

    Raises:
        InputError: if the file is damaged or of another kind.
    """
    header: Any = {}
    try:
        metadata, tensors = read_safetensors(path)
        header = json.loads(metadata.get(HEADER_KEY, "null"))
        if not isinstance(header, dict) or header.get("format") != FORMAT or header.get("family") not in FAMILIES:
            raise ValueError(f"its header names no {' or '.join(FAMILIES)} network of format {FORMAT}")
        family, architecture, network = alone_from_header(header["structure"], header["architecture"], tensors, free_sides)
        data = {**header["data"], "name": str(header["data"]["name"]), "arguments": dict(header["data"]["arguments"])}
    except (Damaged, KeyError, TypeError, ValueError, RuntimeError, RecursionError, AttributeError) as error:
        if isinstance(error, InputError) and header.get("family") != ResidualFamily.name:
            raise InputError(f"{place}: {path} cannot be read: {error}") from None
        raise InputError(f"{place}: {path} is not a whole network of nas-export ({cut(' '.join(str(error).split()), 200)})") from None
    return SavedNetwork(network.eval(), family, architecture, data)
