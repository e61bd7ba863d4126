"""Supernet weights in files: reads ``last.ckpt`` and ``supernet.safetensors``, neither of which can run code."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from nas_lightning.config.build import import_plugins
from nas_lightning.errors import InputError, cut, shorten
from nas_lightning.runs.made_from import file_hash
from nas_lightning.runs.writing import write_atomically
from nas_lightning.supernet.families import AnyModule, is_traced, supernet_from_header
from nas_lightning.supernet.tensor_files import Damaged, read_lightning, read_safetensors

HEADER_KEY = "nas_lightning"
"""Key of the header in a checkpoint of either kind."""
ORIGIN = "initial_sha256"
"""Key of the sha256 of the weights that the training began with."""
FORMAT = 1
MOST_VALUES = 50_000
"""Maximum number of values in a header."""


def make_header(supernet: AnyModule, data: dict[str, Any], started_from: Path | None = None) -> dict[str, Any]:
    """The description of a checkpoint, as plain values.

    Args:
        data: identifies the training images: name, arguments, mean, std.
        started_from: the weights that the training began with, if not with new ones.
    """
    origin = {} if started_from is None else {ORIGIN: file_hash(started_from)}
    header = {"format": FORMAT, "supernet": supernet.header(), "data": data, **origin}
    if not is_plain(header):  # before anything is trained
        raise InputError(f"network.widths: {supernet.space.name} has too many widths for a checkpoint; give ratios")
    return header


def save_supernet(path: Path, supernet: AnyModule, header: dict[str, Any]) -> None:
    """Writes weights and header atomically, as safetensors."""
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in supernet.state_dict().items()}
    write_atomically(path, lambda temporary: temporary.write_bytes(save(tensors, metadata={HEADER_KEY: json.dumps(header)})))


def load_supernet(path: Path, plugins: Sequence[str] = (), *, free_sides: bool = False) -> tuple[AnyModule, dict[str, Any]]:
    """The supernet in evaluation mode, and its header.

    Args:
        plugins: packages of yours whose networks the file may name, besides those that the command line names.
        free_sides: runs a network that is traced on images of other sides than its own too; tracing takes longer.

    Raises:
        InputError: if the file is missing, truncated, of another kind, diverged, or does not match its header.
    """
    import_plugins(plugins)
    if not path.is_file():
        raise InputError(f"checkpoint: {path} is not a file")
    header, tensors = _read_safetensors(path) if path.suffix == ".safetensors" else _read_lightning(path)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        version = shorten(header.get("format")) if isinstance(header, dict) else "no header"
        raise InputError(f"checkpoint: {path} is not a supernet of this version (format {version}, expected {FORMAT})")
    if not is_plain(header):
        raise InputError(f"checkpoint: {path} has a header that is not up to {MOST_VALUES} plain values")
    data = header.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("name"), str) or not isinstance(data.get("arguments"), dict):
        raise InputError(f"checkpoint: {path} does not say in its header which images it was trained on (data.name, data.arguments)")
    try:
        supernet = supernet_from_header(header["supernet"], tensors, free_sides)
        supernet.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError, AttributeError) as error:
        if isinstance(error, InputError) and is_traced(header["supernet"]):
            raise InputError(f"checkpoint: {path} cannot be read: {error}") from None
        reason = cut(" ".join(str(error).split()), 200)
        raise InputError(f"checkpoint: {path} does not hold the supernet that its header names ({reason})") from None
    learnt = {name for name, _ in supernet.named_parameters()}
    diverged = [name for name, tensor in supernet.state_dict().items() if not _is_legal(name, tensor, name in learnt)]
    if diverged:
        raise InputError(f"checkpoint: {path} holds weights that are not finite (in {len(diverged)} tensors, such as {diverged[0]})")
    return supernet.eval(), header


def _is_legal(name: str, tensor: Tensor, is_weight: bool) -> bool:
    """Whether a tensor may come of training: weights and averages are finite, a mask may be infinite."""
    is_learnt = is_weight or name.rpartition(".")[2].startswith("running_")
    return bool((tensor.isfinite() if is_learnt else ~tensor.isnan()).all())


def read_header(path: Path) -> dict[str, Any]:
    """The header alone."""
    return load_supernet(path)[1]


def supernet_weights(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The supernet's weights in a Lightning checkpoint's content, by their names in the supernet."""
    prefix = "supernet."
    return {name.removeprefix(prefix): value for name, value in content["state_dict"].items() if name.startswith(prefix)}


def is_plain(value: Any) -> bool:
    """Whether a file's value may be a header: up to ``MOST_VALUES`` mappings by strings, lists, strings and numbers."""
    left, count = [value], 0
    while left:
        item = left.pop()
        if (count := count + 1) > MOST_VALUES:  # also reached by containers that hold each other
            return False
        if isinstance(item, dict) and all(isinstance(name, str) for name in item) and len(item) <= MOST_VALUES:
            left += item.values()
        elif isinstance(item, list | tuple) and len(item) <= MOST_VALUES:
            left += item
        elif not (item is None or isinstance(item, str | int | float)):
            return False
    return True


def _read_safetensors(path: Path) -> tuple[Any, dict[str, Tensor]]:
    try:
        metadata, tensors = read_safetensors(path)
        return json.loads(metadata.get(HEADER_KEY, "null")), tensors
    except (Damaged, ValueError, RecursionError) as error:
        raise InputError(f"checkpoint: {path} is not a whole safetensors file of weights ({cut(str(error), 200)})") from None


def _read_lightning(path: Path) -> tuple[Any, dict[str, Tensor]]:
    try:
        content = read_lightning(path)
    except Damaged as error:
        raise InputError(f"checkpoint: {path} is not a whole checkpoint of weights ({error})") from None
    return content.get(HEADER_KEY), supernet_weights(content)
