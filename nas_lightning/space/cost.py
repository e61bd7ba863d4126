"""What candidates cost: parameters and multiply-adds of thousands at once, from their widths alone."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nas_lightning.space.architecture import Architecture
from nas_lightning.space.search_space import SearchSpace
from nas_lightning.space.shortcuts import ShortcutRule

Integers = npt.NDArray[np.int64]


class Cost(NamedTuple):
    """Cost of n candidates; each field is (n,) integers."""

    parameters: Integers
    """Weights of convolutions and classifier, its bias, and scale and shift of the norms."""
    multiply_adds: Integers
    """Of convolutions and classifier, for one image."""


class _Convolution(NamedTuple):
    weights: Integers
    out_width: Integers
    side: int
    present: npt.NDArray[np.bool_]


def cost(
    space: SearchSpace,
    widths: npt.ArrayLike,
    *,
    classes: int,
    channels: int = 3,
    shortcuts: ShortcutRule = ShortcutRule.ALWAYS,
) -> Cost:
    """Counts parameters and multiply-adds.

    Args:
        widths: (n, layers) integers, a row a candidate.
        classes: outputs of the classifier.
        channels: channels of the images.
        shortcuts: which blocks have a 1x1 convolution on their shortcut.
    """
    columns = np.ascontiguousarray(np.asarray(widths, dtype=np.int64).T)
    last = columns[-1]
    parameters = last * classes + classes
    multiply_adds = last * classes
    for index, convolution in enumerate(_convolutions(space, columns, channels, shortcuts)):
        norm = 0 if index == 0 else 2 * convolution.out_width  # the stem's norm has neither scale nor shift
        parameters = parameters + convolution.present * (convolution.weights + norm)
        multiply_adds = multiply_adds + convolution.present * convolution.weights * convolution.side**2
    return Cost(parameters, multiply_adds)


def cost_of(
    space: SearchSpace,
    architecture: Architecture,
    *,
    classes: int,
    channels: int = 3,
    shortcuts: ShortcutRule = ShortcutRule.ALWAYS,
) -> tuple[int, int]:
    """Parameters and multiply-adds of one candidate."""
    one = cost(space, [architecture.widths], classes=classes, channels=channels, shortcuts=shortcuts)
    return int(one.parameters[0]), int(one.multiply_adds[0])


def _convolutions(space: SearchSpace, columns: Integers, channels: int, shortcuts: ShortcutRule) -> Iterator[_Convolution]:
    always = np.ones(columns.shape[1], dtype=np.bool_)
    yield _Convolution(9 * channels * columns[0], columns[0], space.resolution, always)
    for block in space.residual_blocks:
        source, first, second = columns[block.source], columns[block.first], columns[block.second]
        yield _Convolution(9 * source * first, first, block.side, always)
        yield _Convolution(9 * first * second, second, block.side, always)
        present = np.broadcast_to(shortcuts.applies(block.opens_stage, source, second), always.shape)
        yield _Convolution(source * second, second, block.side, present)
