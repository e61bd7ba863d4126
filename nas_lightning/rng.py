"""Stateless random draws: a generator is made anew from where the run is, never kept and never saved."""

import zlib

import numpy as np


def generator(seed: int, purpose: str, *position: int) -> np.random.Generator:
    """A generator that depends on nothing but its arguments.

    Args:
        seed: the run's seed.
        purpose: what is drawn, such as ``"paths"``; two purposes never share a stream.
        position: where the run is (stage index, epoch, step, rank ...), each at least 0.
    """
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *position])
