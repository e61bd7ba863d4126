"""Traces a user's network with ``torch.export``; what cannot be traced is one line."""

import copy
import logging
import signal
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.parameter import is_lazy

from nas_lightning.errors import InputError, cut
from nas_lightning.supernet.traced.graph import Graph
from nas_lightning.supernet.traced.read_program import read_program

VARIES = ({0: Dim.DYNAMIC, 2: Dim.AUTO, 3: Dim.AUTO}, {0: Dim.DYNAMIC})
"""Dimensions of the images that may differ after tracing: their number, with free sides also these where possible."""
LONGEST = 60.0
"""Seconds of the CPU for free sides: a forward that computes with its sides, as padding that depends on them, may take hours."""


class _TooLong(BaseException):
    """Not caught by what catches any error of an operation."""


def trace(module: nn.Module, images: Tensor, free_sides: bool = False) -> Graph:
    """The operations of a module in evaluation mode.

    Args:
        images: (batch, channels, H, W), an example; its values do not matter.
        free_sides: traces for images of other sides too, where the module allows it; that takes 2 to 10 times as long.

    Raises:
        InputError: if the module does not run on the images, returns something else than logits, or cannot be traced.
    """
    given, name = module, type(module).__name__
    try:
        module = copy.deepcopy(module).eval()
    except Exception as error:
        old = "; torch.nn.utils.weight_norm cannot be, torch.nn.utils.parametrizations.weight_norm can" if "deepcopy" in str(error) else ""
        raise InputError(f"network: {name} cannot be copied ({_reason(error)}){old}") from None
    if lazy := next((of for of, parameter in module.named_parameters() if is_lazy(parameter)), None):
        raise InputError(f"network: {name} makes {lazy} when it first runs; give its layer the numbers of channels")
    try:
        with torch.no_grad():
            logits = copy.deepcopy(module)(images)  # a copy: what it keeps of its parameters would be traced as a constant
    except Exception as error:
        raise InputError(f"network: {name} does not run on images of {tuple(images.shape)} ({_reason(error)})") from None
    if not isinstance(logits, Tensor):
        kind = f"{len(logits)} values" if isinstance(logits, dict | list | tuple) else f"a {type(logits).__name__}"
        raise InputError(f"network: forward of {name} returns {kind}; it must return one tensor of logits")
    if logits.ndim != 2 or len(logits) != len(images):
        raise InputError(f"network: forward of {name} returns a tensor of {tuple(logits.shape)}; it must return (batch, classes) logits")
    program = _export(module, images, name, VARIES if free_sides else VARIES[-1:])
    _check_constants(given, program, name)
    return read_program(module, program)


def _check_constants(given: nn.Module, program: ExportedProgram, name: str) -> None:
    """Raises InputError if a constant of the trace is a weight: a function that the module holds was not copied with it."""
    of_memory = {parameter.data_ptr(): of for of, parameter in given.named_parameters()}
    for tensor in program.constants.values():
        if isinstance(tensor, Tensor) and (of := of_memory.get(tensor.data_ptr())) is not None and tensor.numel():
            raise InputError(f"network: {name} reads {of} in a function that it holds, such as a lambda; make it a method")


def _export(module: nn.Module, images: Tensor, name: str, tried: Sequence[Mapping[int, Any]]) -> ExportedProgram:
    loud = logging.getLogger("torch")
    level, error = loud.level, Exception()
    loud.setLevel(logging.CRITICAL)  # some hundred lines of symbolic sizes for pools that round up
    try:
        for dimensions in tried:
            try:
                with warnings.catch_warnings(action="ignore"), _at_most(LONGEST if dimensions is not tried[-1] else 0):
                    return torch.export.export(module, (images,), dynamic_shapes=(dimensions,), strict=False)
            except _TooLong:
                continue
            except Exception as failed:
                error = failed
                if "data-dependent" in str(failed):
                    break
    finally:
        loud.setLevel(level)
    place = _place_of(traceback.extract_tb(error.__traceback__))
    if "data-dependent" in str(error):
        raise InputError(f"network: {name} cannot be traced: its forward decides on the values of a tensor ({place})") from None
    if "size()[0]" in str(error):
        raise InputError(f"network: {name} cannot be traced: its forward takes len(images) as a number; write images.shape[0]") from None
    raise InputError(f"network: {name} cannot be traced at {place} ({_reason(error)})") from None


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raises _TooLong after so many seconds of the CPU, if any; without limit outside of the main thread, which alone gets signals."""

    def stop(*_: object) -> None:
        raise _TooLong

    if not seconds or threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _reason(error: Exception) -> str:
    return cut(f"{type(error).__name__}: {' '.join(str(error).split())}", 200)


def _place_of(frames: Sequence[traceback.FrameSummary]) -> str:
    """The last line that is not PyTorch's own."""
    library = str(Path(torch.__file__).parent)
    own = [frame for frame in frames if not frame.filename.startswith(library) and Path(frame.filename) != Path(__file__)]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "an unknown line"
