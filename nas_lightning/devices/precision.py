"""The arithmetic of float32 on devices that may take a shorter one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch


@contextmanager
def exact_float32() -> Iterator[None]:
    """Convolutions in float32 as it is written, not in TF32, with 10 bits of mantissa, which PyTorch takes on NVIDIA GPUs."""
    convolutions = cast(Any, torch.backends.cudnn).conv
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee"
    try:
        yield
    finally:
        convolutions.fp32_precision = before
