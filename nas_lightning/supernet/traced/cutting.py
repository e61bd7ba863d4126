"""One candidate cut out of a traced supernet."""

from torch import nn

from nas_lightning.space import Architecture
from nas_lightning.supernet.traced.graph_cut import cut_graph
from nas_lightning.supernet.traced.native_cut import cut_native
from nas_lightning.supernet.traced.network import TracedSupernet


def cut_traced(supernet: TracedSupernet, architecture: Architecture, native: bool) -> nn.Module:
    """The candidate as a plain network with copied weights: the same outputs, independent of the supernet.

    Args:
        native: whether the user's own module reproduces the slices, as ``check_slices`` finds; else the graph is cut.

    Raises:
        InputError: if the architecture is not in the supernet's space.
    """
    supernet.space.check(architecture)
    return cut_native(supernet, architecture) if native else cut_graph(supernet, architecture)
