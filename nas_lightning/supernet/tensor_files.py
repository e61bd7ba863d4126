"""Reads tensors from files that may be damaged or hostile, in bounded memory and without running their code."""

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from nas_lightning.errors import cut, shorten

MAX_HEADER_MIB = 4
"""Maximum size of a safetensors header, which holds names and shapes."""
MAX_PICKLE_MIB = 8
"""Maximum size of a checkpoint's values besides tensors; one byte of it can take 60 in memory."""
KINDS = ("F16", "BF16", "F32", "F64", "I64", "I32", "I16", "I8", "U8", "BOOL")
"""Dtypes in a safetensors file: of weights, losses, the batch counts next to a norm's averages, and a network's masks and indices."""


class Damaged(Exception):
    """A file is not what it should be; the message gives the reason in up to 200 characters."""

    def __init__(self, reason: str) -> None:
        super().__init__(cut(" ".join(reason.split()) or "no reason given", 200))


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The metadata and the tensors, all of ``KINDS``.

    Raises:
        Damaged: if it is not a safetensors file.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER_MIB * 2**20:
            raise Damaged(f"its header has {length} bytes; may have {MAX_HEADER_MIB} MiB")
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a dict)
                if (kind := file.get_slice(name).get_dtype()) not in KINDS:
                    raise Damaged(f"{shorten(name)} holds {kind}; known: {', '.join(KINDS)}")
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise Damaged(str(error)) from None


def read_lightning(path: Path) -> dict[str, Any]:
    """The content of a Lightning checkpoint, which takes no more memory than the file.

    Raises:
        Damaged: if it is no such file, a member is damaged or compressed, or ``state_dict`` is not tensors by name.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            sizes = {member.filename.rpartition("/")[2]: member.file_size for member in members}
            if any(member.compress_type for member in members) or sum(member.file_size for member in members) > path.stat().st_size:
                raise Damaged("its members are packed")  # torch packs none
            if sizes.get("data.pkl", 0) > MAX_PICKLE_MIB * 2**20:
                raise Damaged(f"its values besides tensors have {sizes['data.pkl']} bytes; may have {MAX_PICKLE_MIB} MiB")
            if (damaged := archive.testzip()) is not None:
                raise Damaged(f"{shorten(damaged)} is damaged")
        with warnings.catch_warnings(action="ignore"):  # of odd pickles; faults are reported below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Damaged:
        raise
    except Exception as error:  # a damaged pickle can raise anything: KeyError, IndexError, struct.error, ...
        raise Damaged(str(error).splitlines()[0] if str(error) else type(error).__name__) from None
    if not isinstance(content, dict) or not isinstance(state := content.get("state_dict"), dict):
        raise Damaged("it holds no state_dict")
    for name, value in state.items():
        if not isinstance(name, str) or not is_whole(value):
            raise Damaged(f"its state_dict holds {shorten(name)}: {shorten(value)}, not a tensor by its name")
    return content


def is_whole(value: object) -> bool:
    """Whether a file's value is a plain tensor with storage for all its elements; an expanded one may be any size."""
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and value.nbytes <= value.untyped_storage().nbytes()
    )


def what_differs(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str | None:
    """What is wrong with a file's tensors, in words; None if names, shapes and dtypes (any float precision) match."""
    differing = [name for name in {**expected, **found} if not _is_alike(expected.get(name), found.get(name))]
    if not differing:
        return None
    name = differing[0]
    tensors = (found.get(name), expected.get(name))
    kinds = (f"{tuple(tensor.shape)} of {tensor.dtype}" if tensor is not None else "absent" for tensor in tensors)
    return f"{len(differing)} tensors differ, such as {cut(name)}: {', expected '.join(kinds)}"


def _is_alike(expected: Tensor | None, found: Tensor | None) -> bool:
    if expected is None or found is None or expected.shape != found.shape:
        return False
    return found.dtype == expected.dtype or (found.is_floating_point() and expected.is_floating_point() and found.itemsize > 1)
