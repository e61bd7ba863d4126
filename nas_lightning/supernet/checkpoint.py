"""Supernet weights in files: reads ``last.ckpt`` and ``supernet.safetensors``, neither of which can run code."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nas_lightning.durable import write_whole
from nas_lightning.errors import InputError
from nas_lightning.supernet.network import Supernet

HEADER_KEY = "nas_lightning"
"""Under which a checkpoint of either kind keeps its header."""
FORMAT = 1


def make_header(supernet: Supernet, data: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of itself, as plain values.

    Args:
        data: what is needed to read the same images again: name, arguments, mean, std.
    """
    return {"format": FORMAT, "supernet": supernet.header(), "data": data}


def save_supernet(path: Path, supernet: Supernet, header: dict[str, Any]) -> None:
    """Writes weights and header as safetensors, as a whole."""
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in supernet.state_dict().items()}
    write_whole(path, lambda temporary: temporary.write_bytes(save(tensors, metadata={HEADER_KEY: json.dumps(header)})))


def load_supernet(path: Path) -> tuple[Supernet, dict[str, Any]]:
    """The supernet in evaluation mode, and its header.

    Raises:
        InputError: if the file is missing, truncated, of another kind, diverged, or does not hold what its header says.
    """
    if not path.is_file():
        raise InputError(f"checkpoint: {path} is not a file")
    header, tensors = _read_safetensors(path) if path.suffix == ".safetensors" else _read_lightning(path)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        found = header.get("format") if isinstance(header, dict) else "no header"
        raise InputError(f"checkpoint: {path} is not a supernet of this version (format {found}, expected {FORMAT})")
    data = header.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("name"), str) or not isinstance(data.get("arguments"), dict):
        raise InputError(f"checkpoint: {path} does not say in its header which images it was trained on (data.name, data.arguments)")
    try:
        supernet = Supernet.from_header(header["supernet"])
        supernet.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"checkpoint: {path} does not hold the supernet that its header names ({reason})") from None
    diverged = [name for name, tensor in supernet.state_dict().items() if not tensor.isfinite().all()]
    if diverged:
        raise InputError(f"checkpoint: {path} holds weights that are not finite (in {len(diverged)} tensors, such as {diverged[0]})")
    return supernet.eval(), header


def read_header(path: Path) -> dict[str, Any]:
    """The header alone."""
    return load_supernet(path)[1]


def supernet_weights(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The supernet's weights in a Lightning checkpoint's content, by their names in the supernet."""
    prefix = "supernet."
    return {name.removeprefix(prefix): value for name, value in content["state_dict"].items() if name.startswith(prefix)}


def _read_safetensors(path: Path) -> tuple[Any, dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(HEADER_KEY, "null"))
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise InputError(f"checkpoint: {path} is not a whole safetensors file ({error})") from None


def _read_lightning(path: Path) -> tuple[Any, dict[str, Tensor]]:
    try:
        with warnings.catch_warnings(action="ignore"):  # of odd pickles; what is wrong with the file is told below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle makes torch stumble in any way: KeyError, IndexError, struct.error, ...
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise InputError(f"checkpoint: {path} is not a whole checkpoint of weights ({reason})") from None
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise InputError(f"checkpoint: {path} holds no state_dict")
    return content.get(HEADER_KEY), supernet_weights(content)
