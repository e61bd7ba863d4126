"""Evaluates many candidates on the same images, and what their first layers have in common once."""

from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile

from torch import Tensor

from nas_lightning.space import Architecture
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.network import Features


def walk_prefixes(supernet: Supernet, architectures: Sequence[Architecture], images: Features, memory: int) -> Iterator[Tensor]:
    """Yields each candidate's logits, (batch, classes), those of ``supernet(images, architecture)`` to rounding.

    Goes down the tree of prefixes depth first: features that the next candidate shares are kept for it, all others are let go. A layer
    in which neighbours part is computed once, as wide as the widest of them has it, and the others take its first channels. A sorted
    list makes the most of both.

    Args:
        images: ``supernet.begin(images)``, before any layer.
        memory: bytes that kept features may take. Where they would take more, the shallowest are computed anew when they are needed:
            few candidates branch off there. With 0 each candidate runs alone, equal to the last bit.
    """
    agreements = _agreements(architectures)
    widest = _widest_siblings(architectures, agreements)
    kept: dict[int, Features] = {0: images}  # by how many layers have run: what the next candidate goes on from
    wide: dict[int, Features] = {}  # likewise, but the last layer as wide as the widest of those needs it that agree on the others
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
                    and all(supernet.nests(features, layer, one) for one in (width, largest))
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
    """How many first layers each has in common with the next one; -1 for the last."""
    pairs = [zip(one.widths, other.widths, strict=True) for one, other in pairwise(architectures)]
    return [sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], widths)) for widths in pairs] + [-1]


def _widest_siblings(architectures: Sequence[Architecture], agreements: Sequence[int]) -> list[tuple[int, ...]]:
    """For each layer of each candidate, its largest width in the candidate and those behind it that agree on all layers before."""
    found: list[tuple[int, ...]] = []
    behind: tuple[int, ...] = ()
    for architecture, agreement in zip(reversed(architectures), reversed(agreements), strict=True):
        common = agreement + 1  # the first layer in which both differ has still the same layers before it
        widths = architecture.widths
        behind = (*map(max, widths[:common], behind[:common]), *widths[common:])
        found.append(behind)
    return found[::-1]


def _forget_shallow(kept: dict[int, Features], wide: dict[int, Features], memory: int) -> None:
    """Lets go of the shallowest features, but the images themselves, until the others fit."""
    stores = (kept, wide)
    depths = sorted({depth for store in stores for depth in store} - {0})
    while depths and _bytes([store[depth] for store in stores for depth in depths if depth in store]) > memory:
        shallowest = depths.pop(0)
        for store in stores:
            store.pop(shallowest, None)


def _bytes(features: Sequence[Features]) -> int:
    # Counted once where a block's input stands in two of them.
    tensors = {id(tensor): tensor for one in features for tensor in one.outputs.values()}
    return sum(tensor.nbytes for tensor in tensors.values())
