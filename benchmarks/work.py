"""How much there is to do: multiply-adds and bytes, counted and not measured."""

from collections.abc import Iterable, Sequence

from nas_lightning.space import Architecture, ResidualStructure, SearchSpace

CLASSES = 100


def multiply_adds(space: SearchSpace, architectures: Sequence[Architecture]) -> int:
    """Of the slices of all candidates, for one image, forward."""
    return int(ResidualStructure(space, CLASSES).cost([one.widths for one in architectures]).multiply_adds.sum())


def shared_multiply_adds(space: SearchSpace, architectures: Sequence[Architecture]) -> int:
    """The same where each layer is computed once for all that agree on the layers before it."""
    total = sum(CLASSES * one.widths[-1] for one in architectures)
    for prefix in _computed(space, architectures):
        layer, width = len(prefix) - 1, prefix[-1]
        pixels = _sides(space)[layer] ** 2
        total += pixels * 9 * (prefix[-2] if layer else 3) * width
        if layer and layer % 2 == 0:
            total += pixels * prefix[-3] * width
    return total


def activation_bytes(space: SearchSpace, architectures: Sequence[Architecture]) -> int:
    """What the convolutions of all candidates write, for one image, in single precision."""
    prefixes = (one.widths[: layer + 1] for one in architectures for layer in range(space.layers))
    return sum(_written(space, prefix) for prefix in prefixes)


def shared_activation_bytes(space: SearchSpace, architectures: Sequence[Architecture]) -> int:
    """The same where each layer is computed once for all that agree on the layers before it."""
    return sum(_written(space, prefix) for prefix in _computed(space, architectures))


def _computed(space: SearchSpace, architectures: Iterable[Architecture]) -> set[tuple[int, ...]]:
    """Of all prefixes that differ in their last width only, the widest."""
    prefixes = {one.widths[: layer + 1] for one in architectures for layer in range(space.layers)}
    return set({prefix[:-1]: prefix for prefix in sorted(prefixes)}.values())


def _written(space: SearchSpace, prefix: tuple[int, ...]) -> int:
    layer = len(prefix) - 1
    convolutions = 2 if layer and layer % 2 == 0 else 1  # with the shortcut's
    return 4 * convolutions * prefix[-1] * _sides(space)[layer] ** 2


def _sides(space: SearchSpace) -> list[int]:
    return [space.resolution, *(side for block in space.residual_blocks for side in (block.side, block.side))]
