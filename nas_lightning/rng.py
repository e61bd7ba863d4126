"""Stateless random draws: each generator is made from the run's position, never kept or saved."""

import zlib

import numpy as np


def generator(seed: int, purpose: str, *position: int) -> np.random.Generator:
    """A generator that depends only on its arguments.

    Args:
        seed: the run's seed.
        purpose: of the draw, such as ``"paths"``; two purposes never share a stream.
        position: where the run is (stage index, epoch, step, rank ...), each at least 0.
    """
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *position])
