"""The guard at every start: a slice of the supernet equals the user's own module, narrowed."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from nas_lightning.errors import InputError, cut
from nas_lightning.rng import generator
from nas_lightning.space import Architecture, Space
from nas_lightning.supernet.layers import as_channels_last
from nas_lightning.supernet.traced.graph_cut import cut_graph
from nas_lightning.supernet.traced.native_cut import cut_native
from nas_lightning.supernet.traced.network import TracedSupernet

TOLERANCE = 1e-9
"""Of the largest logit, in float64."""
IMAGES = 4
ADVICE = "; an operation of it is not understood, or it computes with its channel counts: keep the layers before it with network.fixed"


@torch.no_grad()
def check_slices(supernet: TracedSupernet, seed: int = 0, side: int | None = None) -> bool:
    """Compares a few candidates in float64 with networks cut out, with norms, scales and gates that matter.

    They are the largest and the smallest, those whose choices are smallest and largest by turns, which shows code that computes
    with a share of its channels, and a random one.

    Args:
        seed: of the random candidate, scales and images.
        side: of the images, in pixels, if not that of the trace: a forward may take another branch there.

    Returns:
        Whether the user's module reproduces the slices when it is narrowed. If it cannot run so, since it keeps channel
        counts of its own, a candidate cut out is a ``GraphModule``.

    Raises:
        InputError: if a network that runs computes something else than its slice.
    """
    rng = generator(seed, "check of slices")
    exact = copy.deepcopy(supernet).double().eval()
    _shake(exact, rng)
    images = _images(exact, side or supernet.space.resolution, rng)
    if side is not None:
        _check_side(exact, images)
    runs = True
    for architecture in (supernet.space.largest, supernet.space.smallest, *_alternating(supernet.space), supernet.space.sample(rng)):
        logits = _run(exact, architecture, images)
        _compare(exact, architecture, logits, cut_graph(exact, architecture)(images), "its graph")
        try:
            alone = cut_native(exact, architecture)(images)
        except Exception:  # whatever the user's code raises over a count that it keeps: nothing was computed that could be wrong
            runs = False
            continue
        _compare(exact, architecture, logits, alone, "the network itself, narrowed")
    return runs and _trains_alike(exact, images)


def _alternating(space: Space) -> list[Architecture]:
    """The candidates whose choices are the smallest and the largest by turns."""
    by_turns = [[space.choices[number][-((number + first) % 2)] for number in range(space.layers)] for first in (0, 1)]
    return [Architecture(tuple(widths)) for widths in by_turns]


def _shake(supernet: TracedSupernet, rng: np.random.Generator) -> None:
    """Draws vectors anew around 1, such as scales of norms, layer scales and slopes, so that a wrong slice of them shows.

    So do weights that are all equal, as zeros that make a branch or the logits forget what is before them.
    """
    for tensor in supernet.network.state_dict().values():
        if tensor.is_floating_point() and max(tensor.shape, default=1) == tensor.numel():
            tensor.copy_(torch.from_numpy(np.asarray(rng.uniform(0.5, 1.5, tensor.shape))))
    for weight in supernet.network.parameters():
        if weight.ndim > 1 and weight.numel() > max(weight.shape) and weight.min() == weight.max():
            weight.copy_(torch.from_numpy(rng.standard_normal(weight.shape) * (len(weight) / weight.numel()) ** 0.5))


def _images(supernet: TracedSupernet, side: int, rng: np.random.Generator) -> Tensor:
    device = next(supernet.parameters()).device
    return torch.from_numpy(rng.standard_normal((IMAGES, supernet.channels, side, side))).to(device)


def _check_side(supernet: TracedSupernet, images: Tensor) -> None:
    try:
        supernet(images, supernet.space.largest)
    except InputError:
        raise
    except (RuntimeError, ValueError, IndexError) as error:
        side, reason = images.shape[-1], cut(" ".join(str(error).split()), 200)
        raise InputError(f"images of {side}x{side} pixels: {_name(supernet)} does not run on them ({reason})") from None


def _run(supernet: TracedSupernet, architecture: Architecture, images: Tensor) -> Tensor:
    try:
        return supernet(images, architecture)
    except InputError:
        raise
    except (RuntimeError, ValueError, IndexError) as error:  # numbers of channels that do not fit
        reason = cut(" ".join(str(error).split()), 200)
        raise InputError(f"network: a slice of {_name(supernet)} does not run ({cut(str(architecture))}: {reason}){ADVICE}") from None


def _name(supernet: TracedSupernet) -> str:
    return type(supernet.program.graph.source).__name__


def _compare(supernet: TracedSupernet, architecture: Architecture, logits: Tensor, alone: Tensor, what: str) -> None:
    worst = float((logits - alone).abs().max() / alone.abs().max().clamp_min(torch.finfo(alone.dtype).tiny))
    if not worst <= TOLERANCE:  # nor NaN
        raise InputError(f"network: a slice of {_name(supernet)} differs by {worst:.1g} from {what} ({cut(str(architecture))}){ADVICE}")


def _trains_alike(supernet: TracedSupernet, images: Tensor) -> bool:
    """Whether the narrowed module has no tensors beyond those traced, gives logits in training too, with no auxiliary heads, and runs
    in channels_last, in which a view of the user's may be none."""
    module: nn.Module = as_channels_last(cut_native(supernet, supernet.space.smallest).train().float())
    traced = {supernet.program.graph.values[index].name for index in supernet.program.graph.tensors}
    names: dict[int, set[str]] = {}  # a module that stands twice has two for each of its parameters, of which the trace knows one
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), set()).add(name)
    if not all(of_one & traced for of_one in names.values()):
        return False
    with torch.random.fork_rng(devices=()):  # dropout draws
        try:
            logits = module(images.float().contiguous(memory_format=torch.channels_last))
        except Exception:  # whatever a forward raises that wants more in training, such as labels
            return False
    return isinstance(logits, Tensor) and logits.shape == (len(images), supernet.classes)
