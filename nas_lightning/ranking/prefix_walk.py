"""Evaluates many candidates on the same images, and what their first layers have in common once."""

from collections.abc import Iterator, Sequence
from itertools import takewhile

from torch import Tensor

from nas_lightning.space import Architecture
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.network import Features


def walk_prefixes(supernet: Supernet, architectures: Sequence[Architecture], images: Tensor, memory: int) -> Iterator[Tensor]:
    """Yields each candidate's logits, (batch, classes), exactly those of ``supernet(images, architecture)``.

    Goes down the tree of prefixes depth first: features that the next candidate shares are kept for it, all others are let go. A sorted
    list makes the most of it.

    Args:
        images: (batch, channels, H, W).
        memory: bytes that kept features may take. Where they would take more, the shallowest are computed anew when they are needed:
            few candidates branch off there.
    """
    kept: dict[int, Features] = {0: Features(images)}  # by how many layers have run
    for number, architecture in enumerate(architectures):
        widths = architecture.widths
        following = architectures[number + 1].widths if number + 1 < len(architectures) else ()
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(widths, following, strict=False)))
        start = max(kept)
        features = kept[start]
        for layer in range(start, len(widths)):
            features = supernet.extend(features, layer, widths[layer])
            if layer < shared:
                kept[layer + 1] = features
                _forget_shallow(kept, memory)
        yield supernet.classify(features)
        for depth in [depth for depth in kept if depth > shared]:
            del kept[depth]


def _forget_shallow(kept: dict[int, Features], memory: int) -> None:
    """Lets go of the shallowest features, but the images themselves, until the others fit."""
    depths = sorted(kept)[1:]
    while depths and _bytes([kept[depth] for depth in depths]) > memory:
        del kept[depths.pop(0)]


def _bytes(features: Sequence[Features]) -> int:
    tensors = {id(tensor): tensor for one in features for tensor in one if tensor is not None}  # a block's input stands in two of them
    return sum(tensor.nbytes for tensor in tensors.values())
