"""Reads an export again, to train it on."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch

from nas_lightning.config.read import read
from nas_lightning.errors import InputError, cut
from nas_lightning.export.card import CARD
from nas_lightning.export.formats import HEADER_KEY
from nas_lightning.export.settings import ExportSettings
from nas_lightning.export.write import FORMAT
from nas_lightning.runs.reading import read_json
from nas_lightning.space import Architecture
from nas_lightning.supernet import NormStatistics, ResidualFamily, SingleNetwork
from nas_lightning.supernet.tensor_files import Damaged, read_safetensors, what_differs


class Saved(NamedTuple):
    """What ``network.safetensors`` and the card hold."""

    network: SingleNetwork
    family: ResidualFamily
    architecture: Architecture
    data: dict[str, Any]
    """The images: name, arguments, mean, std."""
    settings: ExportSettings


def read_export(folder: Path) -> Saved:
    """The network in evaluation mode, and what is needed to train and to export it again.

    Raises:
        InputError: if the folder holds no export with network.safetensors, or a damaged one.
    """
    path = folder / "network.safetensors"
    if not (path.is_file() and (folder / CARD).is_file()):
        raise InputError(f"start: {folder} is not a folder of nas-export with network.safetensors and {CARD}")
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
        raise InputError(f"start: {path} is not a whole network of nas-export ({cut(' '.join(str(error).split()), 200)})") from None
    settings = read(ExportSettings, read_json(folder / CARD).get("settings"), f"{folder / CARD}: settings")
    return Saved(network.eval(), family, architecture, data, settings)
