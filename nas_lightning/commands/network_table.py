"""What was understood of a traced network: its choices, what stays whole and why, the size and costs of its space."""

from collections.abc import Sequence

import numpy as np
from tabulate import tabulate

from nas_lightning.supernet.traced import TracedFamily
from nas_lightning.supernet.traced.cost import uncounted
from nas_lightning.supernet.traced.flow import described

SHOWN = 6
"""Widths of a choice that are listed one by one."""
NO_BREAK = "\N{NO-BREAK SPACE}"
DROPPED_PATHS = ("StochasticDepth", "DropPath")
"""Classes of layers that do something in training alone, which a trace in evaluation mode does not have."""


def describe_network(family: TracedFamily) -> list[str]:
    """Paragraphs for a terminal of 80 columns."""
    program, space = family.program, family.space
    kind = type(program.graph.source).__name__
    cut = f"{kind} itself, narrowed" if family.cuts_natively else f"a torch.fx.GraphModule, as {kind} cannot run narrowed"
    rows = [
        (choice.name, choice.full, _listed(widths), "\n".join(choice.layers[1:]))
        for choice, widths in zip(program.choices, space.choices, strict=True)
    ]
    costs = program.cost([space.smallest.widths, space.largest.widths])
    sizes = [(name, f"{costs.parameters[row]:,}", f"{costs.multiply_adds[row]:,}") for row, name in enumerate(("smallest", "largest"))]
    choices = "1 choice" if space.layers == 1 else f"{space.layers} choices"
    paragraphs = [
        f"{space.name} at {space.resolution}x{space.resolution}: {choices}, {_many(space.size)} candidates\n(a candidate cut out is {cut})",
        _table(rows, ["choice", "channels", "widths", "also decides"], (24, None, 18, 24)),
    ]
    if pinned := [(layer.name, layer.channels, layer.reason) for layer in program.pinned]:
        paragraphs.append(f"Kept whole\n{_table(pinned, ['layer', 'channels', 'why: it'], (26, None, 38))}")
    layers = dict(program.graph.source.named_modules())
    kernels = [int(np.max(getattr(layers.get(choice.layers[0]), "kernel_size", 1))) for choice in program.choices if choice.layers]
    sides = [side for choice, side in zip(program.choices, program.sides, strict=True) if choice.layers]
    if shrunk := sum(side == 1 < kernel for side, kernel in zip(sides, kernels, strict=True)):
        small = f"At {space.resolution}x{space.resolution} pixels {shrunk} of its choices make a single pixel, which wastes kernels"
        paragraphs.append(f"{small}:\ngive a larger data.resolution, or a network for small images.")
    if any(type(layer).__name__ in DROPPED_PATHS for layer in program.graph.source.modules()):
        paragraphs.append("Its stochastic depth is left out: a network is traced as it runs in evaluation.")
    if left_out := [f"- {described(call)}" for call in uncounted(program.graph)]:
        paragraphs.append("\n".join(["Multiply-adds of these are not counted:", *left_out]))
    paragraphs.append(_table(sizes, ["candidate", "parameters", "multiply-adds"], (None, None, None)))
    return [f"{paragraph}\n" for paragraph in paragraphs]


def _listed(widths: Sequence[int]) -> str:
    if len(widths) <= SHOWN:
        return ", ".join(map(str, widths))
    return f"{widths[0]}, {widths[1]}, ..., {widths[-1]} ({len(widths)}{NO_BREAK}widths)"


def _many(count: int) -> str:
    return f"{count:,}" if count < 1e9 else f"{count:.1e}"


def _table(rows: Sequence[Sequence[object]], headers: list[str], widest: Sequence[int | None]) -> str:
    return tabulate(rows, headers, maxcolwidths=list(widest), disable_numparse=True).replace(NO_BREAK, " ")
