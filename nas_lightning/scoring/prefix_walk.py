"""Evaluates many candidates on the same images and computes shared prefixes only once."""

from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile

from torch import Tensor

from nas_lightning.space import Architecture
from nas_lightning.supernet.interface import AnyFeatures, AnySupernet, F


def walk_prefixes(supernet: AnySupernet[F], architectures: Sequence[Architecture], images: F, memory: int) -> Iterator[Tensor]:
    """Yields each candidate's logits, (batch, classes), equal to ``supernet(images, architecture)`` up to rounding.

    Walks the tree of prefixes depth first, keeping only the features that the next candidate shares. A layer where
    neighbours differ is computed once, at their largest width, and the others take its first channels. A sorted list
    shares most.

    Args:
        images: ``supernet.begin(images)``, before any layer.
        memory: bytes for kept features. Beyond it, the shallowest, where few candidates branch off, are recomputed when
            needed. With 0 each candidate runs alone, equal to the last bit.
    """
    agreements = _agreements(architectures)
    widest = _widest_siblings(architectures, agreements)
    kept: dict[int, F] = {0: images}  # by number of layers: where the next candidate continues
    wide: dict[int, F] = {}  # the same, with the last layer at the largest width any candidate with this prefix needs
    for number, (architecture, agreement) in enumerate(zip(architectures, agreements, strict=True)):
        start = max(kept)
        features = kept[start]
        for layer, width in enumerate(architecture.widths[start:], start):
            whole = wide.get(layer + 1)
            if whole is None or not supernet.nests(features, layer, width):
                largest = widest[number][layer]
                together = (
                    largest > width
                    and features.bytes_if_extended(largest) <= memory
                    and all(supernet.nests(features, layer, nested) for nested in (width, largest))
                )
                whole = supernet.extend(features, layer, largest if together else width)
                if together:
                    wide[layer + 1] = whole
            features = whole.narrowed(width)
            if layer < agreement:
                kept[layer + 1] = features
            _forget_shallow(kept, wide, memory)
        yield supernet.classify(features)
        for store, deepest in ((kept, agreement), (wide, agreement + 1)):
            for depth in [depth for depth in store if depth > deepest]:
                del store[depth]


def _agreements(architectures: Sequence[Architecture]) -> list[int]:
    """Number of first layers that each shares with the next one; -1 for the last."""
    pairs = [zip(first.widths, second.widths, strict=True) for first, second in pairwise(architectures)]
    return [sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], widths)) for widths in pairs] + [-1]


def _widest_siblings(architectures: Sequence[Architecture], agreements: Sequence[int]) -> list[tuple[int, ...]]:
    """For each layer of each candidate, the largest width in it and in later candidates with the same prefix."""
    widest: list[tuple[int, ...]] = []
    behind: tuple[int, ...] = ()
    for architecture, agreement in zip(reversed(architectures), reversed(agreements), strict=True):
        common = agreement + 1  # the first differing layer still has the same layers before it
        widths = architecture.widths
        behind = (*map(max, widths[:common], behind[:common]), *widths[common:])
        widest.append(behind)
    return widest[::-1]


def _forget_shallow(kept: dict[int, F], wide: dict[int, F], memory: int) -> None:
    """Drops the shallowest features, except the images themselves, until the others fit."""
    stores = (kept, wide)
    depths = sorted({depth for store in stores for depth in store} - {0})
    while depths and _bytes([store[depth] for store in stores for depth in depths if depth in store]) > memory:
        shallowest = depths.pop(0)
        for store in stores:
            store.pop(shallowest, None)


def _bytes(features: Sequence[AnyFeatures]) -> int:
    # Counts a block's input once even if two features hold it.
    tensors = {id(tensor): tensor for kept in features for tensor in kept.outputs.values()}
    return sum(tensor.nbytes for tensor in tensors.values())
