"""The batched forward and its backward as CUDA graphs: recorded once a shape, then launched whole.

A batched pass is hundreds of small operations, and a GPU finishes them faster than a CPU can name them. A recording names
them all at once. What is computed stays the same.
"""

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nas_lightning.supernet.network import Supernet
from nas_lightning.supernet.path_batched import batched_forward

WARM_UP = 3
"""Passes before a recording, in which libraries allocate and choose what a recording may not."""


def recorded_forward(supernet: Supernet, images: Tensor, widths: Tensor) -> Tensor:
    """As ``batched_forward``, on a CUDA device, from a recording that the first call with these shapes makes.

    A recording reads the parameters where they lay, and is made anew when they have moved; ``forget`` frees its memory.
    """
    parameters = list(supernet.parameters())
    dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None
    recordings = _RECORDINGS.setdefault(supernet, {})
    key = (images.device, images.dtype, images.shape, widths.shape, dtype, *(one.data_ptr() for one in parameters))
    if key not in recordings:
        recordings[key] = _Recording(supernet, images, widths, dtype)
    logits: Tensor = _Replay.apply(recordings[key], images, widths, *parameters)
    return logits


def forget(supernet: nn.Module) -> None:
    """Frees what was recorded of a supernet; does nothing if nothing was."""
    _RECORDINGS.pop(supernet, None)


class _Recording:
    """A forward and a backward that read and write the same memory at each replay."""

    def __init__(self, supernet: Supernet, images: Tensor, widths: Tensor, dtype: torch.dtype | None) -> None:
        self.images, self.widths = images.clone(), widths.clone()
        # Aliases of the parameters: autograd ties a parameter to the stream on which it was first used.
        aliases = {f"supernet.{name}": one.detach().requires_grad_() for name, one in supernet.named_parameters()}
        network, leaves = _BatchedForward(supernet), list(aliases.values())

        def forward() -> Tensor:
            # Without the cache, which would hand a replay the copies of weights that were made for another pass.
            with torch.autocast("cuda", dtype=dtype, enabled=dtype is not None, cache_enabled=False):
                found: Tensor = functional_call(network, aliases, (self.images, self.widths))
                return found

        stream = torch.cuda.Stream(images.device)
        stream.wait_stream(torch.cuda.current_stream(images.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                logits = forward()
                torch.autograd.grad(logits, leaves, torch.zeros_like(logits))
                del logits
        stream.synchronize()
        self.forward, self.backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.forward, stream=stream):
            self.logits = forward()
        self.incoming = torch.zeros_like(self.logits)
        with torch.cuda.graph(self.backward, pool=self.forward.pool(), stream=stream):
            gradients = torch.autograd.grad(self.logits, leaves, self.incoming)
            self.gradients = torch.cat([one.flatten() for one in gradients])
        self.shapes = [one.shape for one in leaves]


class _BatchedForward(nn.Module):
    """``batched_forward`` as a module, whose parameters can be others."""

    def __init__(self, supernet: Supernet) -> None:
        super().__init__()
        self.supernet = supernet

    def forward(self, images: Tensor, widths: Tensor) -> Tensor:
        return batched_forward(self.supernet, images, widths)


class _Replay(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, recording: _Recording, images: Tensor, widths: Tensor, *_: Tensor) -> Tensor:
        ctx.recording = recording
        recording.images.copy_(images)
        recording.widths.copy_(widths)
        recording.forward.replay()
        return recording.logits.clone()  # the next replay writes its memory anew

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor | None, ...]:
        recording: _Recording = ctx.recording
        recording.incoming.copy_(incoming)
        recording.backward.replay()
        parts = recording.gradients.clone().split([shape.numel() for shape in recording.shapes])
        return (None, None, None, *(part.view(shape) for part, shape in zip(parts, recording.shapes, strict=True)))


_RECORDINGS: WeakKeyDictionary[nn.Module, dict[tuple[object, ...], _Recording]] = WeakKeyDictionary()
