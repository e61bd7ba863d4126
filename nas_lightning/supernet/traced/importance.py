"""Puts the most important channels first, so that narrow candidates begin with the best part of trained weights."""

import numpy as np
import numpy.typing as npt
import torch

from nas_lightning.supernet.traced.channel_ids import Ids
from nas_lightning.supernet.traced.layout import Layout
from nas_lightning.supernet.traced.network import TracedSupernet
from nas_lightning.supernet.traced.rules import layers

Floats = npt.NDArray[np.float64]


@torch.no_grad()
def sort_by_l1(supernet: TracedSupernet) -> None:
    """Orders the units of every group by the L1 norm of the filters that make them; the widest network computes the same.

    Groups to whose order an operation pays heed, as behind a channel shuffle, stay as they are.
    """
    program = supernet.program
    groups = program.grouping.groups
    norms = [np.zeros(group.units) for group in groups]
    for index in layers(program.graph).values():
        layout = program.layouts[index][0][0]
        if layout is not None and index in program.graph.tensors:  # not computed from others
            of_filters = supernet.tensor(index).abs().flatten(1).sum(1).double().cpu().numpy()
            for number in layout.groups:
                ours = layout.group == number
                norms[number] += np.bincount(layout.rank[ours], weights=of_filters[ours], minlength=groups[number].units)
    orders = [
        np.argsort(-norm, kind="stable") if group.sortable else np.arange(group.units) for norm, group in zip(norms, groups, strict=True)
    ]
    for index, tensor in supernet.tensors.items():
        for dim, layout in enumerate(program.layouts[index][0]):
            if layout is not None:
                tensor.copy_(tensor.index_select(dim, torch.from_numpy(_sources(layout, orders)).to(tensor.device)))


def _sources(layout: Layout, orders: list[Ids]) -> Ids:
    """The old position of what stands at each position: the channels of a unit move together, in their order."""
    sources = np.arange(layout.size)
    for number in layout.groups:
        places = np.flatnonzero(layout.group == number)
        of_unit = [places[layout.rank[places] == unit] for unit in range(len(orders[number]))]
        for unit, old in enumerate(orders[number].tolist()):
            sources[of_unit[unit]] = of_unit[old]
    return sources
