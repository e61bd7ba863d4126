"""Parameters and multiply-adds of many candidates at once, from the number of channels that each keeps."""

import numpy as np
import numpy.typing as npt
from torch import nn

from nas_lightning.space.structure import Cost
from nas_lightning.supernet.traced.adapt import Dimensions
from nas_lightning.supernet.traced.graph import Graph, Ref, Value

Integers = npt.NDArray[np.int64]


def count_cost(graph: Graph, layouts: dict[int, list[Dimensions]], units: Integers) -> Cost:
    """Counts those of (n, groups) units, for one image of the traced size.

    Args:
        layouts: by value and part, along every dimension.
    """

    def sizes(index: int) -> list[Integers]:
        """The length of every dimension, (n,) each."""
        whole = [np.full(len(units), size) for size in graph.values[index].shape]
        return [full if layout is None else layout.counts(units) for full, layout in zip(whole, layouts[index][0], strict=True)]

    def product(lengths: list[Integers]) -> Integers:
        return np.prod([one, *lengths], axis=0)

    def multiply_adds(call: Value) -> Integers:
        arguments = call.arguments
        if call.name in ("conv1d", "conv2d"):
            made = sizes(call.index)
            return product([*sizes(arguments["weight"].index), *made[2:]])
        if call.name == "linear":
            return product([*sizes(arguments["weight"].index), *sizes(call.index)[1:-1]])
        if call.name in ("matmul", "bmm", "mm", "baddbmm"):
            operands = [argument for argument in arguments.values() if isinstance(argument, Ref)][-2:]
            return product(sizes(call.index)) * sizes(operands[0].index)[-1] // images
        if call.name == "scaled_dot_product_attention":
            query, key, value = (sizes(arguments[name].index) for name in ("query", "key", "value"))
            return product(query[:-1]) * key[-2] * (query[-1] + value[-1]) // images
        return none

    images = graph.values[graph.images].shape[0]
    one, none = np.ones(len(units), dtype=np.int64), np.zeros(len(units), dtype=np.int64)
    parameters = [index for index, tensor in graph.tensors.items() if isinstance(tensor, nn.Parameter)]
    return Cost(sum((product(sizes(index)) for index in parameters), none), sum(map(multiply_adds, graph.calls), none))
