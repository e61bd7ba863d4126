"""Traces the classification networks of torchvision or timm, or those named, and compares a slice of each with the network narrowed.

    python tests/programs/trace_networks.py [NAME ...] [--timm] [--side 64] [--parameters 130]

A line a network: choices, pinned layers, how a candidate is cut out, seconds to trace and to compare; or why it is refused.
"""

import argparse
import inspect
import time
import warnings
from typing import Any

import torch
import torchvision
from torch import nn

from nas_lightning.errors import InputError
from nas_lightning.supernet.traced.check import check_slices
from nas_lightning.supernet.traced.choices import Widths
from nas_lightning.supernet.traced.network import TracedSupernet
from nas_lightning.supernet.traced.program import Program


def made(name: str, of_timm: bool) -> nn.Module:
    """The network with ten classes and initial weights."""
    if of_timm:
        import timm

        return timm.create_model(name, num_classes=10)
    build: Any = torchvision.models.get_model_builder(name)
    has = inspect.signature(build).parameters
    return build(weights=None, num_classes=10, **({"init_weights": False} if "init_weights" in has or name == "googlenet" else {}))


def report(name: str, of_timm: bool, side: int, most: float) -> str:
    """What became of a network of at most so many million parameters."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        module = made(name, of_timm)
    if (millions := sum(parameter.numel() for parameter in module.parameters()) / 1e6) > most:
        return f"left out, {millions:.0f} million parameters"
    started = time.perf_counter()
    try:
        program = Program(module, torch.zeros(2, 3, side, side), Widths(divisor=1, least=1), name=name)
        traced = time.perf_counter()
        native = check_slices(TracedSupernet(program))
    except InputError as error:
        return f"refused: {error}"
    except Exception as error:  # a bug of ours, which the others should outlive
        return f"FAILED: {type(error).__name__}: {error}"[:300]
    how = "its own class" if native else "a graph"
    seconds = f"{traced - started:.1f} + {time.perf_counter() - traced:.1f} s"
    return f"{len(program.choices)} choices, {len(program.pinned)} pinned layers, cut as {how}, {seconds}"


def main() -> None:
    """The console entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names", nargs="*", help="networks; without, all of torchvision that classify images, or one of each family of timm"
    )
    parser.add_argument("--timm", action="store_true", help="those of timm, which must be installed")
    parser.add_argument("--side", type=int, default=64, help="of the images, in pixels")
    parser.add_argument("--parameters", type=float, default=130, help="most parameters of a network, in millions")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    if chosen.timm and not chosen.names:
        parser.error("--timm needs names")
    for name in chosen.names or torchvision.models.list_models(module=torchvision.models):
        print(f"{name}: {report(name, chosen.timm, chosen.side, chosen.parameters)}", flush=True)


if __name__ == "__main__":
    main()
