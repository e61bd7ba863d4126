"""The guard at every start: a slice of the supernet equals the user's own module, narrowed."""

import copy
import random

import numpy as np
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn

from nas_lightning.errors import InputError, cut
from nas_lightning.rng import generator
from nas_lightning.space import Architecture, Space
from nas_lightning.supernet.layers import as_channels_last
from nas_lightning.supernet.traced.graph_cut import cut_graph
from nas_lightning.supernet.traced.native_cut import BATCH_NORMS, cut_native
from nas_lightning.supernet.traced.network import TracedSupernet

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Of the largest logit."""
ROUGHLY = {torch.float64: 1e-6, torch.float32: 1e-2}
"""Of the largest gradient, and of the largest logit in training."""
IMAGES = 4
ADVICE = "; an operation of it is not understood, or it computes with its channel counts: keep the layers before it with network.fixed"


@torch.no_grad()
def check_slices(supernet: TracedSupernet, seed: int = 0, side: int | None = None) -> bool:
    """Compares a few candidates in float64, or in the program's precision, with networks cut out, with norms, scales and gates that matter.

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
    exact = copy.deepcopy(supernet).to(supernet.program.precision).eval()
    _shake(exact, rng)
    images = _images(exact, side or supernet.space.resolution, rng)
    if side is not None:
        _check_side(exact, images)
    runs = are_layers = _norms_are_layers(exact)
    for architecture in (supernet.space.largest, supernet.space.smallest, *_alternating(supernet.space), supernet.space.sample(rng)):
        logits = _run(exact, architecture, images)
        _compare(exact, architecture, logits, cut_graph(exact, architecture)(images), "its graph")
        if not runs:
            continue
        try:
            alone = cut_native(exact, architecture)(images)
        except Exception:  # whatever the user's code raises over a count that it keeps: nothing was computed that could be wrong
            runs = False
            continue
        _compare(exact, architecture, logits, alone, "the network itself, narrowed")
    if are_layers:
        runs = _check_gradients(exact, images, rng) and runs
        _check_training(exact, images)
    return runs and _trains_alike(exact, images)


@torch.no_grad()
def computes_alike(native: nn.Module, graph: nn.Module, supernet: TracedSupernet) -> bool:
    """Whether a candidate by the user's own class computes what its graph does, on made-up images, in evaluation."""
    images = _images(supernet, supernet.space.resolution, generator(0, "check of a candidate"))
    precision = supernet.program.precision
    ours_and_own = [copy.deepcopy(network).to(precision).eval() for network in (graph, native)]
    for network in ours_and_own:  # weights that are all equal, as zeros, would hide what differs before them
        for weight in network.parameters():
            if weight.numel() > 1 and weight.min() == weight.max():
                drawn = generator(0, f"weights of {tuple(weight.shape)}").standard_normal(weight.shape)
                weight.copy_(torch.from_numpy(drawn))
    try:
        ours, own = (network(images) for network in ours_and_own)
    except Exception:  # whatever the user's code raises over a count that it keeps
        return False
    return _distance(ours, own) <= TOLERANCE[precision]


def _norms_are_layers(supernet: TracedSupernet) -> bool:
    """Whether all batch norms are layers of PyTorch, which are switched to the statistics of the supernet's norms."""
    graph = supernet.program.graph
    modules = dict(graph.source.named_modules(remove_duplicate=False))
    return all(isinstance(modules.get(call.module), BATCH_NORMS) for call in graph.calls if call.name == "batch_norm")


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
    return torch.from_numpy(rng.standard_normal((IMAGES, supernet.channels, side, side))).to(device, supernet.program.precision)


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


def _distance(logits: Tensor, others: Tensor) -> float:
    """Of the largest of the others."""
    return float((logits - others).abs().max() / others.abs().max().clamp_min(torch.finfo(others.dtype).tiny))


def _compare(supernet: TracedSupernet, architecture: Architecture, logits: Tensor, alone: Tensor, what: str) -> None:
    if not (worst := _distance(logits, alone)) <= TOLERANCE[logits.dtype]:  # nor NaN
        raise InputError(f"network: a slice of {_name(supernet)} differs by {worst:.1g} from {what} ({cut(str(architecture))}){ADVICE}")


def _check_gradients(supernet: TracedSupernet, images: Tensor, rng: np.random.Generator) -> bool:
    """Whether the user's module has a backward; a trace may have one where operations in place leave it none.

    Raises:
        InputError: if it has other gradients than its trace, which keeps operations but no backward of their own.
    """
    largest, towards = supernet.space.largest, torch.from_numpy(rng.standard_normal(supernet.classes)).to(images)
    module = cut_native(supernet, largest)
    with torch.enable_grad():
        (supernet(images, largest) * towards).sum().backward()
        try:
            (module(images) * towards).sum().backward()
        except Exception:  # whatever the user's code raises
            return False
    own = {name: weight.grad for name, weight in supernet.network.named_parameters()}
    supernet.zero_grad()
    scale, names = 0.0, dict[int, tuple[nn.Parameter, list[str]]]()
    for name, weight in module.named_parameters(remove_duplicate=False):  # a module that stands twice has two for each
        names.setdefault(id(weight), (weight, []))[1].append(name)
        scale = max(scale, 0.0 if weight.grad is None else float(weight.grad.abs().max()))
    for weight, of_one in names.values():
        ours = next((own[name] for name in of_one if own.get(name) is not None), None)
        theirs = torch.zeros_like(weight) if weight.grad is None else weight.grad
        if not float((theirs if ours is None else theirs - ours).abs().max()) <= ROUGHLY[theirs.dtype] * scale:
            what = "a backward of its own (an autograd.Function, a hook, no_grad) or a weight that it caches is not traced"
            raise InputError(f"network: {_name(supernet)} trains {of_one[0]} by other gradients than a slice: {what}")
    return True


def _check_training(supernet: TracedSupernet, images: Tensor) -> None:
    """Raises InputError if the user's module, which draws nothing, computes otherwise in training than its trace, of evaluation."""
    module = cut_native(supernet, supernet.space.largest).train()
    with isolate_rng():
        before = _generators()
        try:
            logits = module(images)
        except Exception:  # whatever a forward raises that wants more in training, such as labels
            return
        draws = _generators() != before
    if draws or not isinstance(logits, Tensor) or logits.shape != (len(images), supernet.classes):
        return
    slice_of_it = supernet.train()(images, supernet.space.largest)
    supernet.eval()
    if not _distance(slice_of_it, logits) <= ROUGHLY[logits.dtype]:
        what = "otherwise in training than in evaluation, beyond batch norms and dropouts: only its evaluation is traced"
        raise InputError(f"network: {_name(supernet)} computes {what}")


def _generators() -> tuple[object, ...]:
    """The states of all global generators that a forward may draw from."""
    return torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state(legacy=False))


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
