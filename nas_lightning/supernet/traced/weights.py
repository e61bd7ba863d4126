"""Trained weights as a start, read only where they are asked for: a library's own, or a file's."""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.devices.progress import report
from nas_lightning.errors import InputError, cut
from nas_lightning.supernet.tensor_files import Damaged, read_safetensors
from nas_lightning.supernet.traced.network import TracedSupernet
from nas_lightning.supernet.traced.source import NetworkSource

KEY = "network.weights"
SUFFIX = ".safetensors"


def trained_weights(weights: str, make: Callable[[], nn.Module]) -> Mapping[str, Tensor]:
    """Tensors by their names in the network.

    Args:
        weights: a file (``FILE.safetensors``) with the names of the network's tensors, or one of the library's words, as DEFAULT.
        make: of the network.

    Raises:
        InputError: if they cannot be read or fetched.
    """
    target = make.target if isinstance(make, NetworkSource) else ""
    if weights.endswith(SUFFIX):
        try:
            return read_safetensors(Path(weights))[1]
        except Damaged as error:
            raise InputError(f"{KEY}: {weights} is not a whole safetensors file of weights ({error})") from None
    library, _, name = target.rpartition(".")
    try:
        if library == "torchvision.models":
            return _of_torchvision(name, weights)
        if library == "timm" and weights == "DEFAULT":
            trained: dict[str, Tensor] = importlib.import_module("timm").create_model(name, pretrained=True).state_dict()
            return trained
    except InputError:
        raise
    except Exception as error:  # whatever a library raises without a network
        raise InputError(f"{KEY}: {weights} of {target} cannot be fetched ({cut(' '.join(str(error).split()), 200)})") from None
    raise InputError(f"{KEY}: {weights} must be a file that ends in {SUFFIX}" + (", or DEFAULT" if library == "timm" else ""))


def _of_torchvision(name: str, weights: str) -> dict[str, Tensor]:
    from torchvision.models import get_model_weights

    known: Any = get_model_weights(name)
    words = {"DEFAULT", *(each.name for each in known)}
    if weights not in words:
        raise InputError(f"{KEY}: {weights} is not one of {', '.join(sorted(words))}, nor a file that ends in {SUFFIX}")
    fetched: dict[str, Tensor] = known[weights].get_state_dict(progress=is_rank_zero(), check_hash=True)
    return fetched


@torch.no_grad()
def begin_with(supernet: TracedSupernet, weights: Mapping[str, Tensor], name: str) -> None:
    """Copies the tensors that fit, and says which do not, as a classifier of other classes.

    Raises:
        InputError: if less than half of the network's tensors fit.
    """
    own = supernet.network.state_dict()
    fits = [key for key, tensor in own.items() if key in weights and weights[key].shape == tensor.shape]
    left = [key for key in own if key not in fits]
    if len(fits) * 2 < len(own):
        lacks = f"it lacks {left[0]} of {tuple(own[left[0]].shape)}"
        raise InputError(f"{KEY}: {name} has {len(fits)} of the network's {len(own)} tensors; {lacks}")
    for key in fits:
        own[key].copy_(weights[key])
    if is_rank_zero():
        others = f"; as at the start of a training: {cut(', '.join(left))}" if left else ""
        report(f"{KEY}: {len(fits)} of {len(own)} tensors from {name}{others}")
